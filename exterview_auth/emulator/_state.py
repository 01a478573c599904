"""
What all parts of one emulator share.

Every fault of today takes effect in one of the three methods that requests pass: `wait_out_latency`, `login` and `authorize`. A
`Refusal` that they raise becomes the response.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import hdrs, web

from exterview_auth._secret import fingerprint

from ._accounts import Accounts
from ._answers import CannedAnswers
from ._data import Dataset
from ._faults import Faults
from ._guard import bearer_of, require_bearer
from ._journal import Exchange, Journal, answering, answering_if_any, enter
from ._responses import Refusal
from ._stats import EmulatorCounters, EmulatorStats

LONGEST_NAME = 80
"""Characters of an operation's name, or of an unknown path, in the journal."""


class Times(NamedTuple):
    """What may be slow, or short, in seconds."""

    token_lifetime: float
    login_delay: float
    latency: float


class EmulatorState:
    """The data, accounts, counters, journal, faults and times of one emulator. *clock* counts the lifetimes of tokens."""

    def __init__(self, seed: int, times: Times, clock: Callable[[], float]) -> None:
        self._seed = seed
        self._initial_times = times
        # Assigned through `Emulator`, whose attributes of these names check them.
        self.token_lifetime, self.login_delay, self.latency = times
        self.data = Dataset(seed)
        self.accounts = Accounts(self.data.recruiter.email, clock=clock)
        self.answers = CannedAnswers()
        self.counters = EmulatorCounters()
        self.journal = Journal()
        self.faults = Faults()

    def reset(self) -> None:
        """Be as new, with the same credentials. Requests that are in progress show in nothing that comes after."""
        self.token_lifetime, self.login_delay, self.latency = self._initial_times
        self.data = Dataset(self._seed)
        self.accounts.forget_tokens()
        self.answers.clear()
        self.counters = EmulatorCounters(websockets_open=self.counters.websockets_open)
        self.journal = Journal()
        self.faults = self.faults.successor()

    def open_exchange(self, request: web.Request) -> Exchange:
        """Count a request; what becomes of it is noted in the exchange."""
        path = self._shown_path(request) if "unknown" in request.match_info else request.path
        exchange = Exchange(request.method, path, self.counters, self.journal, self.faults)
        # Before the request is judged: it was sent with this token, whatever it is refused for.
        if token := bearer_of(request.headers.get(hdrs.AUTHORIZATION, "")):
            exchange.fingerprint = fingerprint(token)
        enter(exchange)
        return exchange

    async def wait_out_latency(self) -> None:
        """Delay a request."""
        # Before anything is looked at: a token that is revoked while its request is on the way is refused.
        await self.faults.delays.sleep(self.latency)

    def authorize(self, request: web.Request) -> None:
        """Pass a request, not a login, whose bearer token is valid and whose key has permissions; else raise its refusal."""
        require_bearer(request, self.accounts)
        answering().faults.check_request()

    @asynccontextmanager
    async def login(self) -> AsyncIterator[None]:
        """Count a login while it runs and delay it, then let the body check its credentials; or raise its refusal."""
        exchange = answering()
        exchange.login = True
        # Those of its beginning: it must not use up a fault that was asked for after a reset.
        faults = exchange.faults
        # Delayed before it is judged, as at the real API: a login is as slow when it is refused. A silent login counts as
        # running, so that tests can wait until it is.
        with exchange.counters.login():
            await faults.wait_out_silence()
            await faults.delays.sleep(self.login_delay)
            try:
                faults.check_login()
                yield
            except Refusal:
                self.refuse_login()
                raise

    def refuse_login(self) -> None:
        """Count a login as refused."""
        answering().refuse_login()

    def note_operation(self, name: str | None) -> None:
        """Note in the journal what the request asks for."""
        answering().operation = None if name is None else self.shown_name(name)

    def shown_name(self, name: str) -> str:
        """Return an operation's name as journal and page show it. Clients choose it, so a credential may be in it."""
        return "***" if self.accounts.shown_in(name, LONGEST_NAME) else _shortened(name)

    def _shown_path(self, request: web.Request) -> str:
        """Return a path that is not the API's as the journal shows it: on one line, and without a credential."""
        if self.accounts.shown_in(request.path, LONGEST_NAME):
            return "***"
        return _shortened(request.rel_url.raw_path)

    def issue_token(self) -> str:
        """Return a new bearer token with the current lifetime."""
        token = self.accounts.issue_token(self.token_lifetime, valid=self._is_issuing())
        if exchange := answering_if_any():  # none for `Emulator.issue_token`
            exchange.fingerprint = fingerprint(token)
        return token

    def issue_refresh_token(self) -> str:
        """Return a new refresh token."""
        return self.accounts.issue_refresh_token(valid=self._is_issuing())

    def _is_issuing(self) -> bool:
        """Whether a token that is issued now is valid. A login that began before a reset gets one that never was."""
        exchange = answering_if_any()
        return exchange is None or exchange.journal is self.journal

    def stats(self) -> EmulatorStats:
        """Return the totals so far."""
        return self.counters.snapshot(refresh_tokens_reused=self.accounts.refresh_tokens.reused)


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
