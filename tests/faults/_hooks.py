"""The application's own code, called by the library: whatever it does wrong stays its own, and nothing hangs on it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import structlog

from exterview_auth import ConfigurationError, LoginError, LoginUnavailableError, PasswordLogin, ReentrantLoginError
from tests.kit.api import KEY

from ._row import Kind, Outcome, Play, Row, after
from ._site import Site, site
from ._stage import EMAIL, PASSWORD, Got, Stage, one

OWN_TIMEOUT = {"timeout": aiohttp.ClientTimeout(total=0.5)}
Fault = Callable[["Hook"], Awaitable[Any]]


class Hook:
    """An application's function that does the right thing unless it is ``faulty``."""

    def __init__(self, fault: Fault) -> None:
        self.at: Site
        self.faulty = False
        self._fault = fault
        self.called_back: list[Got] = []
        """What it got when it called back into the owner."""
        self.tasks: list[asyncio.Future[Any]] = []

    async def __call__(self, otherwise: Callable[[], Any]) -> Any:
        """Do what the fault does, or what *otherwise* does."""
        if self.faulty:
            return await self._fault(self)
        result = otherwise()
        return await result if asyncio.iscoroutine(result) else result


# -- what goes wrong ----------------------------------------------------------------------------------------------------


async def raises(_hook: Hook) -> Any:
    raise RuntimeError("broken")


async def hangs(_hook: Hook) -> Any:
    await asyncio.Event().wait()


async def returns_nonsense(_hook: Hook) -> Any:
    return object()


async def cancels(_hook: Hook) -> Any:
    raise asyncio.CancelledError


async def calls_back_inside(hook: Hook) -> Any:
    """Use the owner from inside its login: each use fails immediately, because it would wait for itself."""
    at = hook.at
    errors = [await one(use()) for use in (at.auth.token, at.auth.headers, at.post)]  # type: ignore[arg-type]  # all fail
    for error in errors:
        if isinstance(error, ReentrantLoginError) and {type(other) for other in errors} == {ReentrantLoginError}:
            raise error
    return errors


async def calls_back(hook: Hook) -> Any:
    """Take a token and send a request; the calls that these cause do not call back again."""
    if not hook.called_back:
        hook.called_back.append(200)
        await hook.at.auth.token()
        hook.called_back.append(await one(hook.at.post()))


# -- which hook ---------------------------------------------------------------------------------------------------------


def hooked(
    fault: Fault,
    options: Callable[[Hook], dict[str, Any]],
    *,
    warm: bool = False,
    request: dict[str, Any] | None = None,
) -> Play:
    """Return a scenario in which the owner has the hook among its *options*."""

    async def play(stage: Stage) -> Outcome:
        hook = Hook(fault)
        hook.at = await site(stage, **options(hook))
        if warm:
            await hook.at.warm()
        return await seen(hook, **(request or {}))

    return play


async def seen(hook: Hook, *, revoked: bool = True, **request: Any) -> Outcome:
    """Return what is seen if the hook is faulty while every token is refused, and works again for the next login."""
    at, hook.faulty = hook.at, True
    if revoked:
        at.server.tokens.clear()
    met = await at.met_by(**request)
    hook.faulty = False
    logins = at.login.count
    at.server.tokens.clear()
    left = [f"calling back gave {got!r}" for got in hook.called_back if got != 200]
    left += ["calling back gave nothing"] * (len(hook.called_back) == 1)
    return (await at.outcome(met, *left))._replace(logins=logins)


def login(hook: Hook) -> dict[str, Any]:
    """The login is the application's own."""
    right = PasswordLogin(EMAIL, PASSWORD)
    return {"login": lambda context: hook(lambda: right(context))}


def api_key(hook: Hook) -> dict[str, Any]:
    """The key is read by the application's own function."""
    return {"api_key": lambda: hook(lambda: KEY)}


def on_token(hook: Hook) -> dict[str, Any]:
    """Called once per login."""
    return {"on_token": lambda *_: hook(lambda: None)}


def is_unauthorized(hook: Hook) -> dict[str, Any]:
    """Called for each answer."""

    async def refused(response: aiohttp.ClientResponse) -> Any:
        verdict = await hook(lambda: response.status == 401)
        return response.status == 401 if verdict is None else verdict

    return {"is_unauthorized": refused}


def body_factory(fault: Fault, *, first: bool, **request: Any) -> Play:
    """Return a scenario in which a factory does not make the second body of each request, or not even the *first*."""

    async def play(stage: Stage) -> Outcome:
        hook = Hook(fault)
        hook.at = await site(stage)
        await hook.at.warm()
        good = [] if first else [b"{}"] * 5

        async def make() -> Any:
            return good.pop() if good else await hook(lambda: b"{}") or b"{}"

        return await seen(hook, revoked=not first, data=make, **request)

    return play


