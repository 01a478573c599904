"""Providers that are global, or have been when there was only a placeholder: one set of instruments for each meter provider."""

from __future__ import annotations

import weakref
from importlib.metadata import version

from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import ProxyTracerProvider, TracerProvider

from ..errors import ConfigurationError
from ._attributes import SCHEMA, SCOPE
from ._instruments import Instruments

# The instruments of each provider. Weak, because both refer to each other: while a provider lives, its callbacks keep them.
_known: weakref.WeakKeyDictionary[MeterProvider, weakref.ref[Instruments]] = weakref.WeakKeyDictionary()
# The global provider as it was last seen: before the application sets one, a placeholder.
_last_global: weakref.ref[MeterProvider] | None = None


def instruments_of(given: MeterProvider | None) -> Instruments:
    """Return the instruments of the provider, by default the global one: one set, because a second one would not be read."""
    current = metrics.get_meter_provider()
    provider = current if given is None else given
    _require_weak_key(provider, "the global meter provider" if given is None else "meter_provider")
    if provider is current:
        _note_global(current)
    reference = _known.get(provider)
    instruments = None if reference is None else reference()
    if instruments is None:
        instruments = Instruments(provider.get_meter(SCOPE, version("exterview-auth"), schema_url=SCHEMA))
        _known[provider] = weakref.ref(instruments)
    return instruments


def set_by_now(tracers: TracerProvider) -> TracerProvider:
    """Return *tracers*, or what the application has set in the place of OpenTelemetry's placeholder."""
    return trace.get_tracer_provider() if isinstance(tracers, ProxyTracerProvider) else tracers


def _require_weak_key(provider: MeterProvider, argument: str) -> None:
    """Raise `ConfigurationError` if `_known` cannot hold *provider*."""
    try:
        hash(weakref.ref(provider))
    except TypeError:
        refused = type(provider).__name__
    else:
        return
    raise ConfigurationError(
        f"{argument} must be hashable and allow weak references, not {refused};"
        " wrap it in a class without __slots__ and __eq__"
    )


def _note_global(provider: MeterProvider) -> None:
    """Take over the instruments of the placeholder: they have become those of *provider* when the application set it."""
    global _last_global  # noqa: PLW0603 - as is the provider
    before = None if _last_global is None else _last_global()
    if before is not None and before is not provider and before in _known:
        _known.setdefault(provider, _known[before])
    _last_global = weakref.ref(provider)
