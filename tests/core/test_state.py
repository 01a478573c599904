"""When a token ends, when its renewal begins, and what the state allows."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exterview_auth import Token
from exterview_auth._core.state import MIN_RENEWAL_PAUSE, IssuedToken, TokenState

NEVER = (math.inf, math.inf, math.inf)


class Draw(random.Random):
    """A draw that a test chooses, and that counts."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value
        self.count = 0

    def random(self) -> float:
        self.count += 1
        return self.value


def issued(
    life: float | None, *, began: float = 100, received: float = 100, window: float = 300, draw: float = 0
) -> IssuedToken:
    """Return a timed token that lives *life* seconds."""
    token = Token("abc", expires_in=life)
    return IssuedToken(token, from_login=True).timed(began=began, received=received, window=window, random=Draw(draw))


def times(one: IssuedToken) -> tuple[float, float, float]:
    """Return the three moments of its lifetime."""
    return one.end, one.expires, one.renew_at


# -- lifetimes -----------------------------------------------------------------------------------------------------------


def test_a_new_token_has_a_header_and_no_refusals() -> None:
    """The header's value never prints itself, and a token that was not timed never ends."""
    new = IssuedToken(Token("abc", expires_in=60), from_login=True)
    assert new.authorization == "Bearer abc"
    assert repr(new.authorization) == "'***'"
    assert (new.number, new.from_login, times(new)) == (0, True, NEVER)
    assert not any((new.used, new.ever_accepted, new.rejected, new.useless))
    assert not IssuedToken(Token("abc"), from_login=False).from_login


def test_two_logins_with_the_same_text_are_two_tokens() -> None:
    """They are compared by identity, not by their text."""
    token = Token("abc")
    assert IssuedToken(token, from_login=True) != IssuedToken(token, from_login=True)


def test_a_lifetime_counts_from_the_moment_the_login_was_sent() -> None:
    """The token is not sent in its last second, and its renewal begins before."""
    timed = issued(3600, began=100, received=110)
    assert (timed.end, timed.expires) == (3700, 3699)
    assert timed.renew_at == pytest.approx(3400, abs=2)
    assert issued(5).expires == pytest.approx(104.9)  # a fiftieth of a lifetime below fifty seconds
    assert issued(50).expires == pytest.approx(149)


def test_a_token_without_a_lifetime_never_ends() -> None:
    """Nothing is due; with ``refresh_ahead=0`` nothing is renewed ahead either."""
    assert times(issued(None)) == NEVER
    assert issued(3600, window=0).renew_at == math.inf


def test_jitter_is_drawn_once_and_delays_the_renewal() -> None:
    """One draw per token; the largest delays the renewal by a fifth of the window."""
    draw = Draw(0.999999)
    IssuedToken(Token("abc", expires_in=3600), from_login=True).timed(began=0, received=0, window=300, random=draw)
    assert draw.count == 1
    early, late = issued(3600, draw=0).renew_at, issued(3600, draw=0.999999).renew_at
    assert late - early == pytest.approx(60, abs=0.1)


@given(
    life=st.floats(0.01, 1e8) | st.sampled_from((1.0, 5.0, 20.0, 59.0)),
    window=st.floats(0.2, 1e6),
    draw=st.floats(0, 1, exclude_max=True),
    took=st.floats(0, 1e6),
)
def test_every_token_is_renewed_before_it_ends_but_not_at_once(
    life: float, window: float, draw: float, took: float
) -> None:
    """The renewal begins in the last quarter of a life, after the receipt and before requests have to wait."""
    timed = issued(life, began=0, received=took, window=window, draw=draw)
    assert took <= timed.renew_at < timed.expires <= timed.end
    assert timed.end >= took + life / 2 - 1e-6
    assert timed.end - timed.renew_at <= life * 0.27 + 1e-6


def test_after_a_login_with_nothing_newer_only_the_api_can_tell() -> None:
    """The old token has no end by the clock any more, and is not rejected."""
    old = issued(60)
    old.rejected = True
    old.trust_again()
    assert not old.rejected
    assert times(old) == NEVER
    assert old.remaining(1e9).expires_in is None


def test_a_store_gets_the_rest_of_the_lifetime() -> None:
    """It counts from now; a token that has expired has none left."""
    timed = issued(60)
    assert timed.remaining(130).expires_in == 30
    assert timed.remaining(1000).expires_in == 0
    assert timed.remaining(130).value == "abc"


# -- the state -----------------------------------------------------------------------------------------------------------


def test_without_a_usable_token_no_request_is_signed() -> None:
    """The state's invariant: if the token is missing or rejected, `usable_until` lies in the past."""
    state = TokenState(lambda: 0.0)
    nothing = (None, -math.inf)
    assert (state.current, state.usable_until) == nothing
    one = issued(60)
    state.install(one)
    assert (state.current, state.usable_until, one.number) == (one, one.expires, state.last_number)
    state.reject()
    assert (one.rejected, state.usable_until) == (True, -math.inf)
    state.install(issued(60))
    state.clear()
    assert (state.current, state.usable_until) == nothing
    state.reject()
    state.keep_using()
    assert (state.current, state.usable_until) == nothing


def test_at_its_end_a_token_is_expired() -> None:
    """A request at the very moment of `expires` waits for the next token."""
    now = 0.0
    state, one = TokenState(lambda: now), issued(60)
    state.install(one)
    now = one.expires - 0.01
    assert (state.unexpired, state.unrejected) == (one, one)
    now = one.expires
    assert (state.unexpired, state.unrejected) == (None, one)
    now = 0.0
    state.reject()
    assert (state.unexpired, state.unrejected) == (None, None)


def test_a_token_that_is_kept_keeps_an_end_that_has_not_come() -> None:
    """Nothing newer: an unexpired token is used until its own end, a rejected one without end."""
    state, one = TokenState(lambda: 0.0), issued(60)
    state.install(one)
    state.keep_using()
    assert state.usable_until == one.expires < math.inf
    state.reject()
    state.keep_using()
    assert (one.rejected, state.usable_until) == (False, math.inf)


def test_a_token_that_is_kept_in_its_last_second_is_used_without_end_and_its_source_asked_once_more() -> None:
    """No renewal would end in time; the fast path, which knows the old end, begins anew."""
    now = 0.0
    state, one = TokenState(lambda: now), issued(60)
    state.install(one)
    state.open_fast_path()
    now = one.expires - MIN_RENEWAL_PAUSE
    state.keep_using()
    assert (state.fast_path, state.usable_until, one.renew_at) == (None, math.inf, now + MIN_RENEWAL_PAUSE)
    now = one.renew_at
    state.keep_using()
    one.renew_later(now)
    assert (state.usable_until, one.renew_at) == (math.inf, math.inf)
