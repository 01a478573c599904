"""
Requests of a login, held to HTTPS or loopback, to the origin where their call began, and to answers that end.

A kind of request and of answer, because no argument of a call replaces those: ``middlewares=`` replaces a session's middlewares,
and those of ``login_session=`` may answer a redirect that nothing further in sees.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from aiohttp import ClientRequest, ClientResponse
from yarl import URL

from .._endpoint import origin_of, require_safe_transport
from ..errors import LoginError
from ..logins._context import MAX_RESPONSE
from .bodies import read_ahead
from .chains import Chains
from .internals.needed import require_request

if TYPE_CHECKING:
    from aiohttp.connector import Connection

_beginnings: Chains[list[URL]] = Chains()
"""Where the calls of logins began."""


class TooLongError(LoginError):
    """A login's answer was longer than `MAX_RESPONSE`. In the frames of this error is the answer, whose repr shows its headers."""


def held(kind: type[ClientRequest]) -> type[ClientRequest]:
    """Return *kind* for requests of a login."""
    together: type[ClientRequest] = _together((_LoginRequest, kind))
    return together


@cache
def _together(kinds: tuple[Any, Any]) -> Any:
    return type(kinds[1].__name__, kinds, {})


class _LoginRequest(ClientRequest):
    """One hop of a login's call: aiohttp creates one for each."""

    def __init__(self, method: str, url: URL, **options: Any) -> None:
        super().__init__(method, url, **options)
        require_request(self)
        self.response_class = _together((_LoginResponse, self.response_class))
        # The call's, and whether a middleware may still choose another one, by changing the URL of the first request.
        began = [self.url]
        self.login_began = _beginnings.note(self, began)
        self.login_may_move = self.login_began is began
        self._require_permitted()

    async def send(self, conn: Connection) -> ClientResponse:
        if self.login_may_move:
            self.login_may_move = False
            self.login_began.append(self.url)
        self._require_permitted()
        return await super().send(conn)

    def _require_permitted(self) -> None:
        require_safe_transport(self.url, "the login's URL", proxy=self.proxy)
        if origin_of(self.url) not in map(origin_of, self.login_began):
            raise LoginError(
                f"the login at {self.login_began[0].origin()} was redirected to another origin; give its final URL"
            )


class _LoginResponse(ClientResponse):
    """An answer that has been read when the login gets it: an endless one would fill the memory before the login's timeout."""

    async def start(self, connection: Connection) -> ClientResponse:
        await super().start(connection)
        if await read_ahead(self, MAX_RESPONSE, None) is None:
            raise TooLongError(
                f"the login at {self.url.origin()} answered with more than {MAX_RESPONSE} bytes; check its URL"
            )
        return self
