"""
The demo's plot: a cold start, a storm of requests, and every token revoked in mid-flight.

The emulator is in this process, and whoever sends talks to it over real sockets. At most `MOST_CONNECTIONS` are open, as
with aiohttp's own default (fewer where descriptors are scarce), and at most `MOST_IN_FLIGHT` requests are under way:
beyond these, the next is made when one is answered.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import aiohttp

from exterview_auth import AuthSession, ExterviewAuth, StaticLogin
from exterview_auth.emulator import Emulator, EmulatorStats

from ._assignment import Access, Assignment
from ._fleet import opened_fleet
from ._plan import Plan
from ._recorder import Recorder
from ._sender import Audience, Sender
from ._story import ServerCount, Story
from ._tally import Tally
from ._timeline import Counts, Timeline
from ._workload import Catalogue, candidate_ids

LOGIN_DELAY = 0.25
"""Seconds that the emulator takes for a login: long enough to see the others wait."""
LATENCY = 0.05
"""Seconds that it takes for any answer."""
REVOKED_AT = 0.4
"""The share of answers after which every token is revoked."""


class _Cast(Protocol):
    """Who sends: this process or a fleet."""

    @property
    def answered(self) -> int: ...
    async def send(self, audience: Audience) -> None: ...
    def tally(self) -> Tally: ...


async def play(plan: Plan, on_look: Callable[[Timeline], None]) -> Story:
    """Play the demo as *plan* has it; *on_look* sees the timeline grow."""
    async with Emulator(login_delay=LOGIN_DELAY, latency=LATENCY) as emulator:
        assignment = await _assignment(plan, emulator)
        async with _opened_cast(plan, assignment) as cast:
            stage = _Stage(emulator, cast, plan, on_look)
            await stage.play()
            return stage.story()


async def _assignment(plan: Plan, emulator: Emulator) -> Assignment:
    """The whole of it."""
    access = Access(emulator.endpoint, emulator.api_key, emulator.email, emulator.password)
    return Assignment(access, await _catalogue_of(emulator), plan.requests, plan.connections, plan.in_flight)


async def _catalogue_of(emulator: Emulator) -> Catalogue:
    """What there is to ask for; read with a token of its own, before anything is counted."""
    auth = ExterviewAuth(StaticLogin(emulator.issue_token()), api_key=emulator.api_key, endpoint=emulator.endpoint)
    async with auth, aiohttp.ClientSession() as http:
        found = await candidate_ids(AuthSession(http, auth))
    return Catalogue(emulator.organization_id, emulator.job_ids, found)


@asynccontextmanager
async def _opened_cast(plan: Plan, assignment: Assignment) -> AsyncIterator[_Cast]:
    if plan.store is None:
        yield Sender(assignment)
        return
    async with opened_fleet(plan, plan.store, assignment) as fleet:
        yield fleet


class _Stage:
    """One performance, and the audience of those who send: the revocation, and who watches."""

    def __init__(self, emulator: Emulator, cast: _Cast, plan: Plan, on_look: Callable[[Timeline], None]) -> None:
        self._emulator = emulator
        self._cast = cast
        self._plan = plan
        self._before = emulator.stats()
        self._revoke_at = max(1, math.floor(plan.requests * REVOKED_AT))
        self._logins_before: int | None = None
        self._seconds = 0.0
        self._recorder = Recorder(self._counts, time.monotonic, on_look=on_look)

    async def play(self) -> None:
        """Have every request sent and every answer waited for."""
        async with _running(self._recorder):
            await self._cast.send(self)
        self._seconds = self._recorder.elapsed

    def login_made(self) -> None:
        """Mark it."""
        self._recorder.mark("login")

    def answers_came(self) -> None:
        """Revoke every token, once there are answers enough."""
        if self._logins_before is None and self._cast.answered >= self._revoke_at:
            self._logins_before = self._cast.tally().logins
            self._emulator.revoke()
            self._recorder.mark("every token revoked", guided=True)

    def story(self) -> Story:
        """What happened, by the client's and by the server's count."""
        server = self._emulator.stats()
        return Story(
            plan=self._plan,
            timeline=self._recorder.timeline,
            seconds=self._seconds,
            client=self._cast.tally(),
            server=ServerCount(
                logins=server.logins - self._before.logins,
                logins_peak=server.logins_running_peak,
                statuses=_statuses_of_requests(self._before, server),
            ),
            logins_before=self._logins_before or 0,
        )

    def _counts(self) -> Counts:
        client, statuses = self._cast.tally(), _statuses_of_requests(self._before, self._emulator.stats())
        return Counts(
            sent=sum(statuses.values()),
            refused=statuses.get(401, 0),
            waiting=client.waiting,
            replayed=client.replays,
            answered=client.answered,
        )


def _statuses_of_requests(before: EmulatorStats, after: EmulatorStats) -> dict[int, int]:
    """How the server answered what came between, logins (all of them good) apart."""
    statuses = Counter(after.statuses)
    statuses.subtract(before.statuses)
    statuses[200] -= (after.logins - after.logins_running) - (before.logins - before.logins_running)
    return {status: count for status, count in sorted(statuses.items()) if count}


@asynccontextmanager
async def _running(recorder: Recorder) -> AsyncIterator[None]:
    """Have *recorder* look while the block runs."""
    task = asyncio.create_task(recorder.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()  # its error
