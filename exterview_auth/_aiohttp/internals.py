"""
Everything private of aiohttp that the library touches, in one file to look at when aiohttp changes.

Tried with aiohttp 3.14. Each function says what it needs and why there is no public way. `NEEDED` lists these names, and the
public ones that are used in an unusual way: `queued` replaces the ``send`` and ``write_bytes`` of a request, what
describes a request's body and cookies is drawn anew by its own ``update_`` methods. On first use all of them are looked at. If
one is missing, a sentence says so before anything is sent.
"""

from __future__ import annotations

import asyncio
import copy
import importlib
import inspect
import warnings
from collections.abc import Callable, Coroutine, Iterable
from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
from aiohttp import (
    ClientMiddlewareType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    CookieJar,
    Payload,
    StreamReader,
    hdrs,
)
from aiohttp.abc import AbstractCookieJar, AbstractStreamWriter
from multidict import CIMultiDict
from yarl import URL

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from aiohttp.base_protocol import BaseProtocol
    from aiohttp.client import _BaseRequestContextManager as BaseRequestContextManager
    from aiohttp.client import _RequestContextManager as RequestContextManager
    from aiohttp.client import _RequestOptions as RequestArguments
    from aiohttp.client import _WSConnectOptions as WSConnectArguments
    from aiohttp.client import _WSRequestContextManager as WSRequestContextManager
    from aiohttp.compression_utils import BrotliDecompressor, ZLibDecompressor, ZSTDDecompressor
    from aiohttp.http import HttpProcessingError
else:

    def _found(module: str, name: str) -> Any:
        """Return *name* of *module*, or ``None``: importing the library must not fail, `require_aiohttp` does."""
        try:
            return getattr(importlib.import_module(f"aiohttp.{module}"), name, None)
        except ImportError:
            return None

    BaseProtocol = _found("base_protocol", "BaseProtocol")
    BrotliDecompressor = _found("compression_utils", "BrotliDecompressor")
    ZLibDecompressor = _found("compression_utils", "ZLibDecompressor")
    ZSTDDecompressor = _found("compression_utils", "ZSTDDecompressor")
    HttpProcessingError = _found("http", "HttpProcessingError")
    RequestContextManager = _found("client", "_RequestContextManager")
    WSRequestContextManager = _found("client", "_WSRequestContextManager")

__all__ = [
    "BaseRequestContextManager",
    "HttpProcessingError",
    "RequestArguments",
    "RequestContextManager",
    "WSConnectArguments",
    "WSRequestContextManager",
    "already_read",
    "build_url",
    "call_of",
    "decoded",
    "encoding_left_on",
    "first_line_of",
    "has_base_url",
    "has_proxy",
    "inner_request_of",
    "json_writer_of",
    "known_arguments",
    "own_middlewares",
    "put_back",
    "request_class_of",
    "require_aiohttp",
    "require_request",
    "require_session",
    "secure_origins",
    "stream_of",
    "twin_of",
    "was_consumed",
    "writes_json_as_bytes",
]

KNOWN_TO_WORK = "aiohttp>=3.14.4,<3.15"

NEEDED: dict[str, dict[str, str]] = {
    "aiohttp": {
        "BaseProtocol": "a stream of bytes at hand",
        "BrotliDecompressor": "an answer that is left compressed",
        "ZLibDecompressor": "an answer that is left compressed",
        "ZSTDDecompressor": "an answer that is left compressed",
        "HttpProcessingError": "what an answer that is not HTTP raises",
        "RequestContextManager": "what the verbs of a session return",
        "WSRequestContextManager": "what ws_connect returns",
    },
    "ClientSession": {
        "_base_url": "the base URL of a session",
        "_cookie_jar": "the cookies of a session",
        "_build_url": "where a session sends a relative URL",
        "_default_auth": "what a session authenticates with",
        "_default_headers": "the default headers of a session",
        "_default_proxy": "the proxy of a session",
        "_default_proxy_auth": "the proxy of a session",
        "_get_netrc_auth": "what a session authenticates with",
        "_json_serialize_bytes": "how a session writes JSON",
        "_loop": "the event loop of a session",
        "_middlewares": "the middlewares of a session",
        "_request": "the arguments of a request",
        "_request_class": "the kind of a session's requests",
        "_trust_env": "the proxy of a session",
        "detach": "the end of a session that leaves its connections open",
    },
    "ClientRequest": {
        "__dict__": "attributes of one request alone",
        "_timer": "what the redirect hops of one call share",
        "body": "the body of a request",
        "chunked": "another body for a request",
        "close": "the end of a request that is sent again",
        "compress": "another body for a request",
        "loop": "the event loop of a request",
        "proxy": "the proxy of a request",
        "send": "the moment at which a request is written",
        "session": "the session of a request",
        "update_body": "another body for a request",
        "update_content_encoding": "another body for a request",
        "update_cookies": "the cookies of a request that has waited",
        "update_expect_continue": "a request that is sent again",
        "write_bytes": "the moment at which a body begins",
    },
    "ClientResponse": {"_body": "whether an answer has been read", "content": "the stream of an answer"},
    "CookieJar": {"_treat_as_secure_origin": "the secure cookies of a login"},
    "Payload": {"consumed": "whether a body can be sent again"},
    "StreamWriter": {"_headers_buf": "a head that waits for its body"},
    "StreamReader": {
        "feed_data": "a stream of bytes at hand",
        "feed_eof": "a stream of bytes at hand",
        "total_compressed_bytes": "whether an answer is left compressed",
        "unread_data": "a stream that goes on after it was looked into",
    },
}
"""What must be there, by its owner, and what it is for."""


