"""
The credentials on requests of httpx: set, recognised, and removed together.

An `httpx.Auth` sees a call's first request and its last answer. The redirects between them are followed elsewhere, with the
headers of the request before: httpx removes ``Authorization`` alone when a hop leads to another origin, and any other credential
stays. So the API key is tied to ``Authorization`` here: whoever removes that header removes both. Copies of the headers, which
httpx makes for each hop and instrumentation for each request, keep the tie, also those that are made through text.

The names carry it, because nothing else survives every copy: what ``headers[name]`` returns, and so each value of
``dict(headers)``, is plain text. `check_headers` makes sure, before anything is sent, that the tie holds in the version that is
installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

from .._aiohttp.signing import Key
from .._core.state import IssuedToken
from .._endpoint import API_KEY_HEADER
from .._secret import OwnedBytes, OwnedHeader, Sealed
from ..errors import ConfigurationError
from ._libraries import LIBRARIES

if TYPE_CHECKING:
    from httpx import Headers, Request

AUTHORIZATION = "Authorization"
_AUTHORIZATION_NAME = AUTHORIZATION.lower().encode()
_KEY_NAME = API_KEY_HEADER.encode()
_NAMES = frozenset({_AUTHORIZATION_NAME, _KEY_NAME})
_Item = tuple[bytes, bytes, bytes]
"""A header as httpx keeps it: its name as it is sent, the name in small letters, the value."""


class _Name(bytes, Sealed):
    """The name of a header that an owner has set, as it is sent. It knows its value, by which a copy is told from a new one."""

    value: bytes

    def __new__(cls, name: bytes, value: bytes) -> Self:
        made = super().__new__(cls, name)
        made.value = value
        return made

    def __str__(self) -> str:
        return bytes.decode(self)  # for the encoder of HTTP/2, which takes this of whatever is not exactly bytes

    def decode(self, encoding: str = "ascii", errors: str = "strict") -> _NameText:
        return _NameText(bytes.decode(self, encoding, errors), self.value)

    def lower(self) -> _Name:
        """Return the form by which httpx finds the header."""
        folded = bytes.lower(self)
        return (_TiedName if folded == _KEY_NAME else _Name)(folded, self.value)


class _TiedName(_Name):
    """The API key's name, as httpx finds it. Only to remove a header, httpx folds the case of what is folded already."""

    def lower(self) -> _RemovedName:
        return _RemovedName(self, self.value)


class _RemovedName(_Name):
    """
    The name of a header that is being removed: it is equal to those of both credentials.

    h2 folds the name too, and takes white space off it. It then finds it among the names whose values are never compressed.
    """

    def __eq__(self, other: object) -> bool:
        return other in _NAMES

    def __hash__(self) -> int:
        return hash(_AUTHORIZATION_NAME)

    def strip(self, _: Any = None, /) -> Self:
        return self


class _NameText(str):
    """The text of a `_Name`, which a copy of the headers may be made of."""

    __slots__ = ("value",)

    value: bytes

    def __new__(cls, text: str, value: bytes) -> Self:
        made = super().__new__(cls, text)
        made.value = value
        return made

    def encode(self, encoding: str = "ascii", errors: str = "strict") -> _Name:
        return _Name(str.encode(self, encoding, errors), self.value)

    def lower(self) -> Self:
        return type(self)(str.lower(self), self.value)

    def upper(self) -> Self:
        return type(self)(str.upper(self), self.value)

    def title(self) -> Self:
        return type(self)(str.title(self), self.value)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)  # recorders write down the names of headers


class _Items(list[_Item]):
    """The headers of a signed request. An API key that a hook sets there, under the plain name, is tied like the owner's."""

    def __setitem__(self, index: Any, item: Any) -> None:
        super().__setitem__(index, _tied(item))

    def append(self, item: _Item) -> None:
        super().append(_tied(item))

    def extend(self, items: Iterable[_Item]) -> None:
        super().extend(map(_tied, items))


def _tied(item: _Item) -> _Item:
    name, folded, value = item
    return _item(name, value) if folded == _KEY_NAME else item


def _item(name: bytes, value: bytes) -> _Item:
    made = _Name(name, value)
    return made, made.lower(), value


def sign(request: Request, issued: IssuedToken, key: Key) -> None:
    """Replace *request*'s credentials, and name a content type if it has none."""
    headers = request.headers
    _set_credentials(headers, issued.authorization, key.value)
    headers.setdefault("Content-Type", "application/json")
    issued.used = True


def _set_credentials(headers: Headers, authorization: str, key: str) -> None:
    headers.pop(AUTHORIZATION, None)
    headers.pop(API_KEY_HEADER, None)
    ours = _item(AUTHORIZATION.encode(), authorization.encode()), _item(_KEY_NAME, key.encode())
    headers._list = _Items([*headers._list, *ours])  # noqa: SLF001 - the public ways make the names plain


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
    items = request.headers._list  # noqa: SLF001 - as above
    if any(map(_is_copied, items)):
        items[:] = [item for item in items if not _is_copied(item)]


def _is_copied(item: _Item) -> bool:
    _, name, value = item
    return isinstance(value, OwnedBytes) or (isinstance(name, _Name) and name.value == value)


def check_headers() -> None:
    """Raise `ConfigurationError` if an installed version does not remove the API key with ``Authorization``, or loses the tie."""
    for library in LIBRARIES:
        try:
            safe = all(_is_safe(library, change) for change in _CHANGES)
        except (AttributeError, KeyError, TypeError, ValueError):
            safe = False
        if not safe:
            version = getattr(library, "__version__", "")
            raise ConfigurationError(
                f"HttpxAuth does not know how {library.__name__} {version} keeps headers, and a redirect could carry the"
                " API key to another host; install a version that was tested with this one"
            )


_CHANGES: tuple[Callable[[Any], Any], ...] = (
    lambda headers: headers,
    dict,
    lambda headers: headers.items(),
    lambda headers: headers.multi_items(),
    lambda headers: headers.raw,
    lambda headers: headers.update(dict(headers)) or headers,
    lambda headers: headers.__setitem__(API_KEY_HEADER, headers[API_KEY_HEADER]) or headers,
)
"""What is done with the headers of a signed request before they are copied: nothing by httpx, the others by its hooks."""


def _is_safe(library: ModuleType, change: Callable[[Any], Any]) -> bool:
    signed = library.Headers({API_KEY_HEADER: "the caller's"})
    _set_credentials(signed, OwnedHeader("a"), OwnedHeader("k"))
    hop = library.Headers(change(signed))
    whole = (hop[AUTHORIZATION], hop[API_KEY_HEADER]) == ("a", "k") and all(map(_is_copied, hop._list))  # noqa: SLF001 - as above
    hop.pop(AUTHORIZATION)
    return whole and not hop.raw