async def api_key_blocks(stage: Stage) -> Outcome:
    """A function that is not async, and does not return."""
    over = threading.Event()
    hook = Hook(hangs)

    def read() -> str:
        if hook.faulty:
            over.wait()
        return KEY

    hook.at = await site(stage, api_key=read)
    hook.faulty = True
    met = await hook.at.met_by()
    hook.faulty = False
    over.set()
    return await hook.at.outcome(met)


def processor(fault: Callable[[Hook], Any]) -> Play:
    """Return a scenario in which every event passes a faulty structlog processor."""

    async def play(stage: Stage) -> Outcome:
        hook = Hook(hangs)
        stage.on_exit(structlog.reset_defaults)
        structlog.configure(processors=[lambda _logger, _method, _event: fault(hook)])
        hook.at = await site(stage)
        await hook.at.warm()
        return await seen(hook)

    return play


def raising(error: BaseException) -> Callable[[Hook], Any]:
    """Return a processor that raises *error*."""

    def fail(_hook: Hook) -> Any:
        raise error

    return fail


def blocks(_hook: Hook) -> Any:
    """It is not async, so the whole loop waits."""
    time.sleep(0.2)
    raise structlog.DropEvent


def uses_the_owner(hook: Hook) -> Any:
    """Do all that is possible without waiting, and the rest in a task."""
    hook.at.auth.stats()
    hook.tasks.append(asyncio.ensure_future(hook.at.auth.token()))
    raise structlog.DropEvent


# -- rows ---------------------------------------------------------------------------------------------------------------


def row(fault: str, play: Play, gets: Kind = 200, says: str = "", **due: Any) -> Row:
    """Return one hook's fault."""
    return Row("hooks", fault, play, gets, says, **{"then": after(gets), **due})


def _body_factory(when: str, *, first: bool) -> tuple[Row, ...]:
    due: dict[str, Any] = {"logins": 0} if first else {}

    def one_fault(name: str, fault: Fault, gets: Kind = 200, **request: Any) -> Row:
        return row(f"body factory {name}{when}", body_factory(fault, first=first, **request), gets, **due)

    return (
        one_fault("raises", raises, RuntimeError),
        one_fault("hangs", hangs, TimeoutError, **OWN_TIMEOUT),
        one_fault("returns nonsense", returns_nonsense, TypeError),
        one_fault("cancels", cancels, ConfigurationError),
        one_fault("calls back into the owner", calls_back),
    )


ROWS = (
    row("login raises", hooked(raises, login), LoginError, "ended in RuntimeError"),
    row("login hangs", hooked(hangs, login), LoginUnavailableError, "within 2 s"),
    row("login returns nonsense", hooked(returns_nonsense, login), LoginError, "returned object"),
    row("login cancels", hooked(cancels, login), LoginError, "ended in CancelledError"),
    row("login calls back into the owner", hooked(calls_back_inside, login), ReentrantLoginError, "context.session"),
    row("api_key raises", hooked(raises, api_key), LoginError, "ended in RuntimeError", logins=0),
    row("api_key hangs", hooked(hangs, api_key), LoginUnavailableError, "within 2 s", logins=0),
    row("api_key hangs in a thread", api_key_blocks, LoginUnavailableError, "within 2 s", logins=0),
    row("api_key returns nonsense", hooked(returns_nonsense, api_key), LoginError, "returned no key", logins=0),
    row("api_key cancels", hooked(cancels, api_key), LoginError, "ended in CancelledError", logins=0),
    row("api_key calls back into the owner", hooked(calls_back_inside, api_key), LoginError, "api_key", logins=0),
    row("on_token raises", hooked(raises, on_token), tells="on_token.failed"),
    row("on_token hangs", hooked(hangs, on_token), within=15.0, tells="on_token.timeout"),
    row("on_token returns nonsense", hooked(returns_nonsense, on_token)),
    row("on_token cancels", hooked(cancels, on_token), tells="on_token.failed"),
    row("on_token calls back into the owner", hooked(calls_back, on_token)),
    row("is_unauthorized raises", hooked(raises, is_unauthorized, warm=True)),
    row(
        "is_unauthorized hangs",
        hooked(hangs, is_unauthorized, warm=True, request=OWN_TIMEOUT),
        TimeoutError,
        logins=0,
    ),
    row("is_unauthorized returns nonsense", hooked(returns_nonsense, is_unauthorized, warm=True)),
    row("is_unauthorized cancels", hooked(cancels, is_unauthorized, warm=True)),
    row("is_unauthorized calls back into the owner", hooked(calls_back, is_unauthorized, warm=True)),
    *_body_factory("", first=False),
    *_body_factory(" at first", first=True),
    row("structlog processor raises", processor(raising(RuntimeError("broken")))),
    row("structlog processor hangs", processor(blocks)),
    row("structlog processor returns nonsense", processor(lambda _hook: 42)),
    row("structlog processor cancels", processor(raising(asyncio.CancelledError()))),
    row("structlog processor calls back into the owner", processor(uses_the_owner)),
)
