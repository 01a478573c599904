"""Metrics for OpenTelemetry (extra ``otel``): an owner's counters as asynchronous instruments, read at each export."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import TYPE_CHECKING

from ._auth import ExterviewAuth
from ._options import named, needs_extra, optional_text
from ._refusals import discreet
from ._stats import Stats
from .errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

GAUGES = frozenset({"waiting", "waiting_peak"})
"""The fields of `Stats` that may fall, or are not sums."""

Reading = Callable[["CallbackOptions"], "Iterable[Observation]"]


@discreet
def observe(auth: ExterviewAuth, *, name: str | None = None, meter_provider: MeterProvider | None = None) -> None:
    """
    Export ``auth.stats()`` as ``exterview_auth.<field>``, with the attributes ``server.address`` and ``account``.

    *name* is the ``account`` attribute, which is missing by default: an account's own name may be an e-mail address.
    *meter_provider* defaults to the global one. Requests do no extra work, and *auth* is not kept alive. Raises
    `ConfigurationError` for a wrong argument, and if OpenTelemetry is not installed.

    See the metrics API, "Asynchronous Counter": https://opentelemetry.io/docs/specs/otel/metrics/api/
    """
    if not isinstance(auth, ExterviewAuth):
        raise ConfigurationError(f"observe takes an ExterviewAuth, not {named(auth)}")
    name = optional_text(name, "name")
    if meter_provider is not None and not hasattr(meter_provider, "get_meter"):
        raise ConfigurationError(f"meter_provider must be one of OpenTelemetry, not {named(meter_provider)}")
    try:
        from opentelemetry.metrics import Observation, get_meter  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigurationError(needs_extra("observe", "opentelemetry-api", "otel")) from None
    meter = get_meter("exterview_auth", meter_provider=meter_provider)
    attributes = {"server.address": auth.endpoint.raw_host or "", **({} if name is None else {"account": name})}
    # Weak, because instruments live as long as their meter provider, which is as long as the process.
    owner = weakref.ref(auth)

    def reading(field: str) -> Reading:
        def read(_options: CallbackOptions) -> Iterable[Observation]:
            alive = owner()
            return [] if alive is None else [Observation(getattr(alive.stats(), field), attributes)]

        return read

    for field in fields(Stats):
        create = meter.create_observable_gauge if field.name in GAUGES else meter.create_observable_counter
        create(f"exterview_auth.{field.name}", [reading(field.name)], unit="1")
