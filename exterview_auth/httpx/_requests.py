"""
Requests and answers of httpx and of httpx2: signed, recognised, and sent again.

An `httpx.Auth` sees a call's first request and its last answer. The redirects between them are followed elsewhere, with the
headers of the request before: httpx removes ``Authorization`` alone when a hop leads to another origin, and any other credential
stays. So the API key is tied to ``Authorization`` here: whoever removes that header removes both. Copies of the headers, which
httpx makes for each hop and instrumentation for each request, keep the tie.

Both libraries have the same classes, under two names. `check_headers` makes sure, before anything is sent, that the tie holds in
the version that is installed.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from yarl import URL

from .._aiohttp.refusal import MAX_KEPT_BODY
from .._aiohttp.signing import Key
from .._core.state import IssuedToken
from .._endpoint import API_KEY_HEADER
from .._options import needs_extra
from .._secret import SecretBytes
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from httpx import Headers, Request, Response

AUTHORIZATION = "Authorization"
_NAMES = frozenset({AUTHORIZATION.lower().encode(), API_KEY_HEADER.encode()})
_SECONDS_FOR_A_REFUSAL = 1.0
"""How long the rest of a refusal is waited for, to keep its connection."""


def _installed() -> tuple[ModuleType, ...]:
    found = [import_module(name) for name in ("httpx", "httpx2") if find_spec(name) is not None]
    if not found:
        raise ImportError(needs_extra("HttpxAuth", "httpx", "httpx"))
    return tuple(dict.fromkeys(found))  # one of them may be an alias of the other


LIBRARIES = _installed()
"""httpx and httpx2, as far as they are installed."""


class _Credential(SecretBytes):
    """
    The value of a header that an owner has set. It shows as ``b'***'``, and ``str`` returns the text, as of a `Secret`.

    The encoder of HTTP/2 takes ``str`` of whatever is not exactly bytes.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return bytes(self).decode("ascii")


class _Removed(bytes):
    """The name of a header that is being removed: it is equal to those of both credentials."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return other in _NAMES

    __hash__ = bytes.__hash__


class _Tied(bytes):
    """The API key's name, by which httpx finds the header. Only to remove one, httpx folds the case of what is folded already."""

    __slots__ = ()

    def lower(self) -> _Removed:
        return _Removed(self)


def sign(request: Request, issued: IssuedToken, key: Key) -> None:
    """Replace *request*'s credentials, and name a content type if it has none."""
    headers = request.headers
    _set_credentials(headers, issued.authorization, key.value)
    headers.setdefault("Content-Type", "application/json")
    issued.used = True


def _set_credentials(headers: Headers, authorization: str, key: str) -> None:
    headers.pop(AUTHORIZATION, None)
    headers.pop(API_KEY_HEADER, None)
    name = API_KEY_HEADER.encode()
    headers.update([(AUTHORIZATION.encode(), _Credential(authorization.encode()))])
    headers._list.append((name, _Tied(name), _Credential(key.encode())))  # noqa: SLF001 - the public ways make the name plain


def carries(request: Request, issued: IssuedToken) -> bool:
    """Whether *request* was sent with *issued*: a hook of the client may have signed over it, and a redirect removes it."""
    return bool(request.headers.get(AUTHORIZATION) == str(issued.authorization))


def carries_key(request: Request, key: Key) -> bool:
    """Whether *request* was sent with the API key as it is now."""
    return bool(request.headers.get(API_KEY_HEADER) == str(key.value))


def is_unsigned(request: Request) -> bool:
    """Whether *request* has neither credential."""
    return AUTHORIZATION not in request.headers and API_KEY_HEADER not in request.headers


def strip_copied(request: Request) -> None:
    """Remove credentials that were copied from a request that an owner has signed. The caller's own stay."""
    headers = request.headers
    if any(isinstance(value, _Credential) for _, value in headers.raw):
        headers._list[:] = [item for item in headers._list if not isinstance(item[2], _Credential)]  # noqa: SLF001 - as above


