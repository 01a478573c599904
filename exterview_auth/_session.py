"""`AuthSession`: aiohttp's own verbs, with credentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiohttp import ClientResponse, ClientSession, ClientWebSocketResponse, hdrs
from aiohttp.client import _RequestContextManager, _WSRequestContextManager
from multidict import CIMultiDict
from yarl import URL

from ._aiohttp import bodies as _body
from ._aiohttp.early_wait import can_wait, end_of, ending, hold_fast, total_of
from ._aiohttp.internals import own_middlewares, twin_of
from ._aiohttp.middleware import Manner, closed_meanwhile
from ._aiohttp.refusal import or_unauthenticated
from ._auth import ExterviewAuth
from .errors import ConfigurationError

if TYPE_CHECKING:
    from typing import Unpack

    from aiohttp import ClientMiddlewareType
    from aiohttp.client import _BaseRequestContextManager, _RequestOptions, _WSConnectOptions


class AuthSession:
    """
    *session* with *auth*'s credentials on every request to its origins.

    The verbs take what aiohttp's take and give what they give. A relative URL is resolved against the session's own base
    URL, else against the endpoint. The session's middlewares, headers, cookies and tracing work as before (*auth* is the
    innermost middleware); it is never closed here. ``data=`` may also be a callable without arguments that makes a fresh
    body for each sending. A content type that nobody set becomes ``application/json``, forms excepted.

    Raises `ConfigurationError` for arguments of the wrong kind.
    """

    __slots__ = ("_auth", "_own", "_session", "_usual")

    def __init__(self, session: ClientSession, auth: ExterviewAuth) -> None:
        if not isinstance(session, ClientSession):
            raise ConfigurationError(f"session is an aiohttp.ClientSession, not {type(session).__name__}")
        if not isinstance(auth, ExterviewAuth):
            raise ConfigurationError(f"auth is an ExterviewAuth, not {type(auth).__name__}")
        self._session = session
        self._auth = auth
        self._own = own_middlewares(session)
        self._usual = self._middlewares(None, None)

    @property
    def auth(self) -> ExterviewAuth:
        """The owner of the token."""
        return self._auth

    @property
    def closed(self) -> bool:
        """Whether the wrapped session is closed."""
        return self._session.closed

    # -- aiohttp's verbs --------------------------------------------------------------------------------------------

    def request(self, method: str, url: str | URL, **options: Unpack[_RequestOptions]) -> _RequestContextManager:
        """`aiohttp.ClientSession.request`, with credentials; also raises what `ExterviewAuth.token` raises."""
        return self._send(method, url, options)

    def get(self, url: str | URL, **options: Unpack[_RequestOptions]) -> _RequestContextManager:
        """`aiohttp.ClientSession.get`, with credentials."""
        return self._send(hdrs.METH_GET, url, options)

    def options(self, url: str | URL, **options: Unpack[_RequestOptions]) -> _RequestContextManager:
        """`aiohttp.ClientSession.options`, with credentials."""
        return self._send(hdrs.METH_OPTIONS, url, options)

    def head(self, url: str | URL, **options: Unpack[_RequestOptions]) -> _RequestContextManager:
        """`aiohttp.ClientSession.head`, with credentials; follows no redirect unless asked to."""
        options.setdefault("allow_redirects", False)
        return self._send(hdrs.METH_HEAD, url, options)

    def post(self, url: str | URL, **options: Unpack[_RequestOptions]) -> _RequestContextManager:
        """`aiohttp.ClientSession.post`, with credentials."""
        return self._send(hdrs.METH_POST, url, options)

    def put(self, url: str | URL, **options: Unpack[_RequestOptions]) -> _RequestContextManager:
        """`aiohttp.ClientSession.put`, with credentials."""
        return self._send(hdrs.METH_PUT, url, options)

    def patch(self, url: str | URL, **options: Unpack[_RequestOptions]) -> _RequestContextManager:
        """`aiohttp.ClientSession.patch`, with credentials."""
        return self._send(hdrs.METH_PATCH, url, options)

    def delete(self, url: str | URL, **options: Unpack[_RequestOptions]) -> _RequestContextManager:
        """`aiohttp.ClientSession.delete`, with credentials."""
        return self._send(hdrs.METH_DELETE, url, options)

    def ws_connect(
        self, url: str | URL, *, decode_text: bool = True, **options: Unpack[_WSConnectOptions]
    ) -> _BaseRequestContextManager[ClientWebSocketResponse[bool]]:
        """`aiohttp.ClientSession.ws_connect`, with credentials; a handshake answered 401 is renewed and repeated."""
        return _WSRequestContextManager(self._ws_connect(url, decode_text=decode_text, **options))

    # -- GraphQL ----------------------------------------------------------------------------------------------------

    async def graphql(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        operation_name: str | None = None,
        files: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """
        The ``data`` of the answer to *query*, posted to the endpoint.

        *files* maps the path of a variable (``"variables.file"``) to a file object, bytes, or ``(name, file[, type])``; as
        with aiohttp's ``data=``, files are closed after sending. An error with the code ``UNAUTHENTICATED`` counts as a 401.

        Raises `BadRequestError`, `UnauthorizedError`, `ForbiddenError` (400, 401, 403), `ApiError` (any other answer that is
        no GraphQL), `GraphQLError` (``errors``, with partial ``data``), and what any request raises.
        """
        from ._aiohttp import graphql as _graphql  # noqa: PLC0415 - on first use

        body = _graphql.operation(query, variables, operation_name)
        options: dict[str, Any] = {"json": body}
        if files:
            options = {"data": _graphql.multipart(body, files, self._session.json_serialize)}
        manner = Manner(or_unauthenticated(self._auth.manner.is_unauthorized))
        async with self._send(
            hdrs.METH_POST, self._auth.endpoint, {**options, "raise_for_status": False}, manner
        ) as response:
            return await _graphql.data_of(response)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _send(self, method: str, url: str | URL, options: Any, manner: Manner | None = None) -> _RequestContextManager:
        try:
            target = self._resolved(URL(url))
        except (ValueError, IndexError):  # the last is yarl's, for a "//[]@"
            return self._session.request(method, url, **options)  # which says what is wrong with it
        data = options.get("data")
        if data is not None:
            if _body.is_factory(data):
                return _RequestContextManager(self._send_made(method, target, options, data, manner))
            self._name_json(target, options, data)
        chain = self._usual
        if manner is not None or "middlewares" in options:
            chain = self._middlewares(options.pop("middlewares", None), manner)
        if self._auth.waits and len(chain) == 1 and can_wait(self._session, options) and self._owns(target):
            return _RequestContextManager(self._send_later(method, target, options, manner or self._auth.manner))
        options["middlewares"] = chain
        return self._session.request(method, target, **options)

    async def _send_later(self, method: str, url: URL, options: Any, manner: Manner) -> ClientResponse:
        """Waiting takes a third of the memory before aiohttp makes the request; it is part of the request's time all the same."""
        seat, seen = None, self._auth.issued
        if self._auth.waits and not self._session.closed:
            hold_fast(self._session, options)
            seat = self._auth.seat(end_of(options.get("timeout", self._session.timeout)))
            with seat as landing:
                await landing
            if self._session.closed:
                raise closed_meanwhile()
            if seat.until is not None:
                options["timeout"] = ending(seat.until, options.get("timeout", self._session.timeout))
            self._name_json(url, options, options.get("data"))
        options["middlewares"] = (self._auth.in_manner(manner, seen, seat),)
        return await self._session.request(method, url, **options)

    async def _send_made(
        self, method: str, url: URL, options: Any, factory: _body.BodyFactory, manner: Manner | None
    ) -> ClientResponse:
        timeout = options.get("timeout", self._session.timeout)
        end = end_of(timeout)
        made = {"data": await _body.first_made_by(factory, total_of(timeout))}
        if end is not None:
            made["timeout"] = ending(end, timeout)
        manner = (manner or self._auth.manner)._replace(remake=factory)
        return await self._send(method, url, {**options, **made}, manner)

    def _resolved(self, url: URL) -> URL:
        if url.absolute or self._session._base_url is not None:  # noqa: SLF001 - aiohttp has no public one
            return url
        return self._auth.endpoint.join(url)

    def _owns(self, url: URL) -> bool:
        return self._auth.owns(self._session._build_url(url))  # noqa: SLF001 - as above

    def _name_json(self, url: URL, options: Any, data: object) -> None:
        # Without a body, or with `json=`, the middleware and aiohttp name it.
        if data is None or not _body.is_json(data) or not self._owns(url):
            return
        headers = CIMultiDict(options.get("headers") or {})
        if hdrs.CONTENT_TYPE not in headers and hdrs.CONTENT_TYPE not in self._session.headers:
            headers[hdrs.CONTENT_TYPE] = "application/json"
            options["headers"] = headers

    def _middlewares(
        self, given: Sequence[ClientMiddlewareType] | None, manner: Manner | None
    ) -> tuple[ClientMiddlewareType, ...]:
        """The request's or the session's own, and ours as the innermost."""
        innermost = self._auth if manner is None else self._auth.in_manner(manner)
        own = self._own if given is None else given
        if not own:
            return (innermost,)
        return (*(middleware for middleware in own if middleware is not self._auth), innermost)

    async def _ws_connect(self, url: str | URL, **options: Any) -> ClientWebSocketResponse[bool]:
        """`ws_connect` takes no middlewares: a twin of the session, on the same connections, carries ours."""
        twin = twin_of(self._session, self._middlewares(None, None))
        try:
            socket: ClientWebSocketResponse[bool] = await twin.ws_connect(self._resolved(URL(url)), **options)
            return socket
        finally:
            twin.detach()

    def __repr__(self) -> str:
        return f"AuthSession({self._session!r}, {self._auth!r})"
