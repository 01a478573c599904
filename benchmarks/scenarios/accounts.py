"""What many accounts cost: a request through a pool of them, and each of them in memory."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import NamedTuple, Protocol

from aiohttp import ClientRequest, ClientSession, TCPConnector

from exterview_auth import AuthPool, AuthSession, ExterviewAuth, LoginContext, Token

from ..harness.api import QUERY, ApiProcess, api_process
from ..harness.growth import COLUMNS, RESIDENT, bytes_and_ratio, cells, fresh, in_rounds
from ..harness.report import Report, Spread, Table, plain, progress
from ..harness.server import API_KEY, FIXED_TOKEN
from .accounts_worker import BASE as IN_A_DICT
from .accounts_worker import LIFETIME, SUBJECTS
from .middleware_alone import _caught, _handler

ONE, AGAIN = "1 account", "1 account again"
AT_ONCE = 64


class Size(NamedTuple):
    """How many accounts, and of them under tracing; requests in a block, calls without a network, and the rounds of each."""

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


class Members(NamedTuple):
    """Owners, and the names under which they are found."""

    owners: Owners
    names: Sequence[str]


Call = Callable[[Members, int], Awaitable[float]]


@asynccontextmanager
async def _signed_in(count: int, endpoint: str) -> AsyncIterator[Members]:
    async def login(_: LoginContext) -> Token:
        return Token(FIXED_TOKEN, expires_in=LIFETIME)

    names = [f"account-{number:08d}" for number in range(count)]
    async with AuthPool(lambda _: ExterviewAuth(login, api_key=API_KEY, endpoint=endpoint), maxsize=count) as pool:
        for name in names:
            await pool[name].token()
        yield Members(pool, names)


def _without_pool(members: Members) -> Members:
    return Members({name: members.owners[name] for name in members.names}, members.names)


@asynccontextmanager
async def _posts(api: ApiProcess) -> AsyncIterator[Call]:
    """Seconds of CPU for so many requests of random accounts, all through one session."""
    async with ClientSession(connector=TCPConnector(limit=0)) as http:

        async def posts(members: Members, count: int) -> float:
            owners, left = members.owners, iter(random.choices(members.names, k=count))

            async def work() -> None:
                for account in left:
                    async with AuthSession(http, owners[account]).post(api.url, json=QUERY) as response:
                        await response.read()
                        assert response.status == 200

            began = time.process_time()
            await asyncio.gather(*(work() for _ in range(AT_ONCE)))
            return time.process_time() - began

        yield posts


def _calls(request: ClientRequest) -> Call:
    """Seconds of CPU for so many calls around a handler that answers at once."""

    async def calls(members: Members, count: int) -> float:
        owners, picked = members.owners, random.choices(members.names, k=count)
        began = time.process_time()
        for account in picked:
            await owners[account](request, _handler)
        return time.process_time() - began

    return calls


async def _rounds(call: Call, contestants: dict[str, Members], count: int, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in contestants}
    gc.collect()
    gc.freeze()  # the accounts: to look through them between the blocks takes longer than the blocks
    gc.disable()
    try:
        for members in contestants.values():
            await call(members, count)
        for number in range(rounds):
            if number % 10 == 0:
                progress(number, rounds, "round")
            for name in random.sample(list(contestants), len(contestants)):
                gc.collect()
                found[name].append(await call(contestants[name], count) / count)
    finally:
        gc.enable()
        gc.unfreeze()
    return found


async def _measured(size: Size) -> tuple[dict[str, list[float]], dict[str, list[float]], int]:
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(api_process())
        sizes = {ONE: 1, AGAIN: 1, size.many: size.accounts}
        pools = {
            name: await stack.enter_async_context(_signed_in(count, str(api.url))) for name, count in sizes.items()
        }
        (request,) = await _caught(api.url)
        calls = _calls(request)
        for members in pools.values():  # each owner learns the URL at its first request
            for name in members.names:
                await members.owners[name](request, _handler)
        posts = await stack.enter_async_context(_posts(api))
        through = await _rounds(posts, pools, size.requests, size.rounds)
        refused = (await api.log()).refused
        without = {f"{name}, in a dict": _without_pool(pools[name]) for name in (ONE, size.many)}
        alone = await _rounds(calls, {**pools, **without}, size.calls, size.alone_rounds)
    return through, alone, refused


def _times(found: dict[str, list[float]], unit: float) -> dict[str, dict[str, Spread]]:
    return {
        name: {
            "time": Spread.of(seconds / unit for seconds in times),
            "ratio": Spread.of(time / base for time, base in zip(times, found[ONE], strict=True)),
        }
        for name, times in found.items()
    }


def _time_table(sentence: str, unit: str, figures: dict[str, dict[str, Spread]]) -> Table:
    rows = [
        [
            name,
            f"{one['time']:.0f}",
            *(("-", "-") if name == ONE else (f"{one['ratio']:.3f}", one["ratio"].surely(".3f"))),
        ]
        for name, one in figures.items()
    ]
    return Table(sentence, ("", unit, f"to {ONE}", "95 %"), rows)


def _bytes_of(size: Size) -> dict[str, dict[str, Spread]]:
    async def measure(name: str, kind: str) -> dict[str, float]:
        return await fresh("scenarios.accounts_worker", name, kind, size.accounts if kind == RESIDENT else size.traced)

    found = asyncio.run(in_rounds(list(SUBJECTS), size.memory_rounds, lambda: nullcontext(measure)))
    return {
        name: {
            **bytes_and_ratio(found, name, IN_A_DICT),
            "logins": Spread.of(one["logins"] for one in found[name, RESIDENT]),
        }
        for name in SUBJECTS
    }


def _bytes_table(size: Size, figures: dict[str, dict[str, Spread]]) -> Table:
    return Table(
        f"accounts: bytes per account, {size.accounts} of them; fresh processes, {size.memory_rounds} rounds in random order.\n"
        "  Counted are the account's name, its token with a text of its own, its owner with the renewal timer of a token that"
        " lives an hour, and the pool's entry;\n  the login, API key and endpoint are the same objects for all."
        " resident: the process's memory,"
        f" traced: what Python allocates (with {size.traced}, since tracing is slow).",
        ("", *COLUMNS, "logins"),
        [[name, *cells(one, base=name == IN_A_DICT), one["logins"].count()] for name, one in figures.items()],
    )


def _time_tables(
    size: Size, requests: dict[str, dict[str, Spread]], calls: dict[str, dict[str, Spread]]
) -> list[Table]:
    through = (
        f"accounts: CPU time of one request through a pool, {AT_ONCE} at a time, each of a random account;"
        f" {size.rounds} rounds of blocks of {size.requests}, in random order.\n"
        "  Ratios are to the same round; the median lies in the range to its right with 95 %."
    )
    alone = (
        "accounts: the same without a network, around a handler that answers at once, and with the owners in a dict;"
        f" {size.alone_rounds} rounds of {size.calls} calls."
    )
    return [_time_table(through, "us/request", requests), _time_table(alone, "ns/call", calls)]


def report(*, quick: bool) -> Report:
    """CPU time of a request through a pool of one and of many, and bytes per account."""
    size = Size(200, 100, 128, 2, 400, 2, 1) if quick else Size(10_000, 2000, 192, 60, 20_000, 10, 2)
    through, alone, refused = asyncio.run(_measured(size))
    requests, calls, sizes = _times(through, 1e-6), _times(alone, 1e-9), _bytes_of(size)
    data = {
        "requests": {name: plain(one) for name, one in requests.items()},
        "alone": {name: plain(one) for name, one in calls.items()},
        "memory": {name: plain(one) for name, one in sizes.items()},
        "refused": refused,
    }
    return Report([*_time_tables(size, requests, calls), _bytes_table(size, sizes)], data)
