"""What callers do, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from aiohttp import ClientResponse, ClientTimeout

from exterview_auth import Token
from exterview_auth.errors import ApiError, GraphQLError

from ._api import Issued
from ._loop import SimulatedLoop
from ._owner import ENDPOINT, Owner
from ._plan import Action
from ._process import naming

QUERY = "query Q { __typename }"


class Sending(NamedTuple):
    """One attempt: a request left its middlewares."""

    at: float
    token: str


class Call:
    """One request, or one question for the token."""

    def __init__(self, name: str, owner: Owner, action: Action, loop: SimulatedLoop) -> None:
        self.name = name
        self.owner = owner
        self.what = action.what
        self.body, _, self.trouble = action.how.partition(":")
        self.timeout = action.seconds or owner.auth._keeper._renewal.acquisition._account.options.login_timeout
        self.began = loop.now
        self.paused_before = owner.process.paused
        self.ended: float | None = None
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
        await (_request(call) if call.what == "request" else _ask(call))
    except (Exception, asyncio.CancelledError) as failure:  # noqa: BLE001 - whatever it is, it is checked
        call.failure = failure
        call.excused = call.owner.may_not_log_in(since=call.began)
    call.ended = loop.now


async def _ask(call: Call) -> None:
    answer = await (call.owner.auth.token() if call.body == "token" else call.owner.auth.headers())
    text = answer.value if isinstance(answer, Token) else answer["Authorization"].removeprefix("Bearer ")
    call.answered = str.__str__(text)


async def _request(call: Call) -> None:
    naming.set(call.name)
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
    if call.body == "once":
        return {"data": _in_pieces(whole)}
    return {"json": {"query": QUERY}}


async def _in_pieces(whole: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(whole), 16):
        yield whole[start : start + 16]
        await asyncio.sleep(0)
