"""Sends one process's share of the requests, and counts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Protocol

import aiohttp

from exterview_auth import AuthSession, ExterviewAuth, PasswordLogin, TokenStore

from .plan import WorkerConfig
from .timeline import Counts
from .workload import Workload, WrongAnswerError


class Observer(Protocol):
    """Is called while requests are sent."""

    def on_login(self) -> None:
        """Take note that a login has given a token."""

    def on_answers(self) -> None:
        """Take note that the number of answers has grown."""


class Sender:
    """Sends the requests of *config* through one owner, which keeps its token in *store*, or in memory."""

    def __init__(self, config: WorkerConfig, store: TokenStore | None = None) -> None:
        self._config = config
        self._auth = ExterviewAuth(
            PasswordLogin(config.target.email, config.target.password),
            api_key=config.target.api_key,
            endpoint=config.target.endpoint,
            store=store,
            # Not called for a token that another process's login gave: it counts logins, not tokens.
            on_token=lambda _new, _old, _reason: self._observer.on_login(),
        )
        self._observer: Observer
        self._failures: Counter[str] = Counter()
        self.answered = 0

    async def send(self, observer: Observer) -> None:
        """Send every request and wait for every answer."""
        self._observer = observer
        connector = aiohttp.TCPConnector(limit=self._config.connections)
        async with self._auth, aiohttp.ClientSession(connector=connector) as http:
            workload = Workload(AuthSession(http, self._auth), self._config.catalogue)
            numbers = iter(self._config.numbers())
            async with asyncio.TaskGroup() as group:
                # Every task takes the next number when it has its answer: that bounds the requests in flight.
                for _ in range(min(self._config.share, self._config.in_flight)):
                    group.create_task(self._send_some(workload, numbers))

    async def _send_some(self, workload: Workload, numbers: Iterator[int]) -> None:
        for number in numbers:
            try:
                await workload.send(number)
            except (aiohttp.ClientError, OSError, WrongAnswerError) as error:  # TimeoutError is an OSError
                self._failures[type(error).__name__] += 1
            self.answered += 1
            self._observer.on_answers()

    def counts(self) -> Counts:
        """Return the counters as they are now."""
        stats = self._auth.stats()
        return Counts(
            answered=self.answered,
            waiting=stats.waiting,
            waiting_peak=stats.waiting_peak,
            replays=stats.replays,
            logins=stats.logins,
            adopted=stats.adopted,
            failures=dict(self._failures),
        )
