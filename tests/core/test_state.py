"""When a token ends, and when its renewal begins."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exterview_auth import Token
from exterview_auth._core.state import IssuedToken, TokenState

LIVES = st.floats(min_value=0.01, max_value=1e8)
WINDOWS = st.floats(min_value=2, max_value=1e6)
DRAWS = st.floats(min_value=0, max_value=1, exclude_max=True)


class Draw(random.Random):
    """A draw that a test chooses, and that counts."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value
        self.count = 0

    def random(self) -> float:
        self.count += 1
        return self.value


def grant(
    life: float | None, *, began: float = 100, received: float = 100, window: float = 300, draw: float = 0
) -> IssuedToken:
    """A timed grant of a token that lives *life* seconds."""
    token = Token("abc", expires_in=life)
    return IssuedToken(token, from_login=True).timed(began=began, received=received, window=window, random=Draw(draw))


def test_a_new_grant_makes_a_header_and_knows_nothing_against_itself() -> None:
    """The header's value never prints itself, and a grant that was not timed never ends."""
    new = IssuedToken(Token("abc", expires_in=60), from_login=True)
    assert new.authorization == "Bearer abc"
    assert repr(new.authorization) == "'***'"
    assert (new.number, new.from_login, new.end, new.expires, new.renew_at) == (0, True, math.inf, math.inf, math.inf)
    assert not any((new.used, new.ever_accepted, new.rejected, new.useless))
    assert not IssuedToken(Token("abc"), from_login=False).from_login


def test_two_grants_of_the_same_text_are_two() -> None:
    """Lesson 3: identity tells grants apart, not the token's text."""
    token = Token("abc")
    assert IssuedToken(token, from_login=True) != IssuedToken(token, from_login=True)


def test_a_life_counts_from_the_moment_the_login_was_sent() -> None:
    """The end is the life after the sending, the token is not sent in its last second, and renewal begins before."""
    timed = grant(3600, began=100, received=110)
    assert (timed.end, timed.expires) == (3700, 3699)
    assert timed.renew_at == pytest.approx(3400, abs=2)


def test_a_token_of_unknown_life_never_ends() -> None:
    """Without a lifetime nothing is due."""
    timed = grant(None)
    assert (timed.end, timed.expires, timed.renew_at) == (math.inf, math.inf, math.inf)


def test_a_login_slower_than_its_tokens_life_leaves_half_of_it() -> None:
    """A token that was dead on arrival by the clock is used for half its life all the same."""
    assert grant(10, began=100, received=200).end == 205


def test_a_short_life_has_a_short_leeway() -> None:
    """The leeway is a fiftieth of a life below fifty seconds."""
    assert grant(5).expires == pytest.approx(104.9)
    assert grant(50).expires == pytest.approx(149)


def test_without_a_window_nothing_is_renewed_ahead() -> None:
    """``refresh_ahead=0`` is never."""
    assert grant(3600, window=0).renew_at == math.inf


def test_jitter_is_drawn_once_and_moves_the_beginning_later() -> None:
    """Lesson 26: one draw per token; the largest shifts the beginning by a fifth of the window."""
    draw = Draw(0.999999)
    IssuedToken(Token("abc", expires_in=3600), from_login=True).timed(began=0, received=0, window=300, random=draw)
    assert draw.count == 1
    early, late = grant(3600, draw=0).renew_at, grant(3600, draw=0.999999).renew_at
    assert late - early == pytest.approx(60, abs=0.1)


@pytest.mark.parametrize("life", [1, 5, 20, 59])
@pytest.mark.parametrize("draw", [0, 0.999])
def test_the_window_never_covers_most_of_a_short_life(life: float, draw: float) -> None:
    """Rule 8: a token of 1, 5, 20 or 59 s is neither renewed nor over in the first half of its life."""
    timed = grant(life, window=300, draw=draw)
    assert timed.renew_at > 100 + life * 0.7
    assert timed.expires > 100 + life * 0.9


