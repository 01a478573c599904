"""What callers do, and how it ends."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, NamedTuple

from aiohttp import ClientResponse, ClientTimeout

from exterview_auth import Token
from exterview_auth.errors import ApiError, GraphQLError

from ._api import Issued
from ._loop import SimulatedLoop
from ._naming import naming
from ._owner import ENDPOINT, Owner
from ._plan import Action

QUERY = "query Q { __typename }"
ONCE = ("once", "slow once")
"""The bodies that cannot be sent twice."""


class Sending(NamedTuple):
    """One attempt: a request left its middlewares."""

    at: float
    token: str


class Call:
    """One request, or one question for the token."""

    def __init__(self, name: str, owner: Owner, action: Action, loop: SimulatedLoop, factory: float) -> None:
        self.name = name
        self.owner = owner
        self.what = action.what
        self.body, _, self.trouble = action.how.partition(":")
        self.timeout = action.seconds or owner.login_timeout
        self._loop = loop
        self.began = loop.now
        self.began_at = owner.process.clock()
        """The same by its process's clock."""
        self.ready = math.inf
        """When aiohttp had all it needs to send the request, and the usable token that its owner had then."""
        self.held = ""
        self.paused_before = owner.process.paused
        self.ended: float | None = None
        self.ended_at = math.inf
        self.factory, self.times = factory, action.times
        self.cancelled = False
        """Whether the caller was cancelled from outside."""
        self.failure: BaseException | None = None
        self.excused = False
        """Whether it failed while a login had failed or was blocked."""
        self.status = 0
        self.answered: Any = None
        self.sendings: list[Sending] = []
        self.refused_with: list[Issued | None] = []
        """The tokens with which the API refused it."""
        self.told: dict[str, float] = {}
        """The texts of the tokens of which the middleware saw a refusal, and when by its process's clock."""
        self.in_doubt = ""
        """The text of a token that an answer refused in its body, which the middleware is about to read."""

    def is_ready(self) -> None:
        """Note that from now on only the owner can hold the request up."""
        self.ready, self.held = self._loop.now, self.owner.current_text

    def end_unbegun(self, _: object) -> None:
        """Note that the call was cancelled before its first step."""
        if self.ended is None:
            self.ended, self.ended_at, self.failure = self._loop.now, math.inf, asyncio.CancelledError()

    @property
    def sent_body(self) -> bytes | None:
        """The body that must arrive, if that is known."""
        return None if self.body in ("json", "graphql") else self.name.encode() * 20

    @property
    def outcome(self) -> str:
        """The end in one or two words."""
        if self.failure is not None:
            return f"ended in {type(self.failure).__name__}"
        if self.ended is None:
            return "killed with its process"
        return f"answered {self.status}" if self.what == "request" else f"given its {self.body}"

    def __repr__(self) -> str:
        outcome = self.failure if self.failure is not None else self.status
        return f"{self.what} {self.name} ({self.body}, {self.trouble or 'no trouble'}) of {self.owner}: {outcome!r}"


async def carry_out(call: Call, loop: SimulatedLoop) -> None:
    """Do what *call* asks for, and note how it ends."""
    try:
        await _WAYS[call.what](call)
    except (Exception, asyncio.CancelledError) as failure:  # noqa: BLE001 - whatever it is, it is checked
        call.failure = failure
        call.excused = call.owner.may_not_log_in(since=call.began)
    call.ended, call.ended_at = loop.now, call.owner.process.clock()


async def _ask(call: Call) -> None:
    answer = await (call.owner.auth.token() if call.body == "token" else call.owner.auth.headers())
    text = answer.value if isinstance(answer, Token) else answer["Authorization"].removeprefix("Bearer ")
    call.answered = str.__str__(text)
    call.owner.monitor.handed_out(call.owner, call.answered)


async def _refuse_at_a_door(call: Call) -> None:
    """Be an application that sends by another transport, is refused each time, and says so."""
    owner = call.owner
    for _ in range(call.times):
        token = await owner.auth.token()
        text = str.__str__(token.value)
        owner.monitor.handed_out(owner, text)
        await asyncio.sleep(0.01)
        if owner.closed:
            return
        is_current = owner.current_text == text
        owner.auth.invalidate(token)
        if is_current:
            owner.monitor.invalidated(owner, text)


async def _request(call: Call) -> None:
    naming.set(call.name)
    if not call.body.startswith("slow"):
        call.is_ready()
    if call.body == "graphql":
        await _graphql(call)
        return
    timeout = ClientTimeout(total=call.timeout)
    async with call.owner.api.post(ENDPOINT, timeout=timeout, **_body_of(call)) as response:
        call.status = response.status
        call.answered = await _read(response)


async def _graphql(call: Call) -> None:
    """Send a request by `AuthSession.graphql`, which has no timeout."""
    async with asyncio.timeout(call.timeout):
        try:
            call.answered = await call.owner.api.graphql(QUERY)
            call.status = 200
        except GraphQLError as failure:
            call.status, call.answered = 200, failure.data
        except ApiError as failure:
            call.status = failure.status


async def _read(response: ClientResponse) -> Any:
    if response.content_type != "application/json":
        return await response.read()
    return (await response.json()).get("data")


def _body_of(call: Call) -> dict[str, Any]:
    whole = call.sent_body or b""
    if call.body == "bytes":
        return {"data": whole}
    if call.body == "factory":
        return {"data": lambda: _in_pieces(whole)}
    if call.body == "slow factory":
        return {"data": lambda: _made(call, whole)}
    if call.body == "slow chunk":
        return {"data": lambda: _in_late_pieces(call, whole)}
    if call.body in ONCE:
        return {"data": _in_pieces(whole) if call.body == "once" else _in_late_pieces(call, whole)}
    return {"json": {"query": QUERY}}


async def _made(call: Call, whole: bytes) -> AsyncIterator[bytes]:
    await asyncio.sleep(call.factory)
    call.is_ready()
    return _in_pieces(whole)


async def _in_late_pieces(call: Call, whole: bytes) -> AsyncIterator[bytes]:
    """Take a while for the first piece: until then aiohttp holds the head back."""
    await asyncio.sleep(call.factory)
    call.is_ready()
    async for piece in _in_pieces(whole):
        yield piece


async def _in_pieces(whole: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(whole), 16):
        yield whole[start : start + 16]
        await asyncio.sleep(0)


_WAYS: dict[str, Callable[[Call], Coroutine[Any, Any, None]]] = {
    "request": _request,
    "ask": _ask,
    "refuse at a door": _refuse_at_a_door,
}
