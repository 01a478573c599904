"""What happens in the demo: a cold start, a storm of requests, and every token revoked in the middle of it."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp

from exterview_auth import AuthSession, ExterviewAuth, StaticLogin
from exterview_auth.emulator import Emulator, EmulatorStats

from .fleet import Fleet, opened_fleet
from .plan import Plan, Target, WorkerConfig
from .sender import Sender
from .timeline import DemoResult, Recorder, Sample, ServerCounts, Timeline
from .workload import Catalogue, candidate_ids

REVOKED_AT = 0.4
"""The share of answers after which every token is revoked."""


async def run_scenario(plan: Plan, on_sample: Callable[[Timeline], None]) -> DemoResult:
    """Send the requests of *plan* to an emulator; *on_sample* sees the timeline grow."""
    async with Emulator(login_delay=plan.login_delay, latency=plan.latency) as emulator:
        target = Target(emulator.endpoint, emulator.api_key, emulator.email, emulator.password)
        config = WorkerConfig(target, await _catalogue_of(emulator), plan.requests, plan.connections, plan.in_flight)
        async with _opened_sender(plan, config) as sender:
            run = _Run(emulator, sender, plan, on_sample)
            await run.send()
            return run.result()


async def _catalogue_of(emulator: Emulator) -> Catalogue:
    """Read what the requests may be about, with a separate token and before anything is counted."""
    auth = ExterviewAuth(StaticLogin(emulator.issue_token()), api_key=emulator.api_key, endpoint=emulator.endpoint)
    async with auth, aiohttp.ClientSession() as http:
        candidates = await candidate_ids(AuthSession(http, auth))
    return Catalogue(emulator.organization_id, emulator.job_ids, candidates)


@asynccontextmanager
async def _opened_sender(plan: Plan, config: WorkerConfig) -> AsyncIterator[Sender | Fleet]:
    if plan.store is None:
        yield Sender(config)
        return
    async with opened_fleet(plan, plan.store, config) as fleet:
        yield fleet


class _Run:
    """One run of the demo: observes the *sender*, and revokes every token when it is time."""

    def __init__(
        self, emulator: Emulator, sender: Sender | Fleet, plan: Plan, on_sample: Callable[[Timeline], None]
    ) -> None:
        self._emulator = emulator
        self._sender = sender
        self._plan = plan
        self._before = emulator.stats()
        self._revoke_at = max(1, math.floor(plan.requests * REVOKED_AT))
        self._logins_before: int | None = None
        self._seconds = 0.0
        self._recorder = Recorder(self._sample, time.monotonic, on_sample=on_sample)

    async def send(self) -> None:
        """Send every request and wait for every answer, recording meanwhile."""
        recording = asyncio.create_task(self._recorder.run())
        try:
            await self._sender.send(self)
            self._seconds = self._recorder.elapsed
        finally:
            recording.cancel()
            await asyncio.wait([recording])
        if not recording.cancelled():
            recording.result()  # it has failed: half a picture must not be taken for the whole

    def on_login(self) -> None:
        """Mark the login in the timeline."""
        self._recorder.mark("login")

    def on_answers(self) -> None:
        """Revoke every token, once, when there are enough answers."""
        # By answers and not by time: on a slow machine too, requests are in flight and some are left to send.
        if self._logins_before is None and self._sender.answered >= self._revoke_at:
            self._logins_before = self._sender.counts().logins
            self._emulator.revoke()
            self._recorder.mark("every token revoked", guided=True)

    def result(self) -> DemoResult:
        """Return what happened, by the clients' and by the server's count."""
        server = self._emulator.stats()
        return DemoResult(
            plan=self._plan,
            timeline=self._recorder.timeline,
            seconds=self._seconds,
            client=self._sender.counts(),
            server=ServerCounts(
                logins=server.logins - self._before.logins,
                logins_peak=server.logins_running_peak,
                statuses=_statuses_of_requests(self._before, server),
            ),
            logins_before=self._logins_before or 0,
        )

    def _sample(self) -> Sample:
        # The server counts what was sent and refused: the clients do not see attempts, only answers.
        client, statuses = self._sender.counts(), _statuses_of_requests(self._before, self._emulator.stats())
        return Sample(
            sent=sum(statuses.values()),
            refused=statuses.get(401, 0),
            waiting=client.waiting,
            replayed=client.replays,
            answered=client.answered,
        )


def _statuses_of_requests(before: EmulatorStats, after: EmulatorStats) -> dict[int, int]:
    """Return the server's answers by status since *before*, without those to logins, all of which succeed."""
    statuses = Counter(after.statuses)
    statuses.subtract(before.statuses)
    statuses[200] -= (after.logins - after.logins_running) - (before.logins - before.logins_running)
    return {status: count for status, count in sorted(statuses.items()) if count}
