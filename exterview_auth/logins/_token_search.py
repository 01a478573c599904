"""Finding a token, its lifetime and its refresh token in a JSON response of any shape."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

from .._seconds import seconds_in
from .._secret import Secret
from ._words import by_plain_name, plain_name

MAX_DEPTH = 10
MAX_NAMES = 12
"""Names that a message shows."""
LONGEST_PREFIX = 80
"""Characters of a dotted name, below which its members are named too."""
MAX_NODES = 10_000
"""Objects and lists that a search visits at most: a response has up to 1 MiB, and the event loop waits meanwhile."""

# Names are compared without case, underscores and hyphens; the order is that of preference. An ID token comes last: it
# says who logged in (OpenID Connect Core, section 2), but some APIs take it as a bearer token.
TOKEN_NAMES = (
    "token", "accesstoken", "jwt", "jwttoken", "bearertoken", "bearer", "authtoken", "authenticationtoken",
    "sessiontoken", "accessjwt", "idtoken",
)  # fmt: skip
REFRESH_NAMES = ("refreshtoken", "refresh", "refreshjwt")
_KINDS = ("type", "kind", "tokentype")
LIFETIME_NAMES = ("expiresin", "accesstokenexpiresin", "tokenexpiresin")
INSTANT_NAMES = ("expiresat", "accesstokenexpiresat", "tokenexpiresat", "exp")
DATE_NAMES = ("expires", "expireson", "expiration", "expiry")
"""Names that say neither what their number counts nor in what unit: only an instant can be told."""

# A number below is a lifetime: 1e9 seconds are 30 years, or a day in 2001. From 1e11 on it is JavaScript's milliseconds.
_EARLIEST_INSTANT = 1e9
_EARLIEST_MILLISECONDS = 1e11

Chain = tuple[Any, ...]
"""An object or list of the response, then the one that holds it, and so on outwards."""


class Match(NamedTuple):
    """A value, and where it was found."""

    value: Any
    chain: Chain


def find_token(data: Any) -> Match | None:
    """Return the shallowest text under one of the usual names; whatever belongs to a refresh token is left out."""
    # Level by level: near the top stands the login's own token, deeper down perhaps that of something else.
    for level in _levels(data):
        objects = [(by_plain_name(chain[0]), chain) for chain in level]
        objects = [(members, chain) for members, chain in objects if not _is_for_refreshing(members)]
        for name in TOKEN_NAMES:
            for members, chain in objects:
                if _is_text(value := members.get(name)):
                    return Match(Secret(value), chain)
    return None


def find_path(payload: dict[str, Any], path: tuple[str, ...]) -> Match | None:
    """Return the value at *path*, counted from the payload, its ``data``, or the shallowest object that has it."""
    starts: Iterator[Chain] = (chain for level in _levels(payload.get("data")) for chain in level)
    for start in ((payload,), *starts):
        found = _follow(start, path)
        if found is not None:
            return found
    return None


def names_in(payload: Mapping[str, Any]) -> tuple[list[str], str]:
    """Return the dotted names of values in *payload*'s data, at most `MAX_NAMES`, and that of a token which is null, or ``""``."""
    data = payload.get("data")
    there: list[str] = []
    missing = ""
    left = [(f"{name}", value) for name, value in (data if isinstance(data, dict) else payload).items()]
    for name, value in left:  # grows while it is read, breadth first
        # A name that is long already is not repeated for each member below it, however many and deep they are.
        if isinstance(value, dict) and value and len(left) < MAX_NODES and len(name) < LONGEST_PREFIX:
            left.extend((f"{name}.{inner}", below) for inner, below in value.items())
            continue
        is_answer = "." not in name and isinstance(data, dict)
        if value is None and not missing and (is_answer or plain_name(name.rpartition(".")[2]) in TOKEN_NAMES):
            missing = name
        there.append(name)
    return there[:MAX_NAMES], missing


def refresh_token_near(chain: Chain) -> str | None:
    """Return the refresh token beside a token, or in one of the objects around it."""
    for node in chain:
        members = by_plain_name(node)
        for name in REFRESH_NAMES:
            value = members.get(name)
            inner = by_plain_name(value)
            for candidate in (value, inner.get("token"), inner.get("value")):
                if _is_text(candidate):
                    return Secret(candidate)
    return None


def lifetime_near(chain: Chain, served_at: float) -> float | None:
    """Return the lifetime in seconds that stands beside a token, or in one of the objects around it."""
    for node in chain:
        members = by_plain_name(node)
        for name in LIFETIME_NAMES + INSTANT_NAMES + DATE_NAMES:
            seconds = seconds_left(members.get(name), INSTANT_NAMES[0] if name in DATE_NAMES else name, served_at)
            if seconds is not None:
                return seconds
    return None


def seconds_left(value: Any, name: str, served_at: float) -> float | None:
    """
    Return *value* as seconds from *served_at*, or ``None`` if it cannot be read.

    It may be a lifetime, an instant since the epoch (in seconds or milliseconds), or ISO 8601; *name* says which. Under any
    other name, a number is an instant if it lies after 2001.
    """
    number = _number(value)
    kind = plain_name(name)
    if kind in LIFETIME_NAMES or (kind not in INSTANT_NAMES and number is not None and number < _EARLIEST_INSTANT):
        lifetime = seconds_in(value)
        if lifetime is not None:
            return lifetime
    if number is None:
        number = _iso_instant(value)
    elif number >= _EARLIEST_MILLISECONDS:
        number /= 1000
    return None if number is None else seconds_in(number - served_at)


def _follow(start: Chain, path: tuple[str, ...]) -> Match | None:
    chain = start
    for step in path[:-1]:
        inner = _step(chain[0], step)
        if not isinstance(inner, dict | list):
            return None
        chain = (inner, *chain)
    value = _step(chain[0], path[-1])
    return None if value is None else Match(value, chain)


def _step(node: Any, step: str) -> Any:
    if isinstance(node, dict):
        return node.get(step)
    if isinstance(node, list) and step.isascii() and step.isdecimal() and len(step) <= len(str(MAX_NODES)):
        return next(islice(node, int(step), None), None)
    return None


def _levels(root: Any) -> Iterator[list[Chain]]:
    """Yield the objects and lists of *root*, breadth first."""
    level: list[Chain] = [(root,)] if isinstance(root, dict | list) else []
    left = MAX_NODES
    for _ in range(MAX_DEPTH):
        if not level:
            return
        yield level
        # Cut before it is built: a level of a hostile response may hold hundreds of thousands of objects.
        level = list(islice(((inner, *chain) for chain in level for inner in _inner(chain[0])), left))
        left -= len(level)


def _inner(node: Any) -> Iterator[Any]:
    members = (
        ((plain_name(key), value) for key, value in node.items()) if isinstance(node, dict) else (("", v) for v in node)
    )
    return (value for name, value in members if isinstance(value, dict | list) and name not in REFRESH_NAMES)


def _is_for_refreshing(members: dict[str, Any]) -> bool:
    kinds = (members.get(name) for name in _KINDS)
    return any(isinstance(kind, str) and "refresh" in kind.lower() for kind in kinds)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _iso_instant(value: Any) -> float | None:
    try:
        instant = datetime.fromisoformat(value)
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