def _aiohttps_own(name: str) -> object:
    """Return a method of `ClientSession`, or a new object if it was replaced before this module was imported."""
    method = getattr(ClientSession, name, None)
    # The exact type, and the file: a wrapper shows another function's attributes.
    is_own = type(method) is FunctionType and method.__code__.co_filename == ClientSession.__init__.__code__.co_filename
    return method if is_own else object()


_REQUEST, _INNER_REQUEST = _aiohttps_own("request"), _aiohttps_own("_request")
# Types of requests and sessions that were looked at. A session may have a type of request of its own.
_complete: set[type] = set()


@cache
def require_aiohttp() -> None:
    """Raise `ConfigurationError` unless aiohttp's own classes have what the library builds on. Looks once in a process."""
    for name in NEEDED["aiohttp"]:
        if globals()[name] is None:
            raise _incompatible("aiohttp", name)
    for owner in (ClientResponse, Payload, StreamReader):
        _require(owner.__name__, owner)


def require_real_session(session: ClientSession, name: str) -> None:
    """Raise `ConfigurationError` unless *session*, the argument called *name*, is one that the library can work with."""
    # By its type: a mock with a specification, and a proxy, claim to be of its class.
    if not issubclass(type(session), ClientSession):
        raise ConfigurationError(
            f"{name} must be an aiohttp.ClientSession, not {type(session).__name__}; wrap a real session, and that library or"
            " mock around AuthSession"
        )
    require_session(session)


def require_session(session: ClientSession) -> None:
    """Raise `ConfigurationError` unless aiohttp, and *session*, have what the library builds on. Looks once for each type."""
    if type(session) not in _complete:
        require_aiohttp()
        _require("ClientSession", session)
        _complete.add(type(session))


def require_request(request: ClientRequest) -> None:
    """Raise `ConfigurationError` unless *request* and its session have what the library builds on. Looks once for each type."""
    if type(request) not in _complete:
        _require("ClientRequest", request)
        require_session(request.session)
        _complete.add(type(request))


def _require(owner: str, thing: object) -> None:
    for name in NEEDED[owner]:
        if not hasattr(thing, name):
            raise _incompatible(owner, name)


def _incompatible(owner: str, name: str) -> ConfigurationError:
    return ConfigurationError(
        f"exterview_auth cannot work with aiohttp {aiohttp.__version__}, which has no {owner}.{name} "
        f"({NEEDED[owner][name]}); install a version that it knows ({KNOWN_TO_WORK})"
    )


# -- sessions -----------------------------------------------------------------------------------------------------------


def own_middlewares(session: ClientSession) -> tuple[ClientMiddlewareType, ...]:
    """Return the middlewares that *session* was created with."""
    return tuple(session._middlewares)  # noqa: SLF001 - aiohttp has no public one


def request_class_of(session: ClientSession) -> type[ClientRequest]:
    """Return the kind of requests that *session* makes."""
    return session._request_class  # noqa: SLF001 - aiohttp has no public one


def twin_of(
    session: ClientSession,
    middlewares: Iterable[ClientMiddlewareType],
    *,
    cookie_jar: AbstractCookieJar | None = None,
    request_class: type[ClientRequest] | None = None,
) -> ClientSession:
    """
    Return a twin of *session* that has *middlewares* in place of the session's: the same connections, headers, cookies and tracing.

    With a *cookie_jar*, it has cookies of its own; with a *request_class*, its own kind of requests.
    ``detach()`` ends the twin and leaves the session as it is. `ClientSession.ws_connect` takes no middlewares, and a
    subclass of the session would raise a warning today and an error in aiohttp 4.
    """
    twin = copy.copy(session)
    twin._middlewares = tuple(middlewares)  # noqa: SLF001 - aiohttp has no public one
    if cookie_jar is not None:
        twin._cookie_jar = cookie_jar  # noqa: SLF001 - as above
    if request_class is not None:
        twin._request_class = request_class  # noqa: SLF001 - as above
    return twin


