"""How a renewal ahead of expiry affects requests: the slowest of those in flight meanwhile."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple

from aiohttp import ClientError, ClientSession

from exterview_auth import AuthSession, ExterviewAuth, LoginContext, Token

from ..harness.api import QUERY, Api, answered, opened_api, unlimited
from ..harness.machine import collector_off
from ..harness.process import DEADLINE
from ..harness.report import Column, Figures, Report, Spread, median, progress, ratio, spreads, sure, within
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
DUE = 0.15
"""Seconds into a window after which a renewal is due."""
LIFETIME = 3600.0


class Load:
    """Sends one request after another with the current client, and keeps the requests that begin in the current window."""

    def __init__(self, api: Api, client: AuthSession) -> None:
        self._api = api
        self.client = client
        self.window: list[asyncio.Task[tuple[float, bool]]] = []

    async def work(self) -> None:
        """Send requests until cancelled."""
        while True:
            request = asyncio.create_task(self._ask())
            self.window.append(request)
            await request

    async def _ask(self) -> tuple[float, bool]:
        """Return the seconds of one request, and whether it failed: anything but a 200 is a failure."""
        began = time.perf_counter()
        try:
            failed = await answered(self.client.post(self._api.url, json=QUERY)) != 200
        except (ClientError, TimeoutError):
            failed = True
        return time.perf_counter() - began, failed


class Subject(NamedTuple):
    """The owner for one window, and when it logged in."""

    kind: str
    auth: ExterviewAuth
    since: float


async def _logged_in(api: Api, kind: str) -> Subject:
    """Log in without a request; the next token comes from the API, and the first one stays good."""

    async def login(context: LoginContext) -> Token:
        if context.previous is None:
            return Token(FIXED_TOKEN, expires_in=LIFETIME)
        token, _ = await api.login(context.session, seconds=str(LOGIN_SECONDS))
        return Token(token, expires_in=LIFETIME)

    auth = ExterviewAuth(login, api_key=API_KEY, endpoint=api.url)
    since = asyncio.get_running_loop().time()
    await auth.token()
    return Subject(kind, auth, since)


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))


def _make_due(auth: ExterviewAuth) -> None:
    """Have the renewal begin now, as the owner's timer does after most of a lifetime, however busy the machine is."""
    keeper = auth._keeper  # noqa: SLF001 - the time of a renewal is drawn, and nothing public sets it
    issued = keeper.state.current
    assert issued is not None
    issued.renew_at = 0.0
    keeper._renewal.arm(issued.renew_at)  # noqa: SLF001 - the same


async def _renewed(auth: ExterviewAuth) -> None:
    async with asyncio.timeout(DEADLINE):
        while not auth.stats().refreshes_ahead:  # noqa: ASYNC110 - an owner sets no event
            await asyncio.sleep(0.005)


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
    between = load.client
    async with subject.auth as auth:
        began = asyncio.get_running_loop().time()
        # The traffic never stops: requests that are in flight now belong to the window before, and those that are in flight
        # at the end to this one.
        load.client, load.window = AuthSession(http, auth), []
        if subject.kind == WITH:
            asyncio.get_running_loop().call_later(DUE, _make_due, auth)
        await asyncio.sleep(WINDOW)
        load.client, load.window, window = between, [], load.window
        requests = await asyncio.gather(*window)
        if subject.kind == WITH:
            await _renewed(auth)
        log = await api.log()
        ahead = auth.stats().refreshes_ahead
    return {
        "slowest": max(seconds for seconds, _ in requests) * 1e3,
        "requests": len(requests),
        "failures": sum(failed for _, failed in requests),
        "logins": log.logins,
        "within": sum(
            began < one.began and one.ended is not None and one.ended < began + WINDOW for one in log.sessions
        ),
        "ahead": ahead,
        "refused": log.refused,
    }


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
    # Garbage is collected between the windows.
    with collector_off():
        async with opened_api() as api, aclosing(_windows(api, kinds)) as windows:
            async for kind, figures in windows:
                if len(found[kind]) % 5 == 0 and kind == WITHOUT:
                    progress(len(found[kind]) + 1, rounds, "round")
                found[kind].append(figures)
    return found


def _figures(found: dict[str, list[Figures]], name: str) -> dict[str, Spread]:
    figures, base = spreads(found[name]), spreads(found[WITHOUT])
    slowest, bases = ([one["slowest"] for one in found[kind]] for kind in (name, WITHOUT))
    medians = Spread.of([figures["slowest"].median / base["slowest"].median])
    return {**figures, "slowest_medians": medians, "slowest_ratio": Spread.of_ratios(slowest, bases)}


COLUMNS: list[Column] = [
    ("requests", "requests", median(".0f")),
    ("slowest ms", "slowest", within(".1f")),
    ("ratio", "slowest_medians", ratio(".3f")),
    ("95 %", "slowest_ratio", sure(".3f")),
    *((count, count, Spread.count) for count in ("logins", "within", "refused", "failures")),
]


def report(*, quick: bool) -> Report:
    """Measure the slowest request in windows with and without a renewal."""
    rounds = 1 if quick else 21
    found = asyncio.run(_measured(rounds))
    return Report.of(
        f"ahead: {AT_ONCE} requests in flight all the time; windows of {WINDOW} s with a renewal in the middle, whose login takes"
        f" {LOGIN_SECONDS} s, and without; {rounds} rounds in random order.\n"
        "  Milliseconds of each window's slowest request; the ratio of their median to that without a renewal, and the range in"
        " which the\n  median of the ratios within a round lies with 95 %.\n"
        "  Logins and refusals are counted by the server, per window; within: logins that began and ended in it.",
        COLUMNS,
        {name: _figures(found, name) for name in found},
    )
