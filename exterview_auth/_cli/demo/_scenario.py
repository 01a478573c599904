"""
The demo's plot: a cold start, a storm of requests, and every token revoked in mid-flight.

Client and sandbox are in one process and talk over real sockets. At most `MOST_CONNECTIONS` are open, as with aiohttp's
own default (fewer where descriptors are scarce), and at most `MOST_IN_FLIGHT` requests are under way: beyond these, the
next is made when one is answered.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import aiohttp

from exterview_auth import AuthSession, ExterviewAuth, PasswordLogin, StaticLogin
from exterview_auth.sandbox import Sandbox, SandboxStats

from ._bounds import MOST_IN_FLIGHT, connections_for
from ._recorder import Recorder
from ._timeline import Counts, Timeline
from ._workload import Catalogue, Workload, WrongAnswerError, candidate_ids

LOGIN_DELAY = 0.25
"""Seconds that the sandbox takes for a login: long enough to see the others wait."""
LATENCY = 0.05
"""Seconds that it takes for any answer."""
REVOKED_AT = 0.4
"""The share of answers after which every token is revoked."""


@dataclass(slots=True)
class Story:
    """What happened."""

    requests: int
    timeline: Timeline = field(default_factory=Timeline)
    seconds: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    logins_before: int = 0
    """Logins until the tokens were revoked."""
    logins: int = 0
    replays: int = 0
    waiting_peak: int = 0
    server_logins: int = 0
    """The same by the server's count."""
    server_logins_peak: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    """The server's answers by status, logins apart."""

    @property
    def failed(self) -> int:
        """Requests whose caller got no good answer."""
        return self.failures.total()


async def play(requests: int, on_look: Callable[[Timeline], None]) -> Story:
    """Play the demo with so many *requests*; *on_look* sees the timeline grow."""
    async with Sandbox(login_delay=LOGIN_DELAY, latency=LATENCY) as sandbox:
        catalogue = await _catalogue_of(sandbox)
        auth = ExterviewAuth(
            PasswordLogin(sandbox.email, sandbox.password),
            api_key=sandbox.api_key,
            endpoint=sandbox.endpoint,
            on_token=lambda _new, _old, _reason: stage.recorder.mark("login"),
        )
        connector = aiohttp.TCPConnector(limit=connections_for(requests))
        async with auth, aiohttp.ClientSession(connector=connector) as http:
            stage = _Stage(sandbox, auth, Workload(AuthSession(http, auth), catalogue), requests, on_look)
            await stage.play()
            return stage.story()


async def _catalogue_of(sandbox: Sandbox) -> Catalogue:
    """What there is to ask for; read with a token of its own, before anything is counted."""
    auth = ExterviewAuth(StaticLogin(sandbox.issue_token()), api_key=sandbox.api_key, endpoint=sandbox.endpoint)
    async with auth, aiohttp.ClientSession() as http:
        found = await candidate_ids(AuthSession(http, auth))
    return Catalogue(sandbox.organization_id, sandbox.job_ids, found)


class _Stage:
    """One performance: the requests, the revocation, and who watches."""

    def __init__(
        self,
        sandbox: Sandbox,
        auth: ExterviewAuth,
        workload: Workload,
        requests: int,
        on_look: Callable[[Timeline], None],
    ) -> None:
        self._sandbox = sandbox
        self._auth = auth
        self._workload = workload
        self._before = sandbox.stats()
        self._answered = 0
        self._revoke_at = max(1, math.floor(requests * REVOKED_AT))
        self._story = Story(requests)
        self.recorder = Recorder(self._counts, time.monotonic, on_look=on_look)

    async def play(self) -> None:
        """Send every request and wait for every answer."""
        numbers = iter(range(self._story.requests))
        async with _running(self.recorder), asyncio.TaskGroup() as group:
            for _ in range(min(self._story.requests, MOST_IN_FLIGHT)):
                group.create_task(self._send_on(numbers))
        self._story.seconds = self.recorder.elapsed

    def story(self) -> Story:
        """What happened, by the client's and by the server's count."""
        client, server, story = self._auth.stats(), self._sandbox.stats(), self._story
        story.timeline = self.recorder.timeline
        story.logins, story.replays, story.waiting_peak = client.logins, client.replays, client.waiting_peak
        story.server_logins = server.logins - self._before.logins
        story.server_logins_peak = server.logins_running_peak
        story.statuses = _statuses_of_requests(self._before, server)
        return story

    async def _send_on(self, numbers: Iterator[int]) -> None:
        """Send one request after the other, as long as there are any."""
        for number in numbers:
            with self._failure_counted():
                await self._workload.send(number)
            self._answered += 1
            if self._answered == self._revoke_at:
                self._revoke()

    def _revoke(self) -> None:
        self._story.logins_before = self._auth.stats().logins
        self._sandbox.revoke()
        self.recorder.mark("every token revoked", guided=True)

    @contextmanager
    def _failure_counted(self) -> Iterator[None]:
        try:
            yield
        except (aiohttp.ClientError, OSError, WrongAnswerError) as error:  # OSError has TimeoutError in it
            self._story.failures[type(error).__name__] += 1

    def _counts(self) -> Counts:
        client, statuses = self._auth.stats(), _statuses_of_requests(self._before, self._sandbox.stats())
        return Counts(
            sent=sum(statuses.values()),
            refused=statuses.get(401, 0),
            waiting=client.waiting,
            replayed=client.replays,
            answered=self._answered,
        )


def _statuses_of_requests(before: SandboxStats, after: SandboxStats) -> dict[int, int]:
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
