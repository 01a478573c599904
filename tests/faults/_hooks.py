"""The application's own code, called by the library: whatever it does wrong stays its own, and nothing hangs on it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import structlog

from exterview_auth import LoginError, LoginUnavailableError, PasswordLogin, ReentrantLoginError
from tests.kit.api import KEY

from ._hook import (
    OWN_TIMEOUT,
    Fault,
    Hook,
    Play,
    calls_back,
    calls_back_inside,
    cancels,
    hangs,
    raises,
    returns_nonsense,
    row,
    seen,
)
from ._row import Outcome
from ._site import site
from ._stage import EMAIL, PASSWORD, Stage

# -- which hook ---------------------------------------------------------------------------------------------------------


def login(fault: Fault) -> Play:
    """The login is an application's own."""

    async def play(stage: Stage) -> Outcome:
        hook = Hook(fault)
        right = PasswordLogin(EMAIL, PASSWORD)
        hook.at = await site(stage, login=lambda context: hook(lambda: right(context)))
        return await seen(hook)

    return play


def api_key(fault: Fault) -> Play:
    """The key is read by an application's own function."""

    async def play(stage: Stage) -> Outcome:
        hook = Hook(fault)

        async def read() -> Any:
            return await hook(lambda: KEY)

        hook.at = await site(stage, api_key=read)
        return await seen(hook)

    return play


async def api_key_blocks(stage: Stage) -> Outcome:
    """A function that is not async, and does not return."""
    goes_on = threading.Event()
    hook = Hook(hangs)

    def read() -> str:
        if hook.faulty:
            goes_on.wait()
        return KEY

    hook.at = await site(stage, api_key=read)
    hook.faulty = True
    met = await hook.at.met_by()
    hook.faulty = False
    goes_on.set()
    return await hook.at.outcome(met)


def on_token(fault: Fault) -> Play:
    """Told of each login."""

    async def play(stage: Stage) -> Outcome:
        hook = Hook(fault)

        async def told(*_: Any) -> Any:
            return await hook(lambda: None)

        hook.at = await site(stage, on_token=told)
        return await seen(hook)

    return play


def is_unauthorized(fault: Fault, **options: Any) -> Play:
    """Asked about each answer."""

    async def play(stage: Stage) -> Outcome:
        hook = Hook(fault)

        async def refused(response: aiohttp.ClientResponse) -> Any:
            verdict = await hook(lambda: response.status == 401)
            return response.status == 401 if verdict is None else verdict

        hook.at = await site(stage, is_unauthorized=refused)
        await hook.at.warm()
        return await seen(hook, **options)

    return play


def processor(fault: Callable[[Hook, Any], Any]) -> Play:
    """Every event goes through it."""

    async def play(stage: Stage) -> Outcome:
        hook = Hook(hangs)
        stage.on_exit(structlog.reset_defaults)
        structlog.configure(processors=[lambda _logger, _method, event: fault(hook, event)])
        hook.at = await site(stage)
        await hook.at.warm()
        return await seen(hook)

    return play


def fails_in_processor(error: BaseException) -> Callable[[Hook, Any], Any]:
    """It raises."""

    def fail(_hook: Hook, _event: Any) -> Any:
        raise error

    return fail


def stands_still(_hook: Hook, _event: Any) -> Any:
    """For a moment: it is not async, and while it stands all stands."""
    time.sleep(0.2)
    raise structlog.DropEvent


def asks_the_owner(hook: Hook, _event: Any) -> Any:
    """All that it can without waiting, and more in a task of its own."""
    hook.at.auth.stats()
    hook.tasks.append(asyncio.ensure_future(hook.at.auth.token()))
    raise structlog.DropEvent


# -- rows ---------------------------------------------------------------------------------------------------------------

ROWS = (
    row("login raises", login(raises), LoginError, "ended in RuntimeError"),
    row("login hangs", login(hangs), LoginUnavailableError, "within 1 s"),
    row("login returns nonsense", login(returns_nonsense), LoginError, "returned object"),
    row("login cancels", login(cancels), LoginError, "cancelling itself"),
    row("login calls back into the owner", login(calls_back_inside), ReentrantLoginError, "context.session"),
    row("api_key raises", api_key(raises), LoginError, "ended in RuntimeError", logins=0),
    row("api_key hangs", api_key(hangs), LoginUnavailableError, "within 1 s", logins=0),
    row("api_key hangs in a thread", api_key_blocks, LoginUnavailableError, "within 1 s", logins=0),
    row("api_key returns nonsense", api_key(returns_nonsense), LoginError, "returned no key", logins=0),
    row("api_key cancels", api_key(cancels), LoginError, "cancel", logins=0),
    row("api_key calls back into the owner", api_key(calls_back_inside), LoginError, "api_key", logins=0),
    row("on_token raises", on_token(raises), tells="on_token.failed"),
    row("on_token hangs", on_token(hangs), within=15.0, tells="on_token.timeout"),
    row("on_token returns nonsense", on_token(returns_nonsense)),
    row("on_token cancels", on_token(cancels), tells="on_token.failed"),
    row("on_token calls back into the owner", on_token(calls_back)),
    row("is_unauthorized raises", is_unauthorized(raises)),
    row("is_unauthorized hangs", is_unauthorized(hangs, timeout=OWN_TIMEOUT), TimeoutError, logins=0),
    row("is_unauthorized returns nonsense", is_unauthorized(returns_nonsense)),
    row("is_unauthorized cancels", is_unauthorized(cancels)),
    row("is_unauthorized calls back into the owner", is_unauthorized(calls_back)),
    row("structlog processor raises", processor(fails_in_processor(RuntimeError("broken")))),
    row("structlog processor hangs", processor(stands_still)),
    row("structlog processor returns nonsense", processor(lambda *_: 42)),
    row("structlog processor cancels", processor(fails_in_processor(asyncio.CancelledError()))),
    row("structlog processor calls back into the owner", processor(asks_the_owner)),
)
