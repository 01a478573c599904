"""A keeper on a virtual clock, with a login that a test scripts."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any, TypeVar

from exterview_auth import Token
from exterview_auth._core.account import Account
from exterview_auth._core.keeper import Keeper
from exterview_auth._core.state import IssuedToken
from exterview_auth._options import OwnerOptions
from tests.kit import clock

Outcome = Token | BaseException | Callable[[Token | None], Any]
K = TypeVar("K", bound=Keeper)


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
        """How many logins have begun."""
        return len(self.calls)


class ScriptedKeeper(Keeper):
    """A keeper and its `login`."""

    login: ScriptedLogin

    async def text(self, refused: IssuedToken | None = None) -> str:
        """Return the text of the token that a caller obtains."""
        return (await self.obtain(refused)).token.value

    def waiting(self, refused: IssuedToken | None = None) -> asyncio.Future[IssuedToken]:
        """Return a task that obtains a token."""
        return asyncio.ensure_future(self.obtain(refused))

    async def outcomes(self, number: int) -> list[Any]:
        """Return what *number* simultaneous callers obtain: the texts of their tokens, or their errors."""
        return await asyncio.gather(*(self.text() for _ in range(number)), return_exceptions=True)


def keeper(login: Any, **options: Any) -> Keeper:
    """Return a keeper on the running loop's virtual time, with seeded jitter; it is closed when its test ends."""
    return _made(Keeper, login, options)


def scripted(*script: Outcome, seconds: float = 0.0, expires_in: float | None = None, **options: Any) -> ScriptedKeeper:
    """Return a keeper with a `ScriptedLogin` of these arguments."""
    login = ScriptedLogin(*script, seconds=seconds, expires_in=expires_in)
    made = _made(ScriptedKeeper, login, options)
    made.login = login
    return made


def _made(kind: type[K], login: Any, options: dict[str, Any]) -> K:
    renewal = {name: options.pop(name) for name in OwnerOptions._fields if name in options}
    given = {name: options.pop(name) for name in ("prepare", "clock", "presents_refresh_tokens") if name in options}
    given.setdefault("clock", clock.now)
    name = options.pop("account", "")
    account = Account(name, label=name, options=OwnerOptions(**renewal), random=random.Random(1), **given)
    made = kind(login, account, **options)
    with contextlib.suppress(RuntimeError):  # a test may make one outside any loop, and closes it itself
        loop = asyncio.get_running_loop()
        if isinstance(loop, clock.VirtualLoop):
            loop.cleanups.append(made.lifecycle.aclose)
    return made
