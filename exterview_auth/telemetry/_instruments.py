"""
What `telemetry.observe` sets up: instruments, and listeners that write to them and to spans. It imports OpenTelemetry.

An observed owner passes on what happens to it (`_records`), so that metrics, spans, events and ``on_login`` tell the same story.
Histograms are written when something happens. What is only counted is counted here (`_Totals`) and read at each export, because a
write costs more than ten times as much; so no counter falls when an owner goes. The requests that wait and the seconds that a
token has left are read then, too. A request that finds its token costs nothing.
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from threading import Lock
from typing import Any

from opentelemetry import context, metrics, trace
from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation
from opentelemetry.trace import SpanKind, StatusCode, Tracer, TracerProvider

from .._auth import ExterviewAuth
from .._login_record import LoginRecord
from .._pool import AuthPool
from .._records import Listener
from ..errors import ConfigurationError

SCOPE = "exterview_auth"
SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
"""The version of OpenTelemetry's semantic conventions that the names of attributes are from."""
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds: the bounds of all histograms. Most logins and waits end within some hundred ms, and few take longer than 30 s."""

ACCOUNT_NAME = f"{SCOPE}.account.name"
REASON = f"{SCOPE}.login.reason"
OPERATION = f"{SCOPE}.store.operation"
ERROR_TYPE = "error.type"
RESEND_COUNT = "http.request.resend_count"


def observer_of(
    auth: ExterviewAuth | AuthPool,
    name: str | None,
    meter_provider: MeterProvider | None,
    tracer_provider: TracerProvider | None,
) -> Observer:
    """Return the observation of *auth* under that name, which begins now unless it is there already."""
    instruments = _instruments_of(meter_provider)
    tracers = trace.get_tracer_provider() if tracer_provider is None else tracer_provider
    for observer in instruments.observers:
        if observer.observes(auth, name, tracers):
            return observer
    return Observer(auth, name, instruments, tracers)


class Observer:
    """What `telemetry.observe` returns: the observation of one owner or pool."""

    __module__ = "exterview_auth.telemetry"

    __slots__ = ("__weakref__", "_instruments", "_listeners", "_target", "_tracer", "_tracers", "name")

    def __init__(
        self, auth: ExterviewAuth | AuthPool, name: str | None, instruments: _Instruments, tracers: TracerProvider
    ) -> None:
        """Begin an observation, as `observe` does."""
        self.name = name
        """The attribute ``exterview_auth.account.name``."""
        self._instruments = instruments
        self._tracers = tracers
        self._tracer = tracers.get_tracer(SCOPE, version("exterview-auth"), schema_url=SCHEMA)
        # One for each address: the accounts of a pool may be on several servers.
        self._listeners: dict[tuple[str, int | None], _Writer] = {}
        # Weak: instruments live as long as their provider, which is as long as the process.
        self._target = weakref.ref(auth, lambda _: instruments.forget(self))
        instruments.observers = (*instruments.observers, self)
        if isinstance(auth, AuthPool):
            auth._listen(self._listener_of)  # noqa: SLF001 - not for applications, which have `observe`
        else:
            auth._listen(self._listener_of(auth))  # noqa: SLF001 - as above

    def stop(self) -> None:
        """Export nothing more of what happens. What was counted stays. Stopping twice is fine."""
        self._instruments.forget(self)
        target = self._target()
        if isinstance(target, AuthPool):
            target._leave(self._listener_of)  # noqa: SLF001 - as above
        elif target is not None:
            target._leave(self._listener_of(target))  # noqa: SLF001 - as above

    def observes(self, auth: object, name: str | None, tracers: object) -> bool:
        """Whether this is the observation of *auth* under that name, with these tracers."""
        return self._target() is auth and self.name == name and self._tracers is tracers

    def owners(self) -> list[ExterviewAuth]:
        """Return the owners that exist now; called by exports, from any thread."""
        target = self._target()
        return [] if target is None else target._owners()  # noqa: SLF001 - as above

    def _listener_of(self, owner: ExterviewAuth) -> _Writer:
        address = owner.endpoint.raw_host or "", owner.endpoint.port
        if address not in self._listeners:
            self._listeners[address] = _Writer(self._instruments, self._tracer, self.name, address)
        return self._listeners[address]


class _Totals:
    """What has happened under one name, since the first observation: also what owners did that are gone."""

    __slots__ = ("_guard", "adopted", "refused", "replayed", "useless")

    def __init__(self) -> None:
        self.adopted = self.refused = self.replayed = self.useless = 0
        self._guard = Lock()  # owners of one name may work in several threads

    def add(self, *, adopted: int = 0, refused: int = 0, replayed: int = 0, useless: int = 0) -> None:
        """Count what has happened now."""
        with self._guard:
            self.adopted += adopted
            self.refused += refused
            self.replayed += replayed
            self.useless += useless


class _Instruments:
    """The instruments of one meter provider, which all observers share."""

    def __init__(self, meter: Meter) -> None:
        # Replaced and never changed: exports run in threads.
        self.observers: tuple[Observer, ...] = ()
        self._totals: dict[str | None, _Totals] = {}

        def histogram(name: str, description: str) -> Histogram:
            return meter.create_histogram(
                f"{SCOPE}.{name}", "s", description, explicit_bucket_boundaries_advisory=BUCKETS
            )

        def counter(name: str, unit: str, what: str, description: str) -> None:
            meter.create_observable_counter(f"{SCOPE}.{name}", [self._reading(what)], unit, description)

        self.logins = histogram("login.duration", "Duration of logins, failed ones included.")
        self.waits = histogram("request.wait.duration", "Time for which requests waited for a login.")
        self.store = histogram("store.operation.duration", "Duration of calls to the token store.")
        counter("requests.refused", "{request}", "refused", "Requests that were refused with their token.")
        counter("requests.replayed", "{request}", "replayed", "Requests that were sent again after a refusal.")
        counter("logins.useless", "{login}", "useless", "Logins whose token was refused.")
        counter("tokens.adopted", "{token}", "adopted", "Tokens of other owners that were found in the store.")
        meter.create_observable_up_down_counter(
            f"{SCOPE}.request.waiting", [self._read_waiting], "{request}", "Requests that wait for a login now."
        )
        meter.create_observable_gauge(
            f"{SCOPE}.token.remaining", [self._read_remaining], "s", "Life that is left of the token that ends first."
        )

    def forget(self, observer: Observer) -> None:
        """Read nothing more of *observer*."""
        self.observers = tuple(other for other in self.observers if other is not observer)

    def totals_of(self, name: str | None) -> _Totals:
        """Return what has happened under that name; observers of one name add up."""
        return self._totals.setdefault(name, _Totals())

    def _reading(self, what: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def read(_options: CallbackOptions) -> Iterable[Observation]:
            for name, totals in list(self._totals.items()):
                yield Observation(getattr(totals, what), _named(name))

        return read

    def _read_waiting(self, _options: CallbackOptions) -> Iterable[Observation]:
        for name, owners in self._owners_by_name().items():
            waiting = sum(owner._keeper.waiters for owner in owners)  # noqa: SLF001 - as above
            yield Observation(waiting, _named(name))

    def _read_remaining(self, _options: CallbackOptions) -> Iterable[Observation]:
        for name, owners in self._owners_by_name().items():
            lives = [owner._keeper.seconds_left for owner in owners]  # noqa: SLF001 - as above
            known = [left for left in lives if left is not None]
            if known:
                yield Observation(min(known), _named(name))

    def _owners_by_name(self) -> dict[str | None, list[ExterviewAuth]]:
        owners: defaultdict[str | None, list[ExterviewAuth]] = defaultdict(list)
        for observer in self.observers:
            owners[observer.name].extend(observer.owners())
        return owners


class _Writer(Listener):
    """Writes what happens to the owners of one address to the instruments, and to spans."""

    __slots__ = ("_address", "_common", "_instruments", "_spans", "_totals", "_tracer")

    def __init__(
        self, instruments: _Instruments, tracer: Tracer, name: str | None, address: tuple[str, int | None]
    ) -> None:
        self._instruments = instruments
        self._totals = instruments.totals_of(name)
        self._tracer = tracer
        self._common = _named(name)
        server, port = address
        self._address = {"server.address": server, **({} if port is None else {"server.port": port})}
        # Invariant: a login's span from its first waiter, or its beginning, until its end; then None. A login that is dropped with
        # its loop takes its span along.
        self._spans: weakref.WeakKeyDictionary[Any, _LoginSpan | None] = weakref.WeakKeyDictionary()

    def login_begins(self, flight: object) -> None:
        """Let the spans that the login creates be children of its span."""
        span = self._span_of(flight)
        assert span is not None  # it ends later
        span.make_current()

    def login_ended(self, flight: object, record: LoginRecord | None) -> None:
        """Write the login, or the adoption, and end its span."""
        span = self._span_of(flight)
        self._spans[flight] = None
        if span is not None:
            span.end(record)
        if record is None:
            return
        if record.outcome == "adopted":
            self._totals.add(adopted=1)
        else:
            about = {**self._common, **self._address, REASON: str(record.reason), **_error(record.error)}
            self._instruments.logins.record(record.seconds, about)

    def wait_begins(self, flight: object) -> None:
        """Link the login's span to the request's."""
        span = self._span_of(flight)
        if span is not None:
            span.link_to_current()

    def wait_ended(self, seconds: float, error: str | None) -> None:
        """Write the wait."""
        self._instruments.waits.record(seconds, self._common if error is None else {**self._common, ERROR_TYPE: error})

    def refused(self) -> None:
        """Write the refusal."""
        self._totals.add(refused=1)

    def sent_again(self, count: int) -> None:
        """Write the replay, also to the span in which the request is sent."""
        self._totals.add(replayed=1)
        span = trace.get_current_span()
        if span.is_recording():
            span.add_event(f"{SCOPE}.replay", {RESEND_COUNT: count})
            # The conventions want it on the span of an HTTP request. This may also be a span of the application's, around many.
            if getattr(span, "kind", None) is SpanKind.CLIENT:
                span.set_attribute(RESEND_COUNT, count)

    def login_was_useless(self) -> None:
        """Write the useless login."""
        self._totals.add(useless=1)

    def store_was_called(self, operation: str, seconds: float, error: str | None) -> None:
        """Write the call to the store."""
        self._instruments.store.record(seconds, {**self._common, OPERATION: operation, **_error(error)})

    def _span_of(self, flight: object) -> _LoginSpan | None:
        if flight not in self._spans:
            self._spans[flight] = _LoginSpan(self._tracer, {**self._common, **self._address})
        return self._spans[flight]


class _LoginSpan:
    """The span ``exterview_auth.login``: a root of its own, because a login belongs to no request, linked to those that wait."""

    __slots__ = ("_linked", "_span")

    def __init__(self, tracer: Tracer, attributes: Mapping[str, Any]) -> None:
        self._span = tracer.start_span(f"{SCOPE}.login", context=context.Context(), attributes=attributes)
        # The spans that are linked: any number of requests of one span may wait.
        self._linked: set[int] = set()

    def make_current(self) -> None:
        """Make this the current span of the running context. It is not detached: the context is the login's own."""
        context.attach(trace.set_span_in_context(self._span))

    def link_to_current(self) -> None:
        """Link to the span in which the calling request waits."""
        waiting = trace.get_current_span().get_span_context()
        if waiting.is_valid and waiting.span_id not in self._linked and self._span.is_recording():
            self._linked.add(waiting.span_id)
            self._span.add_link(waiting)

    def end(self, record: LoginRecord | None) -> None:
        """Say how the login ended, without a *record* that there was no new one, and end the span."""
        span = self._span
        span.set_attribute(f"{SCOPE}.login.outcome", "none" if record is None else record.outcome)
        if record is not None:
            span.set_attribute(REASON, str(record.reason))
            span.set_attribute(f"{SCOPE}.login.attempts", record.attempts)
            span.set_attribute(f"{SCOPE}.login.waiting", record.waiting)
            if record.error is not None:
                span.set_attribute(ERROR_TYPE, record.error)
                span.set_status(StatusCode.ERROR)
        span.end()


