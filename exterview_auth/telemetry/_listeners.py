"""The listeners that write what happens: one to the instruments, one to login spans, and one to the spans of requests."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Tracer, TracerProvider

from .._login_record import LoginRecord
from .._records import Listener
from ._attributes import ERROR_TYPE, OPERATION, REASON, RESEND_COUNT, SCOPE, error_attribute, name_attribute
from ._instruments import Instruments
from ._login_span import LoginSpan
from ._providers import set_by_now


class Measures(Listener):
    """Writes what happens to the owners of one address to the instruments."""

    __slots__ = ("_address", "_common", "_instruments", "_totals")

    def __init__(self, instruments: Instruments, name: str | None, address: Mapping[str, Any]) -> None:
        self._instruments = instruments
        self._totals = instruments.totals_of(name)
        self._common = name_attribute(name)
        self._address = address

    @property
    def writes_to(self) -> object:
        """What has happened under its name, by its meter provider."""
        return self._totals

    def login_ended(self, flight: object, record: LoginRecord | None) -> None:
        """Write the login, or the adoption."""
        del flight
        if record is None:
            return
        if record.outcome == "adopted":
            self._totals.add(adopted=1)
        else:
            about = {**self._common, **self._address, REASON: str(record.reason), **error_attribute(record.error)}
            self._instruments.logins.record(record.seconds, about)

    def wait_ended(self, seconds: float, error: str | None) -> None:
        """Write the wait."""
        self._instruments.waits.record(seconds, self._common if error is None else {**self._common, ERROR_TYPE: error})

    def refused(self) -> None:
        """Write the refusal."""
        self._totals.add(refused=1)

    def sent_again(self, count: int) -> None:
        """Write the replay."""
        del count
        self._totals.add(replayed=1)

    def login_was_useless(self) -> None:
        """Write the useless login."""
        self._totals.add(useless=1)

    def store_was_called(self, operation: str, seconds: float, error: str | None) -> None:
        """Write the call to the store."""
        self._instruments.store.record(seconds, {**self._common, OPERATION: operation, **error_attribute(error)})


class LoginSpans(Listener):
    """Writes the logins of the owners of one address to spans."""

    __slots__ = ("_about", "_name", "_spans", "_tracer", "_tracers")

    def __init__(self, tracers: TracerProvider, tracer: Tracer, name: str | None, address: Mapping[str, Any]) -> None:
        self._tracers = tracers
        self._tracer = tracer
        self._name = name
        self._about = {**name_attribute(name), **address}
        # Invariant: a login's span from its first waiter, or its beginning, until its end; then None. A login that is dropped with
        # its loop takes its span along.
        self._spans: weakref.WeakKeyDictionary[Any, LoginSpan | None] = weakref.WeakKeyDictionary()

    @property
    def writes_to(self) -> object:
        """Spans of its name, by its tracer provider."""
        return self._name, id(set_by_now(self._tracers))

    def login_begins(self, flight: object) -> None:
        """Let the spans that the login creates be children of its span."""
        span = self._span_of(flight)
        assert span is not None  # it ends later
        span.make_current()

    def login_ended(self, flight: object, record: LoginRecord | None) -> None:
        """End the login's span."""
        span = self._span_of(flight)
        self._spans[flight] = None
        if span is not None:
            span.end(record)

    def wait_begins(self, flight: object) -> None:
        """Link the login's span to the request's."""
        span = self._span_of(flight)
        if span is not None:
            span.link_to_current()

    def _span_of(self, flight: object) -> LoginSpan | None:
        if flight not in self._spans:
            self._spans[flight] = LoginSpan(self._tracer, self._about)
        return self._spans[flight]


class Replays(Listener):
    """Writes a replay to the span in which the request is sent."""

    __slots__ = ()

    @property
    def writes_to(self) -> object:
        """The same span, whoever observes the owner."""
        return Replays

    def sent_again(self, count: int) -> None:
        """Write the replay."""
        span = trace.get_current_span()
        if span.is_recording():
            span.add_event(f"{SCOPE}.replay", {RESEND_COUNT: count})
            # The conventions want it on the span of an HTTP request. This may also be a span of the application's, around many.
            if getattr(span, "kind", None) is SpanKind.CLIENT:
                span.set_attribute(RESEND_COUNT, count)