@given(LIVES, WINDOWS, DRAWS, st.floats(min_value=0, max_value=1e6))
def test_every_token_is_renewed_before_it_ends_but_not_at_once(
    life: float, window: float, draw: float, took: float
) -> None:
    """Rule 8: whatever life, window and draw, the renewal begins after the receipt and before requests have to wait."""
    timed = grant(life, began=0, received=took, window=window, draw=draw)
    assert took <= timed.renew_at
    assert timed.renew_at < timed.expires <= timed.end
    assert timed.end >= took + life / 2 - 1e-6


@pytest.mark.parametrize("window", [0.2, 1.0, 1.2])
@pytest.mark.parametrize("draw", [0, 0.999])
def test_a_small_window_still_begins_before_requests_wait(window: float, draw: float) -> None:
    """Rule 8: a window shorter than the leeway renews while the token still serves."""
    timed = grant(3600, window=window, draw=draw)
    assert timed.renew_at < timed.expires


def test_what_the_source_has_nothing_newer_for_goes_on() -> None:
    """A grant that goes on has no end by the clock and nothing against it: only the API can tell."""
    old = grant(60)
    old.rejected = True
    old.drop_expiry()
    assert not old.rejected
    assert (old.end, old.expires, old.renew_at) == (math.inf, math.inf, math.inf)
    assert old.remaining(1e9).expires_in is None


def test_a_store_gets_what_is_left() -> None:
    """The token for the store counts its life from now, and one that is over has none left."""
    timed = grant(60)
    assert timed.remaining(130).expires_in == 30
    assert timed.remaining(1000).expires_in == 0
    assert timed.remaining(130).value == "abc"


def test_requests_are_signed_without_asking_only_while_a_living_grant_is_held() -> None:
    """The invariant of what is held: where the grant is missing or dead, its freshness lies in the past."""
    held = TokenState(lambda: 0.0)
    assert (held.current, held.usable_until) == (None, -math.inf)
    one = grant(60)
    held.install(one)
    assert (held.current, held.usable_until, one.number) == (one, one.expires, held.issued)
    held.reject()
    assert (one.rejected, held.usable_until) == (True, -math.inf)
    held.install(grant(60))
    held.clear()
    assert (held.current, held.usable_until) == (None, -math.inf)
    held.reject()
    held.keep_using()
    assert (held.current, held.usable_until) == (None, -math.inf)


def test_at_its_end_a_grant_is_not_fresh_any_more() -> None:
    """Rule 1: whoever asks at the very moment from which requests are not signed without asking waits for the next one."""
    times = [0.0]
    held = TokenState(lambda: times[-1])
    one = grant(60)
    held.install(one)
    times.append(one.expires - 0.01)
    assert (held.unexpired, held.unrejected) == (one, one)
    times.append(one.expires)
    assert (held.unexpired, held.unrejected) == (None, one)
    times.append(0.0)
    held.reject()
    assert (held.unexpired, held.unrejected) == (None, None)


def test_a_grant_that_is_watched_is_asked_for_until_somebody_has() -> None:
    """Watching has the next request ask although the grant is fresh; after that it is signed with as before."""
    held, one = TokenState(lambda: 0.0), grant(60)
    held.install(one)
    held.defer_renewal(one)
    assert (one.renewal_deferred, held.usable_until, held.unexpired) == (True, -math.inf, one)
    held.resume_renewal(one)
    assert (one.renewal_deferred, held.usable_until) == (False, one.expires)


def test_a_grant_that_is_revived_keeps_its_end_where_that_is_to_come() -> None:
    """Nothing newer: a fresh grant goes on to its own end, a dead one to no end that a clock knows."""
    held, one = TokenState(lambda: 0.0), grant(60)
    held.install(one)
    held.keep_using()
    assert held.usable_until == one.expires < math.inf
    held.reject()
    held.keep_using()
    assert (one.rejected, held.usable_until) == (False, math.inf)


def test_each_grant_has_a_greater_number_than_the_one_before() -> None:
    """Who waited is told from who did not by them: a request knows the newest number that it has seen."""
    held, grants = TokenState(lambda: 0.0), [grant(60) for _ in range(3)]
    for one in grants:
        held.install(one)
        assert one.number == held.issued
    assert 0 < grants[0].number < grants[1].number < grants[2].number
