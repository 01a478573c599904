"""What many accounts cost: a request through a pool of them, and each of them in memory."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import NamedTuple

from aiohttp import ClientSession, DummyCookieJar
from yarl import URL

from exterview_auth import AuthPool, AuthSession, ExterviewAuth, LoginContext, Token

from ..harness.api import QUERY, answered, opened_api, unlimited
from ..harness.growth import COLUMNS, RESIDENT, bytes_and_ratio, fresh, in_rounds
from ..harness.machine import collector_off
from ..harness.report import Report, Spread, in_random_order, ratio, sure, within
from ..harness.server import API_KEY, FIXED_TOKEN
from .accounts_worker import BASE as IN_A_DICT
from .accounts_worker import LIFETIME, SUBJECTS
from .middleware_alone import answer_at_once, requests_to

ONE, AGAIN = "1 account", "1 account again"
AT_ONCE = 64


class Size(NamedTuple):
    """How many accounts (fewer under tracing), requests in a block, calls around no request, and the rounds of each."""

    accounts: int
    traced: int
    requests: int
    alone: int
    rounds: int
    memory_rounds: int


@asynccontextmanager
async def _logged_in(count: int, endpoint: URL) -> AsyncIterator[tuple[AuthPool, list[str]]]:
    async def login(_: LoginContext) -> Token:
        return Token(FIXED_TOKEN, expires_in=LIFETIME)

    (request,) = await requests_to(endpoint)
    names = [f"account-{number:08d}" for number in range(count)]
    async with AuthPool(lambda _: ExterviewAuth(login, api_key=API_KEY, endpoint=endpoint), maxsize=count) as pool:
        for name in names:
            await pool[name].token()
            await pool[name](request, answer_at_once)  # each owner learns the URL at its first request
        yield pool, names


async def _measured(size: Size) -> tuple[dict[str, list[float]], dict[str, list[float]], int]:
    """
    Return the seconds of CPU of one request in each block, and how many were refused.

    First all requests go through one session; then each is around a handler that does nothing, where the memory that many
    owners take shows as what the processor waits for it.
    """
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(opened_api())
        # The accounts share the session, and no cookies.
        http = await stack.enter_async_context(ClientSession(connector=unlimited(), cookie_jar=DummyCookieJar()))
        counts = {ONE: 1, AGAIN: 1, f"{size.accounts} accounts": size.accounts}
        pools = {name: await stack.enter_async_context(_logged_in(count, api.url)) for name, count in counts.items()}

        async def seconds(name: str) -> float:
            pool, names = pools[name]
            left = iter(random.choices(names, k=size.requests))

            async def work() -> None:
                for account in left:
                    assert await answered(AuthSession(http, pool[account]).post(api.url, json=QUERY)) == 200

            gc.collect()
            began = time.process_time()
            await asyncio.gather(*(work() for _ in range(AT_ONCE)))
            return (time.process_time() - began) / size.requests

        (request,) = await requests_to(api.url)

        async def seconds_alone(name: str) -> float:
            pool, names = pools[name]
            owners = [pool[account] for account in random.choices(names, k=size.alone)]
            began = time.process_time()
            for owner in owners:
                await owner(request, answer_at_once)
            return (time.process_time() - began) / size.alone

        with collector_off():
            for name in pools:
                await seconds(name)
            found = await in_random_order(pools, size.rounds, seconds, every=10)
            gc.collect()
            alone = await in_random_order(pools, size.rounds, seconds_alone, every=10)
        return found, alone, (await api.log()).refused


def _times_of(size: Size, found: dict[str, list[float]]) -> Report:
    return Report.of(
        f"accounts: CPU time of one request through a pool, {AT_ONCE} at a time, each for a random account;"
        f" {size.rounds} rounds of blocks of {size.requests}, in random order.\n"
        "  Ratios compare within a round; the median lies in the range to its right with 95 %.",
        [("us/request", "time", within(".0f")), (f"to {ONE}", "ratio", ratio(".3f")), ("95 %", "ratio", sure(".3f"))],
        {
            name: {"time": Spread.of(one * 1e6 for one in times), "ratio": Spread.of_ratios(times, found[ONE])}
            for name, times in found.items()
        },
    )


def _times_alone_of(size: Size, found: dict[str, list[float]]) -> Report:
    return Report.of(
        f"accounts: CPU time of one call of a random owner around a handler that does nothing; {size.rounds} rounds of"
        f" {size.alone} calls, in random order.",
        [("ns/call", "time", within(".0f")), (f"to {ONE}", "ratio", ratio(".2f")), ("95 %", "ratio", sure(".2f"))],
        {
            name: {"time": Spread.of(one * 1e9 for one in times), "ratio": Spread.of_ratios(times, found[ONE])}
            for name, times in found.items()
        },
    )


def _bytes_of(size: Size) -> Report:
    async def measure(name: str, kind: str) -> dict[str, float]:
        count = size.accounts if kind == RESIDENT else size.traced
        return await fresh("scenarios.accounts_worker", name, kind, count)

    found = asyncio.run(in_rounds(list(SUBJECTS), size.memory_rounds, lambda: nullcontext(measure)))
    logins = {name: Spread.of(one["logins"] for one in found[name, RESIDENT]) for name in SUBJECTS}
    return Report.of(
        f"accounts: bytes per account, {size.accounts} of them; fresh processes, {size.memory_rounds} rounds in random order.\n"
        "  Counted are the account's name, its token with its own text of 40 characters or 1000, its owner with the renewal timer of a token that"
        " lives an hour, and the pool's entry;\n  login, API key and endpoint are the same objects for all."
        f" resident: the memory of the process, traced: what Python allocates (with {size.traced}, because tracing is slow).",
        [*COLUMNS, ("logins", "logins", Spread.count)],
        {name: {**bytes_and_ratio(found, name, IN_A_DICT), "logins": logins[name]} for name in SUBJECTS},
    )


def report(*, quick: bool) -> Report:
    """Measure CPU time of a request through a pool of one and of many, and bytes per account."""
    size = Size(200, 100, 128, 1000, 2, 1) if quick else Size(10_000, 2000, 192, 10_000, 60, 2)
    found, alone, refused = asyncio.run(_measured(size))
    together = Report.joined(
        {
            "requests": _times_of(size, found),
            "alone": _times_alone_of(size, alone),
            "memory": _bytes_of(size),
        }
    )
    return Report(together.tables, {**together.data, "refused": refused})