class Network(NamedTuple):
    """How a session goes to the network."""

    trust_env: bool
    proxy: Any
    proxy_auth: Any


def network_of(session: ClientSession) -> Network:
    """Return how *session* goes to the network."""
    return Network(session.trust_env, session._default_proxy, session._default_proxy_auth)  # noqa: SLF001 - aiohttp has no public one


def going(session: ClientSession, network: Network) -> ClientSession:
    """Return *session*, which is nobody else's, on the same way to the *network*."""
    # Not by its constructor, which warns of what another session has been given already.
    session._trust_env, session._default_proxy, session._default_proxy_auth = network  # noqa: SLF001 - as above
    return session


def without_own_credentials(session: ClientSession) -> ClientSession:
    """Return *session*, which is nobody else's, without default headers and ``auth``, and without what a netrc file holds."""
    session._default_headers = CIMultiDict()  # noqa: SLF001 - aiohttp has no way to change them
    session._default_auth = None  # noqa: SLF001 - as above
    # ``trust_env`` means proxies and this. Not assigned: in Python's development mode, aiohttp warns of foreign attributes.
    vars(session)["_get_netrc_auth"] = lambda _host: None
    return session


def secure_origins(jar: AbstractCookieJar) -> list[URL]:
    """
    Return the origins to which *jar* sends secure cookies over plain HTTP.

    aiohttp's first 3.14 has no public name for them; there, a jar that is not its own kind has none.
    """
    if not isinstance(jar, CookieJar):
        return list(getattr(jar, "treat_as_secure_origin", ()))
    origins: Iterable[URL] | None = getattr(jar, "_treat_as_secure_origin", None)
    if origins is None:
        raise _incompatible("CookieJar", "_treat_as_secure_origin")
    return list(origins)


def has_base_url(session: ClientSession) -> bool:
    """Whether *session* resolves relative URLs itself."""
    return session._base_url is not None  # noqa: SLF001 - aiohttp has no public one


def loop_of(session: ClientSession) -> asyncio.AbstractEventLoop:
    """Return the event loop of *session*; aiohttp deprecates its public name, which other libraries read."""
    return session._loop  # noqa: SLF001 - as the docstring says


def build_url(session: ClientSession, url: URL) -> URL:
    """Return where *session* would send *url*."""
    return session._build_url(url)  # noqa: SLF001 - aiohttp has no public one


def has_proxy(session: ClientSession) -> bool:
    """Whether requests of *session* may go through a proxy that they do not name: its own, or the environment's."""
    return session.trust_env or session._default_proxy is not None  # noqa: SLF001 - aiohttp has no public one


def inner_request_of(session: ClientSession) -> Callable[..., Coroutine[Any, Any, ClientResponse]] | None:
    """
    Return what ``session.request`` calls if nothing stands before aiohttp's own request, or else ``None``.

    A cache, recorder, mock or tracing agent looks at the arguments: it overrides one of the two in a subclass, or replaces it in
    the class or in the session. Without one, the outer method only copies the arguments, for half of what the middleware costs.
    """
    kind, replaced = session.__class__, session.__dict__
    if (
        kind.request is _REQUEST
        and kind._request is _INNER_REQUEST  # noqa: SLF001 - aiohttp has no public one
        and "_request" not in replaced
        and "request" not in replaced
    ):
        return session._request  # noqa: SLF001 - as above
    return None


def writes_json_as_bytes(session: ClientSession) -> bool:
    """Whether *session* serializes ``json=`` to bytes, in its own way, when the request is created."""
    return session._json_serialize_bytes is not None  # noqa: SLF001 - aiohttp has no public one


def json_writer_of(session: ClientSession) -> Callable[[Any], str | bytes]:
    """Return what *session* writes ``json=`` with; one that writes bytes may know more types than `json_serialize`."""
    return session._json_serialize_bytes or session.json_serialize  # noqa: SLF001 - as above


# -- requests -----------------------------------------------------------------------------------------------------------


@cache
def known_arguments() -> frozenset[str]:
    """Return the keyword arguments of a request; the public verbs take any and pass them on."""
    return frozenset(inspect.signature(ClientSession._request).parameters)  # noqa: SLF001 - as the docstring says


