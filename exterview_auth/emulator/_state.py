"""What all parts of the emulator share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ._accounts import Accounts
from ._arguments import Seconds
from ._data import Dataset
from ._faults import Faults
from ._guard import Guard
from ._responses import Refusal
from ._stats import EmulatorCounters, EmulatorStats

MAX_BODY = 64 * 1024 * 1024
"""Bytes that a request's body may have."""


class EmulatorState:
    """The records, accounts, counters and faults of one emulator."""

    token_lifetime = Seconds()
    login_delay = Seconds()
    latency = Seconds()

    def __init__(self, seed: int, *, token_lifetime: float, login_delay: float, latency: float) -> None:
        self.token_lifetime = token_lifetime
        self.login_delay = login_delay
        self.latency = latency
        self.data = Dataset(seed)
        self.accounts = Accounts(self.data.recruiter.email)
        self.counters = EmulatorCounters()
        self.faults = Faults()
        self.guard = Guard(self.accounts, self.faults)

    def issue_token(self) -> str:
        """A new bearer token with the lifetime of the moment."""
        return self.accounts.issue_token(self.token_lifetime)

    def stats(self) -> EmulatorStats:
        """What was asked and answered so far."""
        return self.counters.snapshot(refresh_tokens_reused=self.accounts.refresh_tokens.reused)

    @asynccontextmanager
    async def login(self) -> AsyncIterator[None]:
        """One login: counted, and as slow as it is to be. Inside, `Faults.login_refusal` says whether it is to fail."""
        with self.counters.login():
            await self.faults.wait_out_silence()
            await self.faults.delays.sleep(self.login_delay)
            try:
                yield
            except Refusal:
                self.counters.logins_refused += 1
                raise