def check_headers() -> None:
    """Raise `ConfigurationError` if an installed version does not remove the API key with ``Authorization``."""
    for library in LIBRARIES:
        try:
            sent = library.Headers({API_KEY_HEADER: "the caller's"})
            _set_credentials(sent, "a", "k")
            hop = library.Headers(sent)
            whole = (hop[AUTHORIZATION], hop[API_KEY_HEADER]) == ("a", "k")
            hop.pop(AUTHORIZATION)
            safe = whole and not hop.raw
        except (AttributeError, KeyError, TypeError, ValueError):
            safe = False
        if not safe:
            version = getattr(library, "__version__", "")
            raise ConfigurationError(
                f"HttpxAuth does not know how {library.__name__} {version} keeps headers, and a redirect could carry the"
                " API key to another host; install a version that was tested with this one"
            )


def url_of(request: Request) -> URL | None:
    """Return where *request* is sent, as httpx connects to it; ``None`` if nothing can be sent there."""
    url = request.url
    try:
        # From its parts and not from its text, which another parser may read as another host.
        built = URL.build(scheme=url.scheme, host=url.raw_host.decode("ascii"), port=url.port)
        sendable = bool(built.port)
    except ValueError:
        return None
    return built if sendable else None


def can_be_sent_again(request: Request) -> bool:
    """Whether *request*'s body is at hand: bytes, JSON, a form, or a form with files that can be read from their beginning."""
    stream: Any = request.stream
    if isinstance(stream, tuple(library.ByteStream for library in LIBRARIES)):
        return True
    fields = getattr(stream, "fields", None)  # of a multipart form
    return fields is not None and all(_can_be_read_again(getattr(field, "file", b"")) for field in fields)


def _can_be_read_again(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    return isinstance(file, str | bytes) or (callable(seekable) and bool(seekable()))


async def give_back(response: Response) -> bool:
    """
    Give the connection of a refusal back; return whether its answer can still be handed to the caller.

    A short body is read to its end, which keeps the connection usable. Any other closes it.
    """
    if is_read(response):
        return True
    stream: Any = response.stream
    pieces: list[bytes] = []
    ended = False
    try:
        async with asyncio.timeout(_SECONDS_FOR_A_REFUSAL):
            ended = await _read(stream, pieces)
    except Exception:  # noqa: BLE001, S110 - what the connection meets is none of the caller's business: the refusal is given up
        pass
    await stream.aclose()
    _put_body(response, b"".join(pieces) if ended else b"")
    return ended


async def _read(stream: Any, pieces: list[bytes]) -> bool:
    size = 0
    async for piece in stream:
        pieces.append(SecretBytes(piece))
        size += len(piece)
        if size > MAX_KEPT_BODY:
            return False
    return True


def is_read(response: Response) -> bool:
    """Whether somebody, such as a hook of the client, has read *response* to its end."""
    try:
        _ = response.content
    except RuntimeError:  # httpx's ResponseNotRead
        return False
    return True


def is_lost(response: Response) -> bool:
    """Whether *response* was closed before anybody has read it: httpx then sends nothing after it."""
    return response.is_closed and not is_read(response)


def drop_body(response: Response) -> None:
    """Let a refusal that was given back have no body: httpx reads it before it sends again, and it may be damaged."""
    if not is_read(response):
        _put_body(response, b"")


def _put_body(response: Response, body: bytes) -> None:
    library = next(each for each in LIBRARIES if isinstance(response, each.Response))
    response.stream = library.ByteStream(body)


def take_cookies(request: Request, response: Response) -> None:
    """Let *request* be sent again with the cookies that *response*, its refusal, has set."""
    fresh = {name: value for name, value in response.cookies.items() if value}
    if fresh:
        pairs = (pair.strip().partition("=") for pair in request.headers.get("Cookie", "").split(";"))
        cookies = {name: value for name, _, value in pairs if name} | fresh
        request.headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
