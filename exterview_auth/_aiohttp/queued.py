"""
Requests that queue for a connection, or whose body is being made, while their token changes.

aiohttp calls a request's ``send`` when it has a connection, which under load is long after the middleware has signed it.
By then the token may be dead. Just before such a request is written, it is *signed again* if there is another token;
otherwise it is *sent back*: the middleware waits for a token and has aiohttp begin again.

Then aiohttp holds the head back until the body begins. A stream that has begun cannot be sent back: it waits where it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import ClientRequest, ClientResponse, hdrs

from .._core.state import IssuedToken, TokenState
from .._token import Token
from ..errors import ExterviewAuthError
from .internals.requests import first_line_of
from .signing import Key, carries, sign

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.connector import Connection


class StaleTokenError(Exception):
    """Sends a request back: its token was rejected or logged out while it queued. Nothing was sent; the connection is free."""


class LateSignature:
    """
    Replaces the ``send`` of a request whose token changed before its answer came.

    aiohttp calls it once there is a connection; a request that was written before is not affected. ``issued`` is the token
    that the request carries when it is written.
    """

    __slots__ = ("_key", "_request", "_state", "issued")

    def __init__(self, request: ClientRequest, issued: IssuedToken, state: TokenState, key: Key) -> None:
        self._request = request
        self._state = state
        self._key = key
        self.issued = issued
        request.send = self  # type: ignore[method-assign,assignment]  # for this instance alone, until it is written

    def __call__(self, connection: Connection) -> Coroutine[Any, Any, ClientResponse]:
        # An owner further in may have signed over our signature: then nothing here is about our token.
        current = self._state.unrejected if carries(self._request, self.issued) else self.issued
        if current is None:
            connection.release()
            raise StaleTokenError
        if current is not self.issued:
            self.issued = current
            sign(self._request, current, self._key)
        return type(self._request).send(self._request, connection)

    def restore(self) -> None:
        """Give the request its own ``send`` back: it has its answer, or will have none."""
        # Not by way of `__dict__`, which would create one: thousands may be sent back to wait, each with a dictionary.
        with contextlib.suppress(AttributeError):  # another owner on its way has done it
            del self._request.send


class HeldHead(LateSignature):
    """
    Signs the head of a request when its body begins: a stream or a file may take a while, and *obtain* another token.

    The head goes with the first bytes then, as always.
    """

    __slots__ = ("_obtain", "failure")

    def __init__(
        self,
        request: ClientRequest,
        issued: IssuedToken,
        state: TokenState,
        key: Key,
        obtain: Callable[[], Awaitable[IssuedToken]],
    ) -> None:
        super().__init__(request, issued, state, key)
        self._obtain = obtain
        self.failure: ExterviewAuthError | None = None
        """Why there is no token. aiohttp says only that the body could not be written."""
        request.write_bytes = self.write  # type: ignore[method-assign,assignment]  # as ``send``

    async def write(self, writer: AbstractStreamWriter, *arguments: Any) -> None:
        """Write the body, in aiohttp's own way, and the head with its first bytes, or to ask for a 100 Continue."""
        writes = ["write", "write_eof"]
        if hdrs.EXPECT in self._request.headers:
            writes.append("drain")
            writer.send_headers = lambda: None  # type: ignore[method-assign]  # it drains next
        for name in writes:
            setattr(writer, name, partial(self._begin, writer, name))
        await type(self._request).write_bytes(self._request, writer, *arguments)

    async def _begin(self, writer: AbstractStreamWriter, name: str, *arguments: Any, **options: Any) -> None:
        for own in ("write", "write_eof", "drain", "send_headers"):
            writer.__dict__.pop(own, None)
        try:
            await self._sign(writer)
        except ExterviewAuthError as failure:
            self.failure = failure.copy_for_waiter()
            raise
        if name == "drain":
            writer.send_headers()
        # Head and first bytes in one piece, as aiohttp writes them: a connection that the head finds closed fails once.
        await getattr(writer, name)(*arguments, **options)
        writer.send_headers()  # unless they went along: a compressor may keep the first bytes

    async def _sign(self, writer: AbstractStreamWriter) -> None:
        if carries(self._request, self.issued):
            current = self._state.unexpired or await self._obtain()
            if current is not self.issued:
                self.issued = current
                sign(self._request, current, self._key)
                await writer.write_headers(first_line_of(writer), self._request.headers)

    def restore(self) -> None:
        super().restore()
        with contextlib.suppress(AttributeError):  # as above
            del self._request.write_bytes


class SignedAgain:
    """Stands for a request that its own owner has signed again further in, where it was answered and judged."""

    __slots__ = ()

    issued = IssuedToken(Token("none"), from_login=False)
    """A token that no request carries."""

    def restore(self) -> None:
        """Do nothing: the inner one has done it."""


SIGNED_AGAIN = SignedAgain()


class SignedRequests:
    """Requests that are signed and have no answer yet; watches the state of their token."""

    __slots__ = ("_key", "unanswered")

    def __init__(self, key: Key) -> None:
        self._key = key
        # Invariant: a request is in here exactly while its handler runs. Without a late signature it carries the current
        # token.
        self.unanswered: dict[ClientRequest, LateSignature | None] = {}

    def on_change(self, state: TokenState, issued: IssuedToken) -> None:
        """Make requests that are not written yet check the token again before they are."""
        for request, late in self.unanswered.items():
            if late is None and carries(request, issued):
                self.unanswered[request] = LateSignature(request, issued, state, self._key)
