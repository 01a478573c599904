"""OpenTelemetry's SDK with exporters in memory, and aiohttp traced by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import aiohttp
from opentelemetry import context, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from exterview_auth import AuthPool, ExterviewAuth
from exterview_auth.telemetry import observe
from exterview_auth.telemetry._observer import Observer

Attributes = frozenset[tuple[str, Any]]


@dataclass
class Seen:
    """Providers of one test, and what they have exported."""

    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)
    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    def __post_init__(self) -> None:
        self.meters = MeterProvider([self.reader])
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.tracers.get_tracer("application")

    def observe(self, auth: ExterviewAuth | AuthPool, name: str | None = None) -> Observer:
        """Observe *auth* by these providers."""
        return observe(auth, name=name, meter_provider=self.meters, tracer_provider=self.tracers)

    def metrics(self) -> dict[str, Metric]:
        """Return what is exported now, by its name without the prefix."""
        data = self.reader.get_metrics_data()
        scopes = [] if data is None else [scope for each in data.resource_metrics for scope in each.scope_metrics]
        assert {scope.scope.name for scope in scopes} <= {"exterview_auth"}
        return {metric.name.removeprefix("exterview_auth."): metric for scope in scopes for metric in scope.metrics}

    def points(self, name: str) -> dict[Attributes, Any]:
        """Return the value, or the number of values of a histogram, for each set of attributes."""
        metric = self.metrics().get(name)
        points: list[Any] = [] if metric is None else list(metric.data.data_points)
        return {
            frozenset((point.attributes or {}).items()): getattr(point, "value", getattr(point, "count", None))
            for point in points
        }

    def total(self, name: str) -> Any:
        """Return the sum of all points."""
        return sum(self.points(name).values())

    def spans(self, name: str) -> list[ReadableSpan]:
        """Return the spans of that name that have ended."""
        return [span for span in self.exporter.get_finished_spans() if span.name == name]


def traced(seen: Seen) -> aiohttp.TraceConfig:
    """Return a configuration that makes a client span of each request, which is current until its end, as instrumentations do."""
    config = aiohttp.TraceConfig()

    async def start(_session: Any, at: SimpleNamespace, _params: Any) -> None:
        at.span = seen.tracer.start_span("HTTP", kind=trace.SpanKind.CLIENT)
        at.token = context.attach(trace.set_span_in_context(at.span))

    async def end(_session: Any, at: SimpleNamespace, _params: Any) -> None:
        at.span.end()
        context.detach(at.token)

    config.on_request_start.append(start)
    config.on_request_end.append(end)
    config.on_request_exception.append(end)
    return config


def keys_of(metric: Metric) -> Iterator[str]:
    """Yield the names of the attributes of a metric's points."""
    for point in metric.data.data_points:
        yield from point.attributes or {}