def call_of(request: ClientRequest) -> object:
    """
    Return what all redirect hops of one call share and no other call has: its timeout.

    aiohttp has no public name for the call. The task will not do, because a middleware may run each hop in a separate one.
    """
    call: object = getattr(request, "_timer", None)
    if call is None:  # which all calls would share
        raise _incompatible("ClientRequest", "_timer")
    return call


def is_out_of_time(request: ClientRequest) -> bool:
    """
    Whether the time of the call that sends *request* is up.

    aiohttp says so once, in whatever the call is doing: whoever suppresses errors there must ask.
    """
    call: Any = call_of(request)
    try:
        call.assert_timeout()
    except TimeoutError:
        return True
    return False


def takes_timeout(request: ClientRequest) -> bool:
    """
    Whether the running task was cancelled because the time of *request*'s call is up, and by nobody else.

    Then the cancellation is taken back as aiohttp's own timer does, which needs two private names of it. Without them, it is
    left to the timer.
    """
    if not is_out_of_time(request):
        return False  # as nearly always, also when thousands that wait are cancelled at once
    call, task = call_of(request), asyncio.current_task()
    if task is None or task not in getattr(call, "_tasks", ()):
        return False
    if task.cancelling() - 1 > getattr(call, "_cancelling", -1):
        return False
    task.uncancel()
    return True


def was_consumed(request: ClientRequest) -> bool:
    """Whether the body of *request* was a stream that is gone. An empty body is plain bytes."""
    return not isinstance(request.body, bytes) and request.body.consumed


def first_line_of(writer: AbstractStreamWriter) -> str:
    """Return the first line of the head that *writer* holds back; aiohttp keeps it nowhere else."""
    head: bytes | None = getattr(writer, "_headers_buf", None)
    if head is None:
        raise _incompatible("StreamWriter", "_headers_buf")
    return head.partition(b"\r\n")[0].decode()


# -- answers ------------------------------------------------------------------------------------------------------------


def already_read(response: ClientResponse) -> bytes | None:
    """Return the body of *response* if it has been read; aiohttp has no public way to tell."""
    return response._body  # noqa: SLF001 - as the docstring says


def put_back(content: StreamReader, body: bytes) -> None:
    """Give *body* back to a stream that goes on."""
    with warnings.catch_warnings():
        # aiohttp deprecates it and has no other way.
        warnings.simplefilter("ignore", DeprecationWarning)
        content.unread_data(body)


def stream_of(body: bytes, source: StreamReader) -> StreamReader:
    """Return a stream of *body* alone, at its beginning, which was read from *source*."""
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), max(2**16, len(body)), loop=loop)
    stream.total_compressed_bytes = _compressed_bytes_of(source)
    stream.feed_data(body)
    stream.feed_eof()
    return stream


def encoding_left_on(response: ClientResponse) -> str:
    """Return the content encoding that the body of *response* still has, as with ``auto_decompress=False``; or an empty text."""
    if _compressed_bytes_of(response.content) is not None:
        return ""  # aiohttp counts what it decompresses
    return response.headers.get(hdrs.CONTENT_ENCODING, "").lower()


def _compressed_bytes_of(stream: StreamReader) -> int | None:
    return getattr(stream, "total_compressed_bytes", None)  # an empty stream has never set it


def decoded(body: bytes, encoding: str, limit: int) -> bytes | None:
    """
    Return *body* without *encoding*; ``None`` if it is damaged, longer than *limit* bytes, or in an encoding that is not known.

    aiohttp decodes what arrives, and has no public way to do so later.
    """
    pieces, size = [], 0
    try:
        decompressor = _decompressor_of(encoding, body)
        while size <= limit:
            pieces.append(decompressor.decompress_sync(body, limit + 1))
            size += len(pieces[-1])
            if not decompressor.data_available:
                return b"".join(pieces) if size <= limit else None
            body = b""
    except Exception:  # noqa: BLE001, S110 - each library has errors of its own
        pass
    return None


def _decompressor_of(encoding: str, body: bytes) -> ZLibDecompressor | BrotliDecompressor | ZSTDDecompressor:
    if encoding == "br":
        return BrotliDecompressor()
    if encoding == "zstd":
        return ZSTDDecompressor()
    if encoding not in {"gzip", "deflate"}:
        raise LookupError(encoding)
    # RFC 1950: without zlib's frame, whose first half-byte is 8, it is what some servers call deflate.
    return ZLibDecompressor(encoding, suppress_deflate_header=body[0] & 0xF != 8)  # noqa: PLR2004
