"""An application's own function that goes wrong in every way that there is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from exterview_auth import ReentrantLoginError

from ._row import Kind, Outcome, Row
from ._site import Site
from ._stage import Got, Stage, one

PLACE = "hooks"
OWN_TIMEOUT = aiohttp.ClientTimeout(total=0.5)
Play = Callable[[Stage], Awaitable[Outcome]]
Fault = Callable[["Hook"], Awaitable[Any]]


class Hook:
    """Faulty from when it is told so until it is healed."""

    def __init__(self, fault: Fault) -> None:
        self.at: Site
        self.faulty = False
        self._fault = fault
        self.told: list[Got] = []
        """What it got where it called back."""
        self.tasks: list[asyncio.Future[Any]] = []

    async def __call__(self, otherwise: Callable[[], Any]) -> Any:
        """What it does where it is faulty, or what it should."""
        if self.faulty:
            return await self._fault(self)
        result = otherwise()
        return await result if asyncio.iscoroutine(result) else result

    async def call_back(self) -> None:
        """Ask the owner for its token, and send a request of its own; one that this causes does not do so again."""
        if not self.told:
            self.told.append(200)
            await self.at.auth.token()
            self.told.append(await one(self.at.post()))


async def raises(_hook: Hook) -> Any:
    raise RuntimeError("broken")


async def hangs(_hook: Hook) -> Any:
    await asyncio.Event().wait()


async def returns_nonsense(_hook: Hook) -> Any:
    return object()


async def cancels(_hook: Hook) -> Any:
    raise asyncio.CancelledError


async def calls_back_inside(hook: Hook) -> Any:
    """Whatever it asks of the owner, it is told at once that it waits for itself."""
    at = hook.at
    told = [await one(ask()) for ask in (at.auth.token, at.auth.headers, at.post)]  # type: ignore[arg-type]  # all fail
    for error in told:
        if isinstance(error, ReentrantLoginError) and {type(other) for other in told} == {ReentrantLoginError}:
            raise error
    return told


async def calls_back(hook: Hook) -> Any:
    await hook.call_back()


async def seen(hook: Hook, **options: Any) -> Outcome:
    """The hook is faulty while every token is refused, and healed for the next login."""
    hook.faulty = True
    hook.at.server.tokens.clear()
    met = await hook.at.met_by(**options)
    hook.faulty = False
    logins = hook.at.login.count
    hook.at.server.tokens.clear()
    left = [f"it was told {told!r}" for told in hook.told if told != 200]
    left += ["it was told nothing"] * (len(hook.told) == 1)
    return (await hook.at.outcome(met, *left))._replace(logins=logins)


def row(fault: str, play: Play, gets: Kind = 200, says: str = "", **due: Any) -> Row:
    """One hook's fault."""
    return Row(PLACE, fault, play, gets, says, **due)
