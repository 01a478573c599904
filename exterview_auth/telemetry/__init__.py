"""
Metrics and traces for OpenTelemetry (extra ``otel``): `observe` an owner or a pool.

The page of events (`.github/EVENTS.md` of the repository) lists all metrics, spans and attributes.
"""

# An observed owner passes on what happens to it (`_records`), so that metrics, spans, events and ``on_login`` tell the same story.
# The `_observer` gives each of its addresses `_listeners`, which write to the `_instruments`, to the `_login_span` and to the spans of
# requests. All observers of one meter provider share its instruments (`_providers`). Of several listeners that write to the same
# place, an owner notifies the first, so that it counts once, however often it is observed. A request that finds its token costs
# nothing. These modules import OpenTelemetry, and are imported on first use.

from __future__ import annotations

from typing import TYPE_CHECKING

from .._auth import ExterviewAuth
from .._options import named, needs_extra
from .._pool import AuthPool
from .._refusals import discreet
from .._secret import plain_kind
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from ._observer import Observer

__all__ = ["observe"]


@discreet
def observe(
    auth: ExterviewAuth | AuthPool,
    *,
    name: str | None = None,
    meter_provider: MeterProvider | None = None,
    tracer_provider: TracerProvider | None = None,
) -> Observer:
    """
    Export metrics and spans of *auth*, an owner or a pool as a whole, until the returned handle's ``stop()``.

    *name* becomes the attribute ``exterview_auth.account.name``, which is missing by default: an account's own name may be an
    e-mail address. Owners and pools with the same *name* add up. An owner counts once under each name, also if you observe it
    alone and in its pool. The providers default to the global ones. The handle does not keep *auth* alive, and you need not keep
    the handle. Counters do not fall when an owner is deleted. Observing the same object twice in the same way returns the same
    handle. ``stop()`` ends what one handle began: the owner counts on while another handle observes it.

    Durations are in seconds. Raises `ConfigurationError` for a wrong argument, and if OpenTelemetry is not installed. The names
    follow OpenTelemetry's semantic conventions: https://opentelemetry.io/docs/specs/semconv/general/naming/
    """
    if not isinstance(auth, ExterviewAuth | AuthPool):
        raise ConfigurationError(f"observe takes an ExterviewAuth or an AuthPool, not {named(auth)}")
    if name is not None and (not isinstance(name, str) or not name.strip()):
        what = "an empty text" if isinstance(name, str) else plain_kind(name)
        raise ConfigurationError(f"name must be a text that names the account in metrics, not {what}")
    _check_provider(meter_provider, "meter_provider", "get_meter")
    _check_provider(tracer_provider, "tracer_provider", "get_tracer")
    try:
        from ._observer import observer_of  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigurationError(needs_extra("observe", "opentelemetry-api", "otel")) from None
    return observer_of(auth, name, meter_provider, tracer_provider)


def _check_provider(provider: object, argument: str, method: str) -> None:
    # A class has the method too, and would take its arguments for another's.
    if provider is not None and (isinstance(provider, type) or not hasattr(provider, method)):
        raise ConfigurationError(f"{argument} must be one of OpenTelemetry, not {named(provider)}")