def _named(name: str | None) -> dict[str, str]:
    return {} if name is None else {ACCOUNT_NAME: name}


def _error(error: str | None) -> dict[str, str]:
    """Return the attribute that says why something failed, which by the conventions is there only then."""
    return {} if error is None else {ERROR_TYPE: error}


# The instruments of each provider. Weak, because both refer to each other: while a provider lives, its callbacks keep them.
_known: weakref.WeakKeyDictionary[MeterProvider, weakref.ref[_Instruments]] = weakref.WeakKeyDictionary()
# The global provider as it was last seen: before the application sets one, a placeholder.
_last_global: weakref.ref[MeterProvider] | None = None


def _instruments_of(given: MeterProvider | None) -> _Instruments:
    """Return the instruments of the provider, by default the global one: one set, because a second one would not be read."""
    current = metrics.get_meter_provider()
    provider = current if given is None else given
    _require_weak_key(provider, "the global meter provider" if given is None else "meter_provider")
    if provider is current:
        _note_global(current)
    reference = _known.get(provider)
    instruments = None if reference is None else reference()
    if instruments is None:
        instruments = _Instruments(provider.get_meter(SCOPE, version("exterview-auth"), schema_url=SCHEMA))
        _known[provider] = weakref.ref(instruments)
    return instruments


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
