"""What a request costs while the token is good, beside the same HTTP library without authentication."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from ..harness.api import Api
from ..harness.cost import COLUMNS, Cost, cost_of, figures
from ..harness.report import Report, progress
from .contestants import BASES, PEERS
from .peer import Peer

CONCURRENCY = 64


Found = dict[str, list[Cost]]


@dataclass(frozen=True)
class Size:
    """How many requests a block has on each HTTP library, and in how many rounds each takes part."""

    requests: dict[str, int]
    rounds: dict[str, int]

    def taking_part(self, number: int) -> list[Peer]:
        """Return the peers that are measured in this round: those that take ten times as long in fewer of them."""
        return [peer for peer in PEERS if number % (self.most // self.rounds[peer.library]) == 0]

    @property
    def most(self) -> int:
        """The number of rounds."""
        return max(self.rounds.values())


async def measured(api: Api, size: Size) -> Found:
    """Measure all contestants, each open all the time on its own connections; the first block of each does not count."""
    found: Found = {peer.name: [] for peer in PEERS}
    async with AsyncExitStack() as stack:
        await api.begin()
        clients = {peer.name: await stack.enter_async_context(peer.opened(api)) for peer in PEERS}

        async def cost(peer: Peer) -> Cost:
            send = partial(clients[peer.name].send, "graphql")
            return await cost_of(send, size.requests[peer.library], CONCURRENCY)

        for peer in PEERS:
            await clients[peer.name].warm()
            await cost(peer)
        for number in range(size.most):
            if number % 10 == 0:
                progress(number + 1, size.most, "steady, round")
            peers = size.taking_part(number)
            for peer in random.sample(peers, len(peers)):
                found[peer.name].append(await cost(peer))
    return found


def report(found: Found, size: Size) -> Report:
    blocks = " and ".join(f"{size.rounds[name]} of {size.requests[name]} on {name}" for name in BASES)
    return Report.of(
        f"peers, steady: the token is good; {CONCURRENCY} at a time, in blocks in random order ({blocks}).\n"
        "  Ratios compare with static headers on the same HTTP library in the same round: 1 is as fast, less is slower;"
        " the median lies in the range to its right with 95 %.",
        COLUMNS,
        {
            peer.name: figures(found[peer.name], found[BASES[peer.library]], size.requests[peer.library])
            for peer in PEERS
        },
    )
