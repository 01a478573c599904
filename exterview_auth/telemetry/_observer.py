"""What `telemetry.observe` returns: who is observed, and until when."""

from __future__ import annotations

import weakref
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from .._auth import ExterviewAuth
from .._pool import AuthPool
from .._records import Listener
from ._attributes import SCHEMA, SCOPE
from ._instruments import Instruments
from ._listeners import LoginSpans, Measures, Replays
from ._providers import instruments_of, set_by_now


def observer_of(
    auth: ExterviewAuth | AuthPool,
    name: str | None,
    meter_provider: MeterProvider | None,
    tracer_provider: TracerProvider | None,
) -> Observer:
    """Return the observation of *auth* under that name, which begins now unless it is there already."""
    instruments = instruments_of(meter_provider)
    tracers = set_by_now(trace.get_tracer_provider() if tracer_provider is None else tracer_provider)
    for observer in instruments.observers:
        if observer.observes(auth, name, tracers):
            return observer
    return Observer(auth, name, instruments, tracers)


class Observer:
    """What `telemetry.observe` returns: the observation of one owner or pool."""

    __module__ = "exterview_auth.telemetry"

    __slots__ = ("__weakref__", "_instruments", "_listeners", "_target", "_tracer", "_tracers", "name")

    def __init__(
        self, auth: ExterviewAuth | AuthPool, name: str | None, instruments: Instruments, tracers: TracerProvider
    ) -> None:
        """Begin an observation, as `observe` does."""
        self.name = name
        """The attribute ``exterview_auth.account.name``."""
        self._instruments = instruments
        self._tracers = tracers
        self._tracer = tracers.get_tracer(SCOPE, version("exterview-auth"), schema_url=SCHEMA)
        # Three for each address: the accounts of a pool may be on several servers.
        self._listeners: dict[tuple[str, int | None], tuple[Listener, ...]] = {}
        # Weak: instruments live as long as their provider, which is as long as the process.
        self._target = weakref.ref(auth, lambda _: instruments.forget(self))
        instruments.observers = (*instruments.observers, self)
        if isinstance(auth, AuthPool):
            auth._listen(self._listeners_of)  # noqa: SLF001 - not for applications, which have `observe`
        else:
            auth._listen(*self._listeners_of(auth))  # noqa: SLF001 - as above

    def stop(self) -> None:
        """Export nothing more of what happens, unless another handle does. What was counted stays. Stopping twice is fine."""
        self._instruments.forget(self)
        target = self._target()
        if isinstance(target, AuthPool):
            target._leave(self._listeners_of)  # noqa: SLF001 - as above
        elif target is not None:
            target._leave(*self._listeners_of(target))  # noqa: SLF001 - as above

    def observes(self, auth: object, name: str | None, tracers: object) -> bool:
        """Whether this is the observation of *auth* under that name, with these tracers."""
        return self._target() is auth and self.name == name and set_by_now(self._tracers) is tracers

    def owners(self) -> list[ExterviewAuth]:
        """Return the owners that exist now; called by exports, from any thread."""
        target = self._target()
        return [] if target is None else target._owners()  # noqa: SLF001 - as above

    def _listeners_of(self, owner: ExterviewAuth) -> tuple[Listener, ...]:
        address = owner.endpoint.raw_host or "", owner.endpoint.port
        if address not in self._listeners:
            server, port = address
            about = {"server.address": server, **({} if port is None else {"server.port": port})}
            spans = LoginSpans(self._tracers, self._tracer, self.name, about)
            self._listeners[address] = Measures(self._instruments, self.name, about), spans, Replays()
        return self._listeners[address]
