"""Text and bytes that are sent as they are and never print themselves."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Container, Iterator, Mapping
from typing import Any, NoReturn, Protocol, Self

_FINGERPRINT_DIGITS = 8


class Stream(Protocol):
    """The content of an answer."""

    def at_eof(self) -> bool:
        """Whether nothing more comes."""

    async def readany(self) -> bytes:
        """Return what has arrived, after waiting if that is nothing."""


class Sealed:
    """Mixin: a copy is the object itself, and pickling raises ``TypeError``. For what never changes and holds a secret."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        refuse_pickling(self)


class Secret(str, Sealed):
    """
    A token, key or password.

    ``repr`` is ``'***'``, also inside containers, headers and exceptions; pickling raises ``TypeError``. Whatever is cut out of
    a secret, or made from one by its methods or by ``+``, is a secret too: tools that show values shorten them first. The text
    appears only where code asks for it: ``str(secret)``, formatting (also with a precision), joining.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __iter__(self) -> Iterator[str]:
        return map(Secret, super().__iter__())

    def __radd__(self, text: str) -> Secret:
        if text == "":
            return self
        return Secret(text + str(self)) if isinstance(text, str) else NotImplemented


class SecretBytes(bytes, Sealed):
    """The bytes of a secret, or of a body with one. They are sent as they are; ``repr`` and ``str`` are ``b'***'``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'***'"

    __str__ = __repr__

    def __radd__(self, before: bytes) -> SecretBytes:
        return SecretBytes(before + bytes(self)) if isinstance(before, bytes) else NotImplemented


def concealed(value: Any) -> Any:
    """
    Return *value* with each text and bytes in it as a secret; mappings, lists and tuples are copied, at any depth.

    For arguments that hold secrets: error trackers print the local variables of every frame of a traceback.
    """
    copies: dict[int, Any] = {}
    left: list[Any] = []

    def copy_of(inner: Any) -> Any:
        if isinstance(inner, str):
            return inner if isinstance(inner, Secret) else Secret(inner)
        if isinstance(inner, bytes):
            return SecretBytes(inner)
        if not isinstance(inner, Mapping | list | tuple):
            return inner
        if id(inner) not in copies:
            copies[id(inner)] = {} if isinstance(inner, Mapping) else []
            left.append(inner)
        return copies[id(inner)]

    # Not recursive: an application's variables may be deep, or hold themselves.
    copy = copy_of(value)
    while left:
        node = left.pop()
        if isinstance(node, Mapping):
            copies[id(node)].update((copy_of(key), copy_of(member)) for key, member in node.items())
        else:
            copies[id(node)].extend(map(copy_of, node))
    return copy


async def read_pieces(stream: Stream, limit: int, pieces: list[SecretBytes]) -> bool:
    """
    Append what *stream* gives to *pieces*, until it ends or has given more than *limit* bytes; return whether it has ended.

    An answer may hold a token and end in the middle, so that no local variable of an error's frames holds plain bytes.
    """
    size = 0
    while size <= limit and not stream.at_eof():
        pieces.append(SecretBytes(await stream.readany()))
        size += len(pieces[-1])
    return size <= limit


def plain_kind(value: object) -> str:
    """Return the name of *value*'s type as its user knows it, for an error about an argument of the wrong type."""
    return "str" if isinstance(value, Secret) else "bytes" if isinstance(value, SecretBytes) else type(value).__name__


_SHARED_METHODS = (
    "__add__", "__getitem__", "__mod__", "__mul__", "__rmul__", "capitalize", "center", "expandtabs", "join", "ljust", "lower",
    "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rjust", "rpartition", "rsplit", "rstrip", "split",
    "splitlines", "strip", "swapcase", "title", "translate", "upper", "zfill",
)  # fmt: skip
_TEXT_METHODS = ("casefold", "encode", "format", "format_map")
_BYTES_METHODS = ("decode", "hex")


def _keep_results_secret(kind: type[Secret | SecretBytes], plain: type, names: tuple[str, ...]) -> None:
    """Let *kind* have the methods *names* of *plain*, with results that are secrets too."""

    def kept(secret: Any, result: Any) -> Any:
        # The whole stays the same object, with what a subclass knows of it.
        return secret if isinstance(result, plain) and result == secret else concealed(result)

    def keeping(name: str) -> Any:
        method = getattr(plain, name)

        def call(self: Any, *args: Any, **options: Any) -> Any:
            result = method(self, *args, **options)
            if isinstance(result, list | tuple):
                return type(result)(kept(self, piece) for piece in result)
            return kept(self, result)

        return functools.wraps(method)(call)

    for name in names:
        setattr(kind, name, keeping(name))


# Here and not in the classes: their signatures stay those of `str` and `bytes`, for readers and for the type checker.
_keep_results_secret(Secret, str, _SHARED_METHODS + _TEXT_METHODS)
_keep_results_secret(SecretBytes, bytes, _SHARED_METHODS + _BYTES_METHODS)


class OwnedHeader(Secret):
    """A header value that an owner has set. A method of ``str`` that changes nothing returns the same object."""

    __slots__ = ("sending",)

    # Invariant: contains the requests that the owner is sending at the moment, and does not refer to the owner.
    sending: Container[object]

    def __new__(cls, text: str) -> Self:
        header = super().__new__(cls, text)
        header.sending = ()
        return header

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> OwnedBytes:
        """Return the bytes, which are an owner's too: httpx keeps headers as bytes, and as text what is copied from them."""
        made = OwnedBytes(str.encode(self, encoding, errors))
        made.header = self
        return made


class OwnedBytes(SecretBytes):
    """
    The bytes of an `OwnedHeader`. They show as ``b'***'``, and ``str`` returns the text, as of a `Secret`.

    The encoder of HTTP/2 takes ``str`` of whatever is not exactly bytes.
    """

    header: OwnedHeader
    """What they were made from: by it, an owner knows its own header from another owner's with the same text."""

    def __str__(self) -> str:
        return bytes.decode(self)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> OwnedHeader:  # noqa: ARG002 - what any bytes take
        """Return the header again."""
        return self.header


def fingerprint(secret: str) -> str:
    """Return the first 8 hex digits of *secret*'s SHA-256, which tell secrets apart where they must not be shown."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()[:_FINGERPRINT_DIGITS]


def refuse_pickling(secret: object) -> NoReturn:
    """Raise ``TypeError``, as every object with a secret does when ``pickle`` asks for its state."""
    raise TypeError(f"{type(secret).__name__} holds a secret and cannot be pickled; create it again where it is needed")


def is_header_safe(text: str) -> bool:
    """Whether *text* can be one word of a header value: visible ASCII, no space, no control character."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def is_encodable(text: str) -> bool:
    """Whether *text* has a UTF-8 form."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
