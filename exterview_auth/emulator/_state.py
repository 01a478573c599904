"""
What all parts of one emulator share.

Every fault of today takes effect in one of the three methods that requests pass: `begin_request`, `login` and `authorize`. A
`Refusal` that they raise becomes the response.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from ._accounts import Accounts
from ._data import Dataset
from ._faults import Faults
from ._guard import require_bearer
from ._responses import Refusal
from ._stats import EmulatorCounters, EmulatorStats


class EmulatorState:
    """The data, accounts, counters, faults and times of one emulator."""

    def __init__(self, seed: int) -> None:
        # Assigned through `Emulator`, whose attributes of these names check them.
        self.token_lifetime = self.login_delay = self.latency = 0.0
        self.data = Dataset(seed)
        self.accounts = Accounts(self.data.recruiter.email)
        self.counters = EmulatorCounters()
        self.faults = Faults()

    async def begin_request(self) -> None:
        """Count a request on one of the API's paths, and delay it by the latency."""
        self.counters.requests += 1
        # Before anything is looked at: a token that is revoked while its request is on the way is refused.
        await self.faults.delays.sleep(self.latency)

    def authorize(self, request: web.Request) -> None:
        """Pass a request, not a login, whose bearer token is valid and whose key has permissions; else raise its refusal."""
        require_bearer(request, self.accounts)
        self.faults.check_request()

    @asynccontextmanager
    async def login(self) -> AsyncIterator[None]:
        """Count a login while it runs and delay it, then let the body check its credentials; or raise its refusal."""
        # Delayed before it is judged, as at the real API: a login is as slow when it is refused. A silent login counts as
        # running, so that tests can wait until it is.
        with self.counters.login():
            await self.faults.wait_out_silence()
            await self.faults.delays.sleep(self.login_delay)
            try:
                self.faults.check_login()
                yield
            except Refusal:
                self.counters.logins_refused += 1
                raise

    def issue_token(self) -> str:
        """Return a new bearer token with the current lifetime."""
        return self.accounts.issue_token(self.token_lifetime)

    def stats(self) -> EmulatorStats:
        """Return the totals so far."""
        return self.counters.snapshot(refresh_tokens_reused=self.accounts.refresh_tokens.reused)
