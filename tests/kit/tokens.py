"""Tokens as logins give them, with every lifetime that a server may write down, and how long they should live."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from exterview_auth import Token
from exterview_auth._core.state import IssuedToken

TEN_YEARS = 10 * 365 * 86_400.0

# A lifetime as a server writes it, and its seconds; `None` if it is not a lifetime.
LIFETIMES: tuple[tuple[Any, float | None], ...] = (
    (None, None), (0, None), (-1, None), (-0.0, None), (math.nan, None), (-math.inf, None), (True, None),
    ("", None), ("soon", None), ("-5", None), ([], None), (1e-9, 1e-9), (1, 1.0), (5, 5.0), (20, 20.0), (59, 59.0),
    (60, 60.0), (3600, 3600.0), ("3600", 3600.0), (86_400, 86_400.0), (1e18, TEN_YEARS), (10**400, TEN_YEARS),
    ("1e999", TEN_YEARS), (math.inf, TEN_YEARS), (" 60 ", 60.0), (-(10**400), None), ("nan", None), ({}, None), (b"60", None),
)  # fmt: skip
SKEWS = (0.0, 0.5, -0.5, 120.0, -120.0, 3599.0, -3599.0, 7200.0, -7200.0, 1e7, -1e7)


class Life(NamedTuple):
    """How long a token lives, if that is known, and whether it counts from when it came or from when it was asked for."""

    seconds: float | None
    from_receipt: bool = False


class Issue(NamedTuple):
    """A token that a login gave, or that another process saved."""

    life: Life
    sent: float
    received: float
    era: int = -1


class Answer(NamedTuple):
    """One way to answer a login: *make* takes a text that no other token has, and the wall clock."""

    make: Callable[[str, float], Token]
    life: Callable[[float], Life]


def opaque(written: Any, seconds: float | None, refresh: str | None = None) -> Answer:
    """A token of no format, with its lifetime beside it."""
    return Answer(
        lambda text, _: Token(text, expires_in=written, refresh_token=refresh), lambda _: Life(seconds, seconds is None)
    )


def jwt(life: float | None, skew: float, *, dated: bool) -> Answer:
    """A JWT by a server whose clock is *skew* ahead; *dated*: it says when it was issued."""

    def make(text: str, wall: float) -> Token:
        claims = {"jti": text, "iat": wall + skew} if dated else {"jti": text}
        return Token(jwt_of(**claims, **({} if life is None else {"exp": wall + skew + life})))

    def lives(_: float) -> Life:
        return Life(_jwt_seconds(life, skew, dated=dated), from_receipt=True)

    return Answer(make, lives)


def _jwt_seconds(life: float | None, skew: float, *, dated: bool) -> float | None:
    if life is None:
        return None
    known = [seconds for seconds in ((life,) if dated else ()) if seconds > 0]
    if life + skew > 0:  # else it has expired, or the clocks plainly disagree
        known.append(life + skew)
    return min([*known, TEN_YEARS]) if known else None


def jwt_of(**claims: Any) -> str:
    """An unsigned JWT with *claims*."""
    return raw_jwt(json.dumps(claims).encode())


def raw_jwt(payload: bytes) -> str:
    """Three parts, the middle one *payload*, without padding as in RFC 7515."""
    return f"eyJhbGciOiJub25lIn0.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.c2ln"


OPAQUE = st.builds(
    lambda life, refresh: opaque(life[0], life[1], refresh),
    st.sampled_from(LIFETIMES) | st.floats(1e-3, 1e6).map(lambda seconds: (seconds, seconds)),
    st.none() | st.just("refresh"),
)
# Nothing is drawn that lies on the edge between two rules, where a rounding decides.
JWTS = st.builds(
    jwt,
    st.sampled_from((None, -60.0, 1.0, 5.0, 59.0, 600.0, 3600.0, 1e12)),
    st.sampled_from(SKEWS),
    dated=st.booleans(),
)
ANSWERS = OPAQUE | JWTS


def end_of(issue: Issue) -> float:
    """The life counts from the moment of sending, and half of it is left when it comes late."""
    if issue.life.seconds is None:
        return float("inf")
    began = issue.received if issue.life.from_receipt else issue.sent
    return max(began + issue.life.seconds, issue.received + issue.life.seconds / 2)


def check_times(grant: IssuedToken, issue: Issue, end: float) -> None:
    """Its end is the model's; the window of its renewal covers at most a quarter of its life."""
    life = issue.life.seconds
    if life is None:
        assert (grant.end, grant.expires, grant.renew_at) == (end, end, end)
        return
    slack = 1e-6 + abs(end) * 1e-14
    assert abs(grant.end - end) <= slack
    assert -slack <= grant.end - grant.expires <= min(1.0, life / 50) + slack
    assert grant.renew_at == float("inf") or -slack <= grant.expires - grant.renew_at <= life / 4 + slack
