"""What a process needs to know to send its share of the requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from ._shared_store import StoreAddress, StoreKind
from ._workload import Catalogue, Workload


@dataclass(frozen=True, slots=True)
class Access:
    """The emulator that the requests go to, and the account that they share."""

    endpoint: str
    api_key: str = field(repr=False)
    email: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Assignment:
    """The share of sender number *sender* of *senders* in so many *requests*, and how much it does at once."""

    access: Access
    catalogue: Catalogue
    requests: int
    connections: int
    in_flight: int
    sender: int = 0
    senders: int = 1
    store: StoreAddress | None = None

    @property
    def share(self) -> int:
        """How many requests are this sender's."""
        return len(range(self.sender, self.requests, self.senders))

    def numbers(self) -> Sequence[int]:
        """The requests of this sender, in their order; each sender has the same mix of kinds."""
        by_kind = sorted(range(self.requests), key=lambda number: number % len(Workload.MIX))
        return sorted(by_kind[self.sender :: self.senders])

    def to_json(self) -> str:
        """One line of it, secrets included, for `from_json` in another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: bytes) -> Assignment:
        """What `to_json` wrote."""
        told = json.loads(line)
        access, catalogue, store = told.pop("access"), told.pop("catalogue"), told.pop("store")
        return cls(
            Access(**access),
            Catalogue(**catalogue),
            store=StoreAddress(StoreKind(store["kind"]), store["where"]) if store else None,
            **told,
        )
