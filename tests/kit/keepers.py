"""A keeper on a virtual clock, with a login that a test scripts."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable, Coroutine
from typing import Any

from exterview_auth import Token
from exterview_auth._core.account import Account
from exterview_auth._core.keeper import Keeper
from exterview_auth._options import RenewalOptions
from tests.kit import clock

Outcome = Token | BaseException | Callable[[Token | None], Any]


class ScriptedLogin:
    """
    Logs in as scripted: each outcome is a token, an error or a callable; without a script, ``T1``, ``T2``, ...

    ``gate`` holds every login up until it is set; ``seconds`` is what each takes.
    """

    def __init__(self, *script: Outcome, seconds: float = 0.0, expires_in: float | None = None) -> None:
        self.script = list(script)
        self.seconds = seconds
        self.expires_in = expires_in
        self.gate: asyncio.Event | None = None
        self.calls: list[Token | None] = []
        self.times: list[float] = []
        self.running = self.running_peak = 0
        self.issued: list[str] = []

    async def __call__(self, previous: Token | None) -> Token:
        self.calls.append(previous)
        self.times.append(clock.now())
        self.running += 1
        self.running_peak = max(self.running_peak, self.running)
        try:
            return await self._outcome(previous, len(self.calls))
        finally:
            self.running -= 1

    async def _outcome(self, previous: Token | None, number: int) -> Token:
        if self.gate is not None:
            await self.gate.wait()
        if self.seconds:
            await asyncio.sleep(self.seconds)
        outcome: Any = self.script.pop(0) if self.script else Token(f"T{number}", expires_in=self.expires_in)
        if callable(outcome):
            outcome = outcome(previous)
            if asyncio.iscoroutine(outcome):
                outcome = await outcome
        if isinstance(outcome, BaseException):
            raise outcome
        assert isinstance(outcome, Token)
        self.issued.append(outcome.value)
        return outcome

    @property
    def count(self) -> int:
        """How many logins were begun."""
        return len(self.calls)


def keeper(login: Any, **options: Any) -> Keeper:
    """A keeper on the running loop's virtual time, its jitter seeded."""
    renewal = {name: options.pop(name) for name in RenewalOptions._fields if name in options}
    given = {name: options.pop(name) for name in ("prepare", "clock") if name in options}
    given.setdefault("clock", clock.now)
    name = options.pop("account", "")
    account = Account(name, options=RenewalOptions(**renewal), random=random.Random(1), **given)
    made = Keeper(login, account, **options)
    _made.append(made)
    return made


_made: list[Keeper] = []


def scenario(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test in virtual time, and close the keepers that it made."""

    @clock.virtual_time
    @functools.wraps(test)
    async def run(*args: Any, **kwargs: Any) -> None:
        _made.clear()
        await test(*args, **kwargs)
        for made in _made:
            await made.lifecycle.aclose()
        _made.clear()

    return run
