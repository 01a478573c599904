"""What the demo is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from exterview_auth._options import whole_number
from exterview_auth.errors import ConfigurationError

from ._bounds import connections_for, in_flight_for
from ._shared_store import StoreKind
from .redis_server import redis_server_path

MOST_REQUESTS = 100_000
MOST_PROCESSES = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """So many requests from so many processes; with no *store*, from this process and with a token of its own."""

    requests: int
    processes: int = 1
    store: StoreKind | None = None

    @property
    def workers(self) -> int:
        """How many processes are started to send; none where this one sends."""
        return 0 if self.store is None else self.processes

    @property
    def connections(self) -> int:
        """How many there are in all processes together."""
        return connections_for(self.requests, self.workers)

    @property
    def in_flight(self) -> int:
        """How many requests each process has under way at most."""
        return in_flight_for(self.workers)


def checked_plan(requests: int, processes: int, store: str | None) -> Plan:
    """What the command line asks for; raises `ConfigurationError` where it cannot be done."""
    whole_number(requests, f"--requests must be a number from 1 to {MOST_REQUESTS}", 1, MOST_REQUESTS)
    whole_number(processes, f"--processes must be a number from 1 to {MOST_PROCESSES}", 1, MOST_PROCESSES)
    return Plan(requests, processes, _store(store, processes))


def _store(wanted: str | None, processes: int) -> StoreKind | None:
    if wanted is None:
        return None if processes == 1 else _best_store()
    if wanted not in tuple(StoreKind):
        raise ConfigurationError(f"--store must be {' or '.join(StoreKind)}")
    if wanted == StoreKind.REDIS and redis_server_path() is None:
        raise ConfigurationError("redis-server is not installed on this machine; install it, or use --store file")
    return StoreKind(wanted)


def _best_store() -> StoreKind:
    """Redis where there is all that it needs."""
    return StoreKind.REDIS if redis_server_path() and find_spec("redis") else StoreKind.FILE
