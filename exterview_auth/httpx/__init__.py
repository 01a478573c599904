"""`HttpxAuth`: an `ExterviewAuth` for the clients of httpx and httpx2 (extra ``httpx``)."""

# A request asks the same keeper for its token as one of aiohttp, so that both share one login. After a refusal, the keeper decides
# by the same rules whether to log in, and the request is sent again (`_replay`). What httpx does between a request and its last
# answer, above all to follow redirects, stays its own: `_credentials` says what that means for the API key.

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, NoReturn

from yarl import URL

from .._aiohttp.refusal import NOT_ACCEPTING, UNAUTHORIZED
from .._auth import ExterviewAuth
from .._core.state import IssuedToken
from .._options import named
from .._refusals import discreet, shown_when_made
from .._secret import refuse_pickling
from ..errors import ConfigurationError
from . import _credentials as credentials
from . import _replay as replay
from ._libraries import LIBRARIES

if TYPE_CHECKING:
    from httpx import Auth as _Auth
    from httpx import Request, Response
else:
    # A client takes only what is its own library's `Auth`; any other callable would be asked once, and sync.
    _Auth = type("_Auth", tuple(library.Auth for library in LIBRARIES), {})

__all__ = ["HttpxAuth"]

_ASKS_FOR_CREDENTIALS = frozenset({400, UNAUTHORIZED})
"""How the API answers a request without credentials."""


