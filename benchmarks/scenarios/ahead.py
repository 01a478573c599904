"""How a renewal ahead of expiry affects requests: the slowest of those in flight meanwhile."""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple

from aiohttp import ClientError, ClientSession

from exterview_auth import AuthSession, ExterviewAuth, LoginContext, Token

from ..harness.api import QUERY, Api, answered, opened_api, unlimited
from ..harness.report import Figures, Report, Spread, Table, plain, progress, spreads
from ..harness.server import API_KEY, FIXED_TOKEN

WITHOUT, CONTROL, WITH = "without a renewal", "without a renewal again", "with a renewal"

AT_ONCE = 64
LOGIN_SECONDS = 0.1
WINDOW, PAUSE = 0.4, 0.15
"""Seconds in which requests are measured, and between two windows: the log is fetched, garbage is collected, traffic continues."""
LEAD = 2
"""Windows between an owner's login and its own window."""
AGE = LEAD * (WINDOW + PAUSE) + PAUSE
"""Seconds from that login to the beginning of the window."""
LONG = 3600.0
SHORT = (AGE + 0.15) / 0.755
"""A lifetime whose renewal, after 73 to 78 %, begins between 0.1 and 0.2 s into the window, and which ends after the window."""


class Window:
    """The requests that begin within a stretch of time, including those that end after it."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.failures = 0
        self._in_flight = 0
        self._over = False
        self._all_ended = asyncio.Event()

    async def ask(self, client: AuthSession, api: Api) -> None:
        """Send one request and time it; anything but a 200 is a failure."""
        self._in_flight += 1
        began = time.perf_counter()
        try:
            self.failures += await answered(client.post(api.url, json=QUERY)) != 200
        except (ClientError, TimeoutError):
            self.failures += 1
        self.seconds.append(time.perf_counter() - began)
        self._in_flight -= 1
        if self._over and not self._in_flight:
            self._all_ended.set()

    async def end(self) -> None:
        """Wait for the requests in flight; no other request begins in this window."""
        self._over = True
        if self._in_flight:
            await self._all_ended.wait()

    def figures(self) -> Figures:
        """Return milliseconds of the slowest request and of the 99th percentile, the slowest in medians, and counts."""
        return {
            "slowest": max(self.seconds) * 1e3,
            "p99": statistics.quantiles(self.seconds, n=100)[-1] * 1e3,
            "slowest_to_median": max(self.seconds) / statistics.median(self.seconds),
            "requests": len(self.seconds),
            "failures": self.failures,
        }


class Load:
    """Sends one request after another with the current client, and times each in the current window."""

    def __init__(self, api: Api, client: AuthSession) -> None:
        self._api = api
        self.client = client
        self.window = Window()

    async def work(self) -> None:
        """Send requests until cancelled."""
        while True:
            await self.window.ask(self.client, self._api)


class Subject(NamedTuple):
    """The owner for one window, and when it logged in."""

    kind: str
    auth: ExterviewAuth
    since: float


async def _logged_in(api: Api, kind: str) -> Subject:
    """Log in without a request; the next token comes from the API, and the first one stays good."""

    async def login(context: LoginContext) -> Token:
        if context.previous is None:
            return Token(FIXED_TOKEN, expires_in=SHORT if kind == WITH else LONG)
        token, _ = await api.login(context.session, seconds=str(LOGIN_SECONDS))
        return Token(token, expires_in=LONG)

    auth = ExterviewAuth(login, api_key=API_KEY, endpoint=api.url)
    since = asyncio.get_running_loop().time()
    await auth.token()
    return Subject(kind, auth, since)


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))


@asynccontextmanager
async def _load(api: Api) -> AsyncIterator[tuple[Load, ClientSession]]:
    async with ClientSession(connector=unlimited()) as http, (await _logged_in(api, WITHOUT)).auth as auth:
        load = Load(api, AuthSession(http, auth))
        workers = [asyncio.create_task(load.work()) for _ in range(AT_ONCE)]
        try:
            yield load, http
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)


async def _one_window(api: Api, load: Load, http: ClientSession, subject: Subject) -> Figures:
    between, window = load.client, Window()
    async with subject.auth as auth:
        began = asyncio.get_running_loop().time()
        # The traffic never stops: requests that are in flight now still belong to the window before.
        load.client, load.window = AuthSession(http, auth), window
        await asyncio.sleep(WINDOW)
        load.client, load.window = between, Window()
        await window.end()
        log = await api.log()
        ahead = auth.stats().refreshes_ahead
    within = sum(began < one.began and one.ended is not None and one.ended < began + WINDOW for one in log.sessions)
    return {**window.figures(), "logins": log.logins, "within": within, "ahead": ahead, "refused": log.refused}


async def _windows(api: Api, kinds: list[str]) -> AsyncGenerator[tuple[str, Figures], None]:
    """Measure one window after another; before each, the owner for the window after the next logs in."""
    subjects: deque[Subject] = deque()
    async with _load(api) as (load, http):
        for step in range(len(kinds) + LEAD):
            if step < len(kinds):
                subjects.append(await _logged_in(api, kinds[step]))
            gc.collect()
            # The first steps only log owners in, so that each owner has the same age when its window begins.
            if step < LEAD:
                await api.log()
                await _until(subjects[-1].since + WINDOW + PAUSE)
            else:
                subject = subjects.popleft()
                await _until(subject.since + AGE)
                yield subject.kind, await _one_window(api, load, http, subject)


async def _measured(rounds: int) -> dict[str, list[Figures]]:
    found: dict[str, list[Figures]] = {WITHOUT: [], CONTROL: [], WITH: []}
    kinds = [kind for _ in range(rounds) for kind in random.sample(list(found), len(found))]
    gc.collect()
    gc.freeze()
    gc.disable()  # garbage is collected between the windows
    try:
        async with opened_api() as api, aclosing(_windows(api, kinds)) as windows:
            async for kind, figures in windows:
                if len(found[kind]) % 5 == 0 and kind == WITHOUT:
                    progress(len(found[kind]) + 1, rounds, "round")
                found[kind].append(figures)
    finally:
        gc.enable()
        gc.unfreeze()
    return found


def _figures(found: dict[str, list[Figures]], name: str) -> dict[str, Spread]:
    ratios = {
        f"{key}_ratio": Spread.of_ratios((one[key] for one in found[name]), (base[key] for base in found[WITHOUT]))
        for key in ("slowest", "p99")
    }
    return spreads(found[name]) | ratios


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
    """Measure the slowest request in windows with and without a renewal."""
    rounds = 1 if quick else 21
    found = asyncio.run(_measured(rounds))
    figures = {name: _figures(found, name) for name in found}
    table = Table(
        f"ahead: {AT_ONCE} requests in flight all the time; windows of {WINDOW} s with a renewal in the middle, whose login takes"
        f" {LOGIN_SECONDS} s, and without; {rounds} rounds in random order.\n"
        "  Milliseconds of each window's slowest request and of its 99th percentile; the ratios of their medians to those without a"
        " renewal,\n  and the range in which the median of the ratios within a round lies with 95 %;"
        " slowest to typical: to the median request of its window.\n"
        "  Logins and refusals are counted by the server, per window; within: logins that began and ended in it.",
        COLUMNS,
        [_row(name, one, figures[WITHOUT]) for name, one in figures.items()],
    )
    data = {name: plain(one) for name, one in figures.items()}
    ratio = figures[WITH]["slowest"].median / figures[WITHOUT]["slowest"].median
    return Report([table], {**data, "slowest_with_to_without": ratio})
