"""What requests feel of a renewal ahead of expiry: the slowest of those in flight meanwhile."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple

from aiohttp import ClientSession, TCPConnector

from exterview_auth import AuthSession, ExterviewAuth, LoginContext, Token

from ..harness.api import ApiProcess, api_process
from ..harness.report import Report, Spread, Table, plain, progress
from ..harness.server import API_KEY, FIXED_TOKEN
from .ahead_load import Load, Window

WITHOUT, CONTROL, WITH = "without a renewal", "without a renewal again", "with a renewal"

AT_ONCE = 64
LOGIN_SECONDS = 0.1
WINDOW, PAUSE = 0.4, 0.15
"""Seconds in which requests are looked at, and before the next: notes are fetched, garbage is collected, traffic goes on."""
LEAD = 2
"""Windows between the sign-in of an owner and its own."""
AGE = LEAD * (WINDOW + PAUSE) + PAUSE
"""Seconds from that sign-in to the beginning of the window."""
LONG = 3600.0
SHORT = (AGE + 0.15) / 0.755
"""A lifetime of which the renewal, after 73 to 78 %, begins between 0.1 and 0.2 s in the window, and whose end lies after it."""


class Member(NamedTuple):
    """The owner for one window, and when it signed in."""

    kind: str
    auth: ExterviewAuth
    since: float


async def _signed_in(api: ApiProcess, kind: str) -> Member:
    """The first token costs no request; the next comes from the API, and the first goes on to be good."""

    async def login(context: LoginContext) -> Token:
        if context.previous is None:
            return Token(FIXED_TOKEN, expires_in=SHORT if kind == WITH else LONG)
        async with context.session.post(api.root / "login", params={"seconds": str(LOGIN_SECONDS)}) as response:
            return Token((await response.json())["token"], expires_in=LONG)

    auth = ExterviewAuth(login, api_key=API_KEY, endpoint=api.url)
    since = asyncio.get_running_loop().time()
    await auth.token()
    return Member(kind, auth, since)


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))


@asynccontextmanager
async def _load(api: ApiProcess) -> AsyncIterator[tuple[Load, ClientSession]]:
    async with ClientSession(connector=TCPConnector(limit=0)) as http, (await _signed_in(api, WITHOUT)).auth as auth:
        load = Load(api, AuthSession(http, auth))
        workers = [asyncio.create_task(load.work()) for _ in range(AT_ONCE)]
        try:
            yield load, http
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)


async def _one_window(api: ApiProcess, load: Load, http: ClientSession, member: Member) -> dict[str, float]:
    between, window = load.client, Window()
    async with member.auth as auth:
        began = asyncio.get_running_loop().time()
        load.client, load.window = AuthSession(http, auth), window
        await asyncio.sleep(WINDOW)
        load.client, load.window = between, Window()
        await window.end()
        log = await api.log()
        ahead = auth.stats().refreshes_ahead
    within = sum(began < one.began and one.ended is not None and one.ended < began + WINDOW for one in log.sessions)
    return {**window.figures(), "logins": log.logins, "within": within, "ahead": ahead, "refused": log.refused}


async def _windows(api: ApiProcess, kinds: list[str]) -> AsyncGenerator[tuple[str, dict[str, float]], None]:
    """One window after another; in the pause before each the owner for the one after the next signs in."""
    members: deque[Member] = deque()
    async with _load(api) as (load, http):
        for step in range(len(kinds) + LEAD):
            if step < len(kinds):
                members.append(await _signed_in(api, kinds[step]))
            gc.collect()
            if step < LEAD:
                await api.log()
                await _until(members[-1].since + WINDOW + PAUSE)
            else:
                member = members.popleft()
                await _until(member.since + AGE)
                yield member.kind, await _one_window(api, load, http, member)


async def _measured(rounds: int) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {WITHOUT: [], CONTROL: [], WITH: []}
    kinds = [kind for _ in range(rounds) for kind in random.sample(list(found), len(found))]
    gc.collect()
    gc.freeze()
    gc.disable()  # it is collected in the pauses
    try:
        async with api_process() as api, aclosing(_windows(api, kinds)) as windows:
            async for kind, figures in windows:
                if len(found[kind]) % 5 == 0 and kind == WITHOUT:
                    progress(len(found[kind]), rounds, "round")
                found[kind].append(figures)
    finally:
        gc.enable()
        gc.unfreeze()
    return found


def _figures(found: dict[str, list[dict[str, float]]], name: str) -> dict[str, Spread]:
    pairs = list(zip(found[name], found[WITHOUT], strict=True))
    return {
        **{key: Spread.of(one[key] for one in found[name]) for key in found[name][0]},
        "slowest_ratio": Spread.of(one["slowest"] / base["slowest"] for one, base in pairs),
        "p99_ratio": Spread.of(one["p99"] / base["p99"] for one, base in pairs),
    }


def _row(name: str, figures: dict[str, Spread], base: dict[str, Spread]) -> list[str]:
    cells = [f"{figures['requests'].median:.0f}"]
    for key in ("slowest", "p99"):
        ratio, pairs = figures[key].median / base[key].median, figures[f"{key}_ratio"]
        cells += [f"{figures[key]:.1f}", *(("-", "-") if name == WITHOUT else (f"{ratio:.3f}", pairs.surely(".3f")))]
    typical = f"{figures['slowest_to_median']:.2f}"
    return [name, *cells, typical, *(figures[count].count() for count in COUNTS)]


COUNTS = ("logins", "within", "refused", "failures")
MILLISECONDS = ("slowest ms", "ratio", "95 %", "p99 ms", "ratio", "95 %")
COLUMNS = ("", "requests", *MILLISECONDS, "slowest to typical", *COUNTS)


def report(*, quick: bool) -> Report:
    """The slowest request of windows with and without a renewal."""
    rounds = 1 if quick else 21
    found = asyncio.run(_measured(rounds))
    figures = {name: _figures(found, name) for name in found}
    table = Table(
        f"ahead: {AT_ONCE} requests in flight all the time; windows of {WINDOW} s with a renewal in the middle, whose login takes"
        f" {LOGIN_SECONDS} s, and without; {rounds} rounds in random order.\n"
        "  Milliseconds of each window's slowest request and 99th percentile; the ratios of their medians to those without a"
        " renewal,\n  and the range in which the median of the rounds' own ratios lies with 95 %;"
        " slowest to typical: to the median request of its window.\n"
        "  Logins and refusals are the server's, per window; within: logins that began and ended in it.",
        COLUMNS,
        [_row(name, one, figures[WITHOUT]) for name, one in figures.items()],
    )
    data = {name: plain(one) for name, one in figures.items()}
    ratio = figures[WITH]["slowest"].median / figures[WITHOUT]["slowest"].median
    return Report([table], {**data, "slowest_with_to_without": ratio})
