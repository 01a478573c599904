"""
The metrics: histograms, which are written when something happens, and what is read at each export.

What is only counted is counted here (`Totals`) and read then, because a write costs more than ten times as much; so no counter falls
when an owner goes. The requests that wait and the seconds that a token has left are read then, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from threading import Lock
from typing import TYPE_CHECKING

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation

from .._auth import ExterviewAuth
from ._attributes import SCOPE, name_attribute

if TYPE_CHECKING:
    from ._observer import Observer

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds: the bounds of all histograms. Most logins and waits end within some hundred ms, and few take longer than 30 s."""


class Totals:
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


class Instruments:
    """The instruments of one meter provider, which all observers share."""

    def __init__(self, meter: Meter) -> None:
        # Replaced and never changed: exports run in threads.
        self.observers: tuple[Observer, ...] = ()
        self._totals: dict[str | None, Totals] = {}

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

    def totals_of(self, name: str | None) -> Totals:
        """Return what has happened under that name; observers of one name add up."""
        return self._totals.setdefault(name, Totals())

    def _reading(self, what: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def read(_options: CallbackOptions) -> Iterable[Observation]:
            for name, totals in list(self._totals.items()):
                yield Observation(getattr(totals, what), name_attribute(name))

        return read

    def _read_waiting(self, _options: CallbackOptions) -> Iterable[Observation]:
        for name, owners in self._owners_by_name().items():
            waiting = sum(owner._keeper.waiters for owner in owners)  # noqa: SLF001 - not for applications, which have `observe`
            yield Observation(waiting, name_attribute(name))

    def _read_remaining(self, _options: CallbackOptions) -> Iterable[Observation]:
        for name, owners in self._owners_by_name().items():
            lives = [owner._keeper.seconds_left for owner in owners]  # noqa: SLF001 - as above
            known = [left for left in lives if left is not None]
            if known:
                yield Observation(min(known), name_attribute(name))

    def _owners_by_name(self) -> dict[str | None, Iterable[ExterviewAuth]]:
        # By their identity: an owner may be observed alone and in its pool.
        owners: defaultdict[str | None, dict[int, ExterviewAuth]] = defaultdict(dict)
        for observer in self.observers:
            owners[observer.name].update((id(owner), owner) for owner in observer.owners())
        return {name: distinct.values() for name, distinct in owners.items()}
