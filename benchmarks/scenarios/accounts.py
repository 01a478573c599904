"""What many accounts cost: a request through a pool of them, and each of them in memory."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import NamedTuple, Protocol

from aiohttp import ClientRequest, ClientSession

from exterview_auth import AuthPool, AuthSession, ExterviewAuth, LoginContext, Token

from ..harness.api import QUERY, Api, answered, opened_api, unlimited
from ..harness.growth import COLUMNS, RESIDENT, bytes_and_ratio, cells, fresh, in_rounds
from ..harness.report import Report, Spread, Table, in_random_order, plain
from ..harness.server import API_KEY, FIXED_TOKEN
from .accounts_worker import BASE as IN_A_DICT
from .accounts_worker import LIFETIME, SUBJECTS
from .middleware_alone import answer_at_once, requests_to

ONE, AGAIN = "1 account", "1 account again"
AT_ONCE = 64


class Size(NamedTuple):
    """How many accounts (fewer under tracing), requests in a block, calls without a network, and the rounds of each."""

    accounts: int
    traced: int
    requests: int
    rounds: int
    calls: int
    alone_rounds: int
    memory_rounds: int

    @property
    def many(self) -> str:
        """The name of the contestant with all accounts."""
        return f"{self.accounts} accounts"


class Owners(Protocol):
    """A pool, or a dict of its owners."""

    def __getitem__(self, account: str, /) -> ExterviewAuth: ...


class Contestant(NamedTuple):
    """Owners, and the names of their accounts."""

    owners: Owners
    names: Sequence[str]


Call = Callable[[Contestant, int], Awaitable[float]]
"""Makes so many calls, each for a random account, and returns the seconds of CPU that they took."""
Times = dict[str, list[float]]
Ratios = dict[str, dict[str, Spread]]


@asynccontextmanager
async def _logged_in(count: int, endpoint: str) -> AsyncIterator[Contestant]:
    async def login(_: LoginContext) -> Token:
        return Token(FIXED_TOKEN, expires_in=LIFETIME)

    names = [f"account-{number:08d}" for number in range(count)]
    async with AuthPool(lambda _: ExterviewAuth(login, api_key=API_KEY, endpoint=endpoint), maxsize=count) as pool:
        for name in names:
            await pool[name].token()
        yield Contestant(pool, names)


@asynccontextmanager
async def _posts(api: Api) -> AsyncIterator[Call]:
    """Make requests to the API, all through one session."""
    async with ClientSession(connector=unlimited()) as http:

        async def posts(contestant: Contestant, count: int) -> float:
            owners, left = contestant.owners, iter(random.choices(contestant.names, k=count))

            async def work() -> None:
                for account in left:
                    assert await answered(AuthSession(http, owners[account]).post(api.url, json=QUERY)) == 200

            began = time.process_time()
            await asyncio.gather(*(work() for _ in range(AT_ONCE)))
            return time.process_time() - began

        yield posts


def _calls(request: ClientRequest) -> Call:
    """Make calls around a handler that answers at once."""

    async def calls(contestant: Contestant, count: int) -> float:
        owners, picked = contestant.owners, random.choices(contestant.names, k=count)
        began = time.process_time()
        for account in picked:
            await owners[account](request, answer_at_once)
        return time.process_time() - began

    return calls


async def _times(call: Call, contestants: dict[str, Contestant], count: int, rounds: int) -> Times:
    async def seconds(name: str) -> float:
        gc.collect()
        return await call(contestants[name], count) / count

    gc.collect()
    gc.freeze()  # the accounts: visiting them between the blocks takes longer than the blocks
    gc.disable()
    try:
        for contestant in contestants.values():
            await call(contestant, count)
        return await in_random_order(contestants, rounds, seconds, every=10)
    finally:
        gc.enable()
        gc.unfreeze()


async def _measured(size: Size) -> tuple[Times, Times, int]:
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(opened_api())
        sizes = {ONE: 1, AGAIN: 1, size.many: size.accounts}
        pools = {
            name: await stack.enter_async_context(_logged_in(count, str(api.url))) for name, count in sizes.items()
        }
        (request,) = await requests_to(api.url)
        for pool in pools.values():  # each owner learns the URL at its first request
            for name in pool.names:
                await pool.owners[name](request, answer_at_once)
        posts = await stack.enter_async_context(_posts(api))
        through = await _times(posts, pools, size.requests, size.rounds)
        refused = (await api.log()).refused
        dicts = {
            f"{name}, in a dict": Contestant({one: pool.owners[one] for one in pool.names}, pool.names)
            for name, pool in pools.items()
            if name != AGAIN
        }
        alone = await _times(_calls(request), {**pools, **dicts}, size.calls, size.alone_rounds)
    return through, alone, refused


def _ratios(found: Times, unit: float) -> Ratios:
    return {
        name: {
            "time": Spread.of(seconds / unit for seconds in times),
            "ratio": Spread.of_ratios(times, found[ONE]),
        }
        for name, times in found.items()
    }


def _time_table(sentence: str, unit: str, figures: Ratios) -> Table:
    rows = []
    for name, one in figures.items():
        ratio = ("-", "-") if name == ONE else (f"{one['ratio']:.3f}", one["ratio"].surely(".3f"))
        rows.append([name, f"{one['time']:.0f}", *ratio])
    return Table(sentence, ("", unit, f"to {ONE}", "95 %"), rows)


def _bytes_of(size: Size) -> Ratios:
    async def measure(name: str, kind: str) -> dict[str, float]:
        count = size.accounts if kind == RESIDENT else size.traced
        return await fresh("scenarios.accounts_worker", name, kind, count)

    found = asyncio.run(in_rounds(list(SUBJECTS), size.memory_rounds, lambda: nullcontext(measure)))
    return {
        name: {
            **bytes_and_ratio(found, name, IN_A_DICT),
            "logins": Spread.of(one["logins"] for one in found[name, RESIDENT]),
        }
        for name in SUBJECTS
    }


def _tables(size: Size, requests: Ratios, calls: Ratios, sizes: Ratios) -> list[Table]:
    through = (
        f"accounts: CPU time of one request through a pool, {AT_ONCE} at a time, each for a random account;"
        f" {size.rounds} rounds of blocks of {size.requests}, in random order.\n"
        "  Ratios compare within a round; the median lies in the range to its right with 95 %."
    )
    alone = (
        "accounts: the same without a network, around a handler that answers at once, and with the owners in a dict;"
        f" {size.alone_rounds} rounds of {size.calls} calls."
    )
    memory = (
        f"accounts: bytes per account, {size.accounts} of them; fresh processes, {size.memory_rounds} rounds in random order.\n"
        "  Counted are the account's name, its token with its own text, its owner with the renewal timer of a token that"
        " lives an hour, and the pool's entry;\n  login, API key and endpoint are the same objects for all."
        f" resident: the memory of the process, traced: what Python allocates (with {size.traced}, because tracing is slow)."
    )
    rows = [[name, *cells(one, base=name == IN_A_DICT), one["logins"].count()] for name, one in sizes.items()]
    return [
        _time_table(through, "us/request", requests),
        _time_table(alone, "ns/call", calls),
        Table(memory, ("", *COLUMNS, "logins"), rows),
    ]


def report(*, quick: bool) -> Report:
    """Measure CPU time of a request through a pool of one and of many, and bytes per account."""
    size = Size(200, 100, 128, 2, 400, 2, 1) if quick else Size(10_000, 2000, 192, 60, 20_000, 10, 2)
    through, alone, refused = asyncio.run(_measured(size))
    requests, calls, sizes = _ratios(through, 1e-6), _ratios(alone, 1e-9), _bytes_of(size)
    parts = {"requests": requests, "alone": calls, "memory": sizes}
    data = {part: {name: plain(one) for name, one in found.items()} for part, found in parts.items()}
    return Report(_tables(size, requests, calls, sizes), {**data, "refused": refused})
