"""`AuthSession`: aiohttp's own verbs, with credentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any, NoReturn, overload

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    InvalidUrlClientError,
    hdrs,
)
from yarl import URL

from ._aiohttp.bodies import is_factory, maker_of, name_json
from ._aiohttp.early_wait import can_wait_early, send_after_waiting, with_first_body
from ._aiohttp.internals.imported import RequestContextManager, WSRequestContextManager
from ._aiohttp.internals.needed import require_real_session
from ._aiohttp.internals.sessions import (
    build_url,
    has_base_url,
    inner_request_of,
    json_writer_of,
    loop_of,
    own_middlewares,
    twin_of,
)
from ._aiohttp.middleware import RequestOptions
from ._aiohttp.origins import noting
from ._auth import ExterviewAuth
from ._refusals import discreet, shown_when_made
from .errors import ConfigurationError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from typing import Literal, Unpack

    from aiohttp import BaseConnector, ClientMiddlewareType, ClientTimeout
    from aiohttp.abc import AbstractCookieJar
    from multidict import CIMultiDict

    from ._aiohttp.internals.imported import BaseRequestContextManager, RequestArguments, WSConnectArguments


class AuthSession:
    """
    An aiohttp session that adds *auth*'s credentials to every request to its origins.

    The verbs take and return what aiohttp's own verbs do. A relative URL is resolved against the session's own base URL, or else
    against the endpoint. The session's middlewares, headers, cookies and tracing work as before; *auth* is the innermost
    middleware. Owners of different accounts must not share the session's cookies (see `AuthPool`). `AuthSession` never closes the
    session. ``data=`` may also be a callable without arguments that returns a new body for each attempt. A content type that is
    not set becomes ``application/json``, except for forms.

    Raises `ConfigurationError` for arguments of the wrong kind.
    """

    __module__ = "exterview_auth"

    __slots__ = (
        "_auth",
        "_default_chain",
        "_has_base_url",
        "_middleware",
        "_newest_target",
        "_newest_url",
        "_session",
        "_session_middlewares",
        "_state",
    )

    @discreet
    def __init__(self, session: ClientSession, auth: ExterviewAuth) -> None:
        require_real_session(session, "session")
        if not isinstance(auth, ExterviewAuth):
            raise ConfigurationError(f"auth must be an ExterviewAuth, not {type(auth).__name__}")
        self._session = session
        self._attach(auth, own_middlewares(session), has_base_url=has_base_url(session))

    def _attach(
        self, auth: ExterviewAuth, session_middlewares: Sequence[ClientMiddlewareType], *, has_base_url: bool
    ) -> None:
        self._auth = auth
        self._middleware = auth._middleware  # noqa: SLF001 - the other half of the same thing
        self._state = auth._state  # noqa: SLF001 - as above
        self._session_middlewares = session_middlewares
        self._has_base_url = has_base_url
        self._default_chain = self._chain(None, None)
        # Most requests go where the last one went.
        self._newest_url: str | URL = auth.endpoint
        self._newest_target = auth.endpoint

    @property
    def auth(self) -> ExterviewAuth:
        """The owner of the token."""
        return self._auth

    # -- what a library around a session looks at -------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the wrapped session is closed."""
        return self._session.closed

    @property
    def headers(self) -> CIMultiDict[str]:
        """The wrapped session's default headers. The credentials are not among them."""
        return self._session.headers

    @property
    def cookie_jar(self) -> AbstractCookieJar:
        """The wrapped session's cookies."""
        return self._session.cookie_jar

    @property
    def timeout(self) -> ClientTimeout:
        """The wrapped session's default timeout, in seconds."""
        return self._session.timeout

    @property
    def connector(self) -> BaseConnector | None:
        """The wrapped session's connections."""
        return self._session.connector

    @property
    def loop(self) -> AbstractEventLoop:
        """The event loop of the wrapped session."""
        return loop_of(self._session)

    async def close(self) -> None:
        """Leave the wrapped session open: the code that created it closes it. Other libraries may call this."""

    # -- aiohttp's verbs --------------------------------------------------------------------------------------------

    def request(self, method: str, url: str | URL, **kwargs: Unpack[RequestArguments]) -> RequestContextManager:
        """`aiohttp.ClientSession.request`, with credentials. Also raises what `ExterviewAuth.token` raises."""
        return self._send(method, url, kwargs)

    def get(self, url: str | URL, **kwargs: Unpack[RequestArguments]) -> RequestContextManager:
        """`aiohttp.ClientSession.get`, with credentials."""
        return self._send(hdrs.METH_GET, url, kwargs)

    def options(self, url: str | URL, **kwargs: Unpack[RequestArguments]) -> RequestContextManager:
        """`aiohttp.ClientSession.options`, with credentials."""
        return self._send(hdrs.METH_OPTIONS, url, kwargs)

    def head(self, url: str | URL, **kwargs: Unpack[RequestArguments]) -> RequestContextManager:
        """`aiohttp.ClientSession.head`, with credentials; it follows no redirect unless asked to."""
        kwargs.setdefault("allow_redirects", False)
        return self._send(hdrs.METH_HEAD, url, kwargs)

    def post(self, url: str | URL, **kwargs: Unpack[RequestArguments]) -> RequestContextManager:
        """`aiohttp.ClientSession.post`, with credentials."""
        return self._send(hdrs.METH_POST, url, kwargs)

    def put(self, url: str | URL, **kwargs: Unpack[RequestArguments]) -> RequestContextManager:
        """`aiohttp.ClientSession.put`, with credentials."""
        return self._send(hdrs.METH_PUT, url, kwargs)

    def patch(self, url: str | URL, **kwargs: Unpack[RequestArguments]) -> RequestContextManager:
        """`aiohttp.ClientSession.patch`, with credentials."""
        return self._send(hdrs.METH_PATCH, url, kwargs)

    def delete(self, url: str | URL, **kwargs: Unpack[RequestArguments]) -> RequestContextManager:
        """`aiohttp.ClientSession.delete`, with credentials."""
        return self._send(hdrs.METH_DELETE, url, kwargs)

    @overload
    def ws_connect(
        self, url: str | URL, *, decode_text: Literal[True] = ..., **kwargs: Unpack[WSConnectArguments]
    ) -> BaseRequestContextManager[ClientWebSocketResponse[Literal[True]]]: ...

    @overload
    def ws_connect(
        self, url: str | URL, *, decode_text: Literal[False], **kwargs: Unpack[WSConnectArguments]
    ) -> BaseRequestContextManager[ClientWebSocketResponse[Literal[False]]]: ...

    @overload
    def ws_connect(
        self, url: str | URL, *, decode_text: bool = ..., **kwargs: Unpack[WSConnectArguments]
    ) -> BaseRequestContextManager[ClientWebSocketResponse[bool]]: ...

    def ws_connect(
        self, url: str | URL, *, decode_text: bool = True, **kwargs: Unpack[WSConnectArguments]
    ) -> BaseRequestContextManager[ClientWebSocketResponse[bool]]:
        """`aiohttp.ClientSession.ws_connect`, with credentials. After a 401, the handshake is sent again with a new token."""
        return WSRequestContextManager(self._ws_connect(url, decode_text=decode_text, **kwargs))

    # -- GraphQL ----------------------------------------------------------------------------------------------------

    async def graphql(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        operation_name: str | None = None,
        files: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: ClientTimeout | float | EllipsisType | None = ...,  # noqa: ASYNC109 - aiohttp's own
    ) -> dict[str, Any]:
        """
        Post *query* to the endpoint and return the answer's ``data``.

        *files* maps the path of a variable (``"variables.file"``) to a file object, to an object that has one as its ``file`` (an
        upload of aiohttp's server or of Starlette), to bytes, or to ``(name, file[, type])``. As with aiohttp's ``data=``, files
        are closed after sending. *headers* are sent in addition to the session's; the content type is always that of the body.
        *timeout* is aiohttp's (a number is seconds in total, ``None`` is no limit), by default the session's. An error with the
        code ``UNAUTHENTICATED`` counts as a 401, under any status and content type.

        Raises `BadRequestError`, `UnauthorizedError`, `ForbiddenError` (400, 401, 403), `ApiError` (any other status, such as 429
        and 503, with ``.status`` and ``.retry_after``, and any answer that is not GraphQL), `GraphQLError` (``errors``, with
        partial ``data``), and what any request raises. Credentials that the answer repeats are masked in these errors. aiohttp's
        errors hold nothing of the answer.
        """
        from ._aiohttp.graphql_request import arguments_of, operation  # noqa: PLC0415 - on first use

        body = operation(query, variables, operation_name)
        outcome = await self._outcome(arguments_of(body, files, json_writer_of(self._session), headers, timeout))
        # Raised here and not where the answer is: its repr, which error trackers show, holds its headers.
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _outcome(self, arguments: dict[str, Any]) -> dict[str, Any] | Exception:
        """Return the data of the endpoint's answer to a POST with *arguments*, or an error without secrets."""
        from ._aiohttp import echoes, graphql  # noqa: PLC0415 - on first use

        options = RequestOptions(graphql.or_refused_in_graphql(self._middleware.options.is_unauthorized))
        try:
            async with self._send(hdrs.METH_POST, self._auth.endpoint, arguments, options) as response:
                secrets = self._middleware.secrets_of(response)
                body = graphql.decoded_body(response, await response.read())
                return graphql.outcome_of(
                    response.status, response.content_type, body, secrets, headers=response.headers
                )
        except (ClientError, IndexError, UnicodeError) as error:
            harmless = echoes.without_echo(error, self._auth.endpoint)
            if harmless is error:
                raise
        return harmless

    # -- inside -----------------------------------------------------------------------------------------------------

    def _send(
        self, method: str, url: str | URL, arguments: Any, options: RequestOptions | None = None
    ) -> RequestContextManager:
        target = self._newest_target if url is self._newest_url else self._resolved(url)
        if target is None:
            return RequestContextManager(_refused(url))
        data = arguments.get("data")
        if data is not None and is_factory(data):
            return RequestContextManager(self._send_made(method, target, arguments, options))
        chain = self._default_chain
        if options is not None or "middlewares" in arguments:
            chain = self._chain(arguments.pop("middlewares", None), options)
        session = self._session
        # What looks at the arguments sees the same ones with and without a token. Where nothing does, they go a shorter way.
        inner_request = inner_request_of(session)
        if self._state.fast_path is None and inner_request is not None and self._waits_early(chain, target, arguments):
            return RequestContextManager(
                send_after_waiting(session, self._middleware, method, target, arguments, chain=chain, options=options)
            )
        if data is not None and self._owns(target):
            name_json(session, arguments, seen=inner_request is None)
        arguments["middlewares"] = chain
        if inner_request is None:
            return session.request(method, target, **arguments)
        return RequestContextManager(inner_request(method, target, **arguments))

    def _waits_early(self, chain: Sequence[ClientMiddlewareType], target: URL, arguments: Any) -> bool:
        return (
            len(chain) == 1
            and self._middleware.must_wait
            and can_wait_early(self._session, target, arguments)
            and self._owns(target)
        )

    async def _send_made(self, method: str, url: URL, arguments: Any, options: RequestOptions | None) -> ClientResponse:
        maker = maker_of(self._session, arguments)
        arguments = await with_first_body(self._session, arguments, maker, json=self._owns(url))
        options = (options or self._middleware.options)._replace(body_maker=maker)
        return await self._send(method, url, arguments, options)

    def _resolved(self, url: str | URL) -> URL | None:
        """Return where a request to *url* goes, or ``None`` if that is no URL."""
        if url.__class__ is str and url == self._newest_url:
            return self._newest_target  # put together again
        try:
            target = URL(url)
            if not (target.scheme or target.absolute or self._has_base_url):
                target = self._auth.endpoint.join(target)
        except (ValueError, IndexError):  # the last is yarl's, for a "//[]@"
            return None
        self._newest_url, self._newest_target = url, target
        return target

    def _owns(self, url: URL) -> bool:
        middleware = self._middleware
        return url is middleware.origins.last_url or middleware.owns(build_url(self._session, url))

    def _chain(
        self, given: Sequence[ClientMiddlewareType] | None, options: RequestOptions | None
    ) -> tuple[ClientMiddlewareType, ...]:
        """Return the request's own middlewares, or else the session's, and ours as the innermost; one around them notes redirects."""
        innermost = self._auth.__call__ if options is None else self._middleware.with_options(options)
        given = self._session_middlewares if given is None else given
        own = [middleware for middleware in given if middleware is not self._auth]
        if not own:
            return (innermost,)
        owners = [self._auth, *(middleware for middleware in own if isinstance(middleware, ExterviewAuth))]
        return (noting(owner._origins for owner in owners), *own, innermost)  # noqa: SLF001 - the other half of the same thing

    async def _ws_connect(self, url: str | URL, **arguments: Any) -> ClientWebSocketResponse[bool]:
        target = self._resolved(url)
        if target is None:
            await _refused(url)
        # `ws_connect` takes no middlewares: a twin of the session, on the same connections, carries ours.
        twin = twin_of(self._session, self._default_chain)
        try:
            socket: ClientWebSocketResponse[bool] = await twin.ws_connect(target, **arguments)
            return socket
        finally:
            twin.detach()

    @shown_when_made
    def __repr__(self) -> str:
        return f"AuthSession({self._session!r}, {self._auth!r})"


async def _refused(url: str | URL) -> NoReturn:
    """Raise what aiohttp raises for what is no URL, also where yarl's ``IndexError`` for a "//[]@" would come out of it."""
    raise InvalidUrlClientError(url)
