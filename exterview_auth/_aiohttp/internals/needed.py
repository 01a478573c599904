"""What aiohttp must have, and the error of an aiohttp that lacks something of it."""

from __future__ import annotations

from functools import cache

import aiohttp
from aiohttp import ClientRequest, ClientResponse, ClientSession, Payload, StreamReader

from ...errors import ConfigurationError
from . import imported

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

# Types of requests and sessions that were looked at. A session may have a type of request of its own.
_complete: set[type] = set()


@cache
def require_aiohttp() -> None:
    """Raise `ConfigurationError` unless aiohttp's own classes have what the library builds on. Looks once in a process."""
    for name in NEEDED["aiohttp"]:
        if getattr(imported, name) is None:
            raise incompatible("aiohttp", name)
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
            raise incompatible(owner, name)


def incompatible(owner: str, name: str) -> ConfigurationError:
    """Return the error of an aiohttp that lacks *name* of *owner*."""
    return ConfigurationError(
        f"exterview_auth cannot work with aiohttp {aiohttp.__version__}, which has no {owner}.{name} "
        f"({NEEDED[owner][name]}); install a version that it knows ({KNOWN_TO_WORK})"
    )