class HttpxAuth(_Auth):
    """
    An ``Auth`` of httpx and httpx2, which signs the requests of an ``AsyncClient`` with *auth*'s credentials.

    ::

        async with httpx.AsyncClient(auth=HttpxAuth(auth), base_url=str(auth.endpoint.origin())) as client:
            answer = await client.post("/graphql", json={"query": "query { __typename }"})

    Requests to *auth*'s origins are signed. A 401 causes a login, one for any number of requests. Then the request is sent again,
    unless its body cannot be sent twice (a generator, or a file without ``seek``). Requests to other origins pass unchanged, and
    a redirect to another origin carries no credential. A request raises what `ExterviewAuth.token` raises, and the client's own
    errors.

    This differs from aiohttp:

    - A request waits for a login for as long as *auth*'s ``login_timeout``; httpx's own timeouts do not run meanwhile.
    - A request that queues for a connection keeps the token that it was signed with.
    - A request that is sent again takes over the cookies of its 401, but not those that other requests have put into the client's
      jar meanwhile.
    - `HttpxAuth` does not know the client's proxy. If the endpoint is plain HTTP on this machine, exclude it from the proxy
      (``NO_PROXY``). Logins use separate connections: see ``login_session`` of `ExterviewAuth` for certificates.
    - A hook that writes the API key again into headers that lead to another origin must also remove it.

    Raises `ConfigurationError` if *auth* is not an `ExterviewAuth`, or has an origin of plain HTTP on port 80 (httpx would carry
    credentials from there to HTTPS). Raises it also for a version of httpx whose handling of headers is not known.
    """

    @discreet
    def __init__(self, auth: ExterviewAuth) -> None:
        if not isinstance(auth, ExterviewAuth):
            raise ConfigurationError(f"HttpxAuth takes an ExterviewAuth, not {named(auth)}")
        credentials.check_headers()
        origins = auth._origins  # noqa: SLF001 - the other half of the same thing
        if origins.kept_on_upgrade:
            raise ConfigurationError(
                "HttpxAuth cannot send to http:// on port 80: a redirect to HTTPS there would carry the credentials along;"
                " use another port, or https://"
            )
        self._auth = auth
        self._origins = origins

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """Yield *request* signed, and again after a refusal if that can help. httpx calls this."""
        _require_asyncio()
        if not self._covers(request):
            credentials.strip_copied(request)
            yield request
            return
        call = _Call(self._auth, await self._auth._keeper.obtain())  # noqa: SLF001 - as above
        following: Request | None = call.signed(request)
        while following is not None:
            response = yield following
            # With a stranger anywhere in the chain, the stranger has chosen what is asked for now.
            chain = (*response.history, response)
            following = await call.following(response, ours=all(self._covers(answer.request) for answer in chain))

    def auth_flow(self, request: Request) -> NoReturn:  # noqa: ARG002 - httpx's own signature
        """Raise `ConfigurationError`: a login cannot be awaited here."""
        raise ConfigurationError(
            "HttpxAuth works with AsyncClient alone, because logins are asynchronous; use AsyncClient, or send the headers of"
            " ExterviewAuth.credentials()"
        )

    def sync_auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Raise `ConfigurationError`, as `auth_flow` does: a sync client calls this."""
        self.auth_flow(request)

    def _covers(self, request: Request) -> bool:
        url = _url_of(request)
        return url is not None and self._origins.covers(url)

    @shown_when_made
    def __repr__(self) -> str:
        return f"HttpxAuth({self._auth!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        refuse_pickling(self)


class _Call:
    """One call of a client, from its first request to the answer that the caller gets."""

    __slots__ = ("_api_key", "_issued", "_keeper", "_newest_when_refused", "_same_token", "_sent_again")

    def __init__(self, auth: ExterviewAuth, issued: IssuedToken) -> None:
        self._keeper = auth._keeper  # noqa: SLF001 - as above
        self._api_key = auth._api_key  # noqa: SLF001 - as above
        self._issued = issued
        self._newest_when_refused = math.inf
        self._same_token = False
        self._sent_again = 0

    def signed(self, request: Request) -> Request:
        """Return *request* with the credentials."""
        credentials.sign(request, self._issued, self._api_key)
        return request

    async def following(self, response: Response, *, ours: bool) -> Request | None:
        """Return what to send after *response*, from a chain of *ours* or a stranger's; ``None`` if that is the caller's."""
        request = response.request  # the last one, if httpx has followed redirects
        self._note_acceptance(response)
        if not ours:
            return None  # it says nothing of the token
        if credentials.is_unsigned(request):
            return await self._signed_hop(request, response)
        if response.status_code != UNAUTHORIZED or not credentials.carries(request, self._issued):
            return None
        # As in `Middleware.replay_if_refused`: the same questions, in the same order.
        again = self._issued.number > self._newest_when_refused
        if self._same_token or not self._keeper.refuse(self._issued, again=again):
            return None
        self._newest_when_refused = min(self._newest_when_refused, self._keeper.state.last_number)
        return await self._renewed(request, response)

    async def _renewed(self, request: Request, response: Response) -> Request | None:
        if replay.is_lost(response) or not replay.can_be_sent_again(request):
            return None  # the login has begun, for the next request
        kept = await replay.give_back(response)
        refused = self._issued
        self._issued = await self._keeper.obtain(refused)
        self._same_token = self._issued is refused
        if self._same_token and kept and credentials.carries_key(request, self._api_key):
            return None  # nothing newer, and the same key: the refusal is the caller's
        replay.drop_body(response)
        replay.take_cookies(request, response)
        self._sent_again += 1
        self._keeper.account.sent_again(self._sent_again)
        return self.signed(request)

    async def _signed_hop(self, request: Request, response: Response) -> Request | None:
        """Return a hop that lost its credentials on the way, if the API asks for them: from one of our origins to the next."""
        asks = response.status_code in _ASKS_FOR_CREDENTIALS
        if not asks or replay.is_lost(response) or not replay.can_be_sent_again(request):
            return None
        await replay.give_back(response)
        replay.drop_body(response)
        self._issued = await self._keeper.obtain()
        return self.signed(request)

    def _note_acceptance(self, response: Response) -> None:
        for answer in (*response.history, response):
            if answer.status_code not in NOT_ACCEPTING and credentials.carries(answer.request, self._issued):
                self._issued.ever_accepted = self._issued.accepted_since_refusal = True


def _url_of(request: Request) -> URL | None:
    """Return where *request* is sent, as httpx connects to it; ``None`` if nothing can be sent there."""
    url = request.url
    try:
        # From its parts and not from its text, which another parser may read as another host.
        built = URL.build(scheme=url.scheme, host=url.raw_host.decode("ascii"), port=url.port)
        sendable = bool(built.port)
    except ValueError:
        return None
    return built if sendable else None


def _require_asyncio() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError("HttpxAuth needs asyncio; run the client in asyncio, not in trio") from None
