"""What the demo does, and how much of it at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import ClassVar

from exterview_auth._options import whole_number
from exterview_auth.errors import ConfigurationError

from .redis_server import redis_server_path, required_redis_server
from .store import StoreAddress, StoreKind
from .workload import Catalogue, Workload

MAX_REQUESTS = 100_000
MAX_PROCESSES = 64
MAX_CONNECTIONS = 100
"""As many as aiohttp opens by default."""
MAX_IN_FLIGHT = 5_000
"""Requests in flight in all processes together; beyond these, the next is sent when one is answered."""

_OTHER_DESCRIPTORS = 40
"""File descriptors for everything but connections: modules, event loop, login."""
_DESCRIPTORS_PER_WORKER = 4
"""Both ends of a process's pipes, while it starts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many requests are sent by how many processes; without a *store*, by this process."""

    requests: int
    processes: int = 1
    store: StoreKind | None = None

    latency: ClassVar[float] = 0.05
    """Seconds that the emulator takes for any answer."""
    login_delay: ClassVar[float] = 0.25
    """Seconds that the emulator takes for a login in addition: long enough to see requests wait."""

    @property
    def worker_processes(self) -> int:
        """Processes that are started to send; 0 if this process sends."""
        return 0 if self.store is None else self.processes

    @property
    def connections(self) -> int:
        """
        Connections in all processes together.

        At most a quarter of the requests have one, so that some are left to send when the tokens are revoked; each
        process has at least one.
        """
        # In one process both ends of a connection take a descriptor; of a fleet's, only the server's is here.
        free = _free_descriptors(_OTHER_DESCRIPTORS + _DESCRIPTORS_PER_WORKER * self.worker_processes)
        affordable = MAX_CONNECTIONS if free is None else free // (1 if self.worker_processes else 2)
        return max(1, self.worker_processes, min(MAX_CONNECTIONS, self.requests // 4, affordable))

    @property
    def in_flight(self) -> int:
        """Requests that each process has in flight at most."""
        return MAX_IN_FLIGHT // max(1, self.worker_processes)


def _free_descriptors(taken: int) -> int | None:
    """Return how many file descriptors this process may open beside *taken*; ``None``: no limit."""
    try:
        import resource  # noqa: PLC0415 - Windows does not have it
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft - taken


def checked_plan(requests: int, processes: int, store: str | None) -> Plan:
    """Return the command line's options as a plan; raises `ConfigurationError` if they cannot be carried out."""
    whole_number(requests, f"--requests must be a number from 1 to {MAX_REQUESTS}", 1, MAX_REQUESTS)
    whole_number(processes, f"--processes must be a number from 1 to {MAX_PROCESSES}", 1, MAX_PROCESSES)
    if store is None:
        if processes == 1:
            return Plan(requests)
        has_redis = redis_server_path() and find_spec("redis")
        return Plan(requests, processes, StoreKind.REDIS if has_redis else StoreKind.FILE)
    if store not in tuple(StoreKind):
        raise ConfigurationError(f"--store must be {' or '.join(StoreKind)}")  # without the value: it may be a secret
    if store == StoreKind.REDIS:
        required_redis_server()
    return Plan(requests, processes, StoreKind(store))


@dataclass(frozen=True, slots=True)
class Target:
    """Where the requests go, and with which account."""

    endpoint: str
    api_key: str = field(repr=False)
    email: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What one sender needs to know: it is number *index* of the *workers* that share so many *requests*."""

    target: Target
    catalogue: Catalogue
    requests: int
    connections: int
    in_flight: int
    index: int = 0
    workers: int = 1
    store: StoreAddress | None = None

    @property
    def share(self) -> int:
        """How many of the requests this sender sends."""
        return len(range(self.index, self.requests, self.workers))

    def numbers(self) -> Sequence[int]:
        """Return the numbers of this sender's requests, in their order; each sender has the same mix of kinds."""
        # Grouped by kind, then taken in turn. Every n-th number as such would give a sender queries alone.
        by_kind = sorted(range(self.requests), key=lambda number: number % len(Workload.MIX))
        return sorted(by_kind[self.index :: self.workers])

    def to_json(self) -> str:
        """Return one line with everything, secrets included, for another process's standard input."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: bytes) -> WorkerConfig:
        """Return what `to_json` wrote."""
        values = json.loads(line)
        target, catalogue, store = values.pop("target"), values.pop("catalogue"), values.pop("store")
        return cls(
            Target(**target),
            Catalogue(**catalogue),
            store=StoreAddress(StoreKind(store["kind"]), store["where"]) if store else None,
            **values,
        )
