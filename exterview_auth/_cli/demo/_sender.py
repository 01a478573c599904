"""Sends one process's share of the requests, and counts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import aiohttp

from exterview_auth import AuthSession, ExterviewAuth, PasswordLogin, TokenStore

from ._assignment import Assignment
from ._tally import Tally
from ._workload import Workload, WrongAnswerError


class Audience(Protocol):
    """Is told what happens as it happens."""

    def login_made(self) -> None:
        """A login has given a token."""

    def answers_came(self) -> None:
        """The number of answers has grown."""


class Sender:
    """The requests of one *assignment*, through an owner that keeps its token in *store*, or to itself."""

    def __init__(self, assignment: Assignment, store: TokenStore | None = None) -> None:
        access = assignment.access
        self._assignment = assignment
        self._auth = ExterviewAuth(
            PasswordLogin(access.email, access.password),
            api_key=access.api_key,
            endpoint=access.endpoint,
            store=store,
            on_token=lambda _new, _old, _reason: self._audience.login_made(),
        )
        self._audience: Audience
        self._failures: Counter[str] = Counter()
        self.answered = 0

    async def send(self, audience: Audience) -> None:
        """Send every request and wait for every answer, as *audience* is told."""
        self._audience = audience
        connector = aiohttp.TCPConnector(limit=self._assignment.connections)
        async with self._auth, aiohttp.ClientSession(connector=connector) as http:
            await self._send_all(Workload(AuthSession(http, self._auth), self._assignment.catalogue))

    def tally(self) -> Tally:
        """The counters as they are now."""
        counted = self._auth.stats()
        return Tally(
            answered=self.answered,
            waiting=counted.waiting,
            waiting_peak=counted.waiting_peak,
            replays=counted.replays,
            logins=counted.logins,
            adopted=counted.adopted,
            failures=dict(self._failures),
        )

    async def _send_all(self, workload: Workload) -> None:
        left = iter(self._assignment.numbers())
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._assignment.share, self._assignment.in_flight)):
                group.create_task(self._send_on(workload, left))

    async def _send_on(self, workload: Workload, left: Iterator[int]) -> None:
        """Send one request after the other, as long as there are any."""
        for number in left:
            with self._failure_counted():
                await workload.send(number)
            self.answered += 1
            self._audience.answers_came()

    @contextmanager
    def _failure_counted(self) -> Iterator[None]:
        try:
            yield
        except (aiohttp.ClientError, OSError, WrongAnswerError) as error:  # OSError has TimeoutError in it
            self._failures[type(error).__name__] += 1
