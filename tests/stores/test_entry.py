"""How a token is written down: it comes back as it was, and nothing that is found there breaks the reader."""

from __future__ import annotations

import json
import logging
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exterview_auth import Token
from exterview_auth.stores import _entry
from exterview_auth.stores._encryption import UnreadableError
from exterview_auth.stores._entry import Codec, fingerprint, key_of

VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=50).filter(
    lambda text: not text.lower().startswith("bearer ")
)


@given(VISIBLE, st.none() | st.text(min_size=1), st.none() | st.floats(1e-3, 1e12), st.floats(0, 1e12))
def test_a_token_comes_back_with_what_is_left_of_its_life(
    value: str, refresh: str | None, life: float | None, age: float
) -> None:
    """Texts as they were; the life less its age, and never more than it was; without any life, a refresh token alone stays."""
    token = Token(value, refresh_token=refresh).with_remaining(life)
    entry = _entry.parse(_entry.serialize(1000.5, _entry.to_payload(token)))
    assert entry.saved_at == 1000.5
    found = _entry.to_token(entry.payload, age)
    left = None if token.expires_in is None else token.expires_in - age
    if left is not None and left <= 0 and not refresh:
        assert found is None
    else:
        assert found is not None
        assert (found.value, found.refresh_token) == (value, refresh)
        assert found.expires_in == (None if left is None else pytest.approx(max(0.0, left)))


@pytest.mark.parametrize("life", ["9" * 400, "-1", '"60"', "[]", "NaN", "-Infinity", "true_"])
def test_a_life_that_is_not_a_number_is_damage(life: str) -> None:
    """A number that no clock can count to is a damaged entry, not an error."""
    with pytest.raises(UnreadableError, match=r"^it is damaged$"):
        _entry.to_token(f'{{"token":"x","expires_in":{life}}}'.encode(), 0.0)


@pytest.mark.parametrize("refresh", ["\\ud800", "x\\udcff", "\\udc00\\ud800"])
def test_a_refresh_token_that_no_login_could_present_is_damage(refresh: str) -> None:
    """Half a surrogate pair has no UTF-8 form: the entry is a miss, and the fleet logs in anew; a whole pair is text."""
    with pytest.raises(UnreadableError, match=r"^it is damaged$"):
        _entry.to_token(f'{{"token":"x","expires_in":60,"refresh_token":"{refresh}"}}'.encode(), 0.0)
    found = _entry.to_token(b'{"token":"x","expires_in":60,"refresh_token":"\\ud83d\\ude00"}', 0.0)
    assert found is not None
    assert found.refresh_token == "\U0001f600"


def test_an_endless_life_is_the_longest() -> None:
    """JSON's Infinity is a life of ten years, as for any token."""
    found = _entry.to_token(b'{"token":"x","expires_in":Infinity}', 5.0)
    assert found is not None
    assert found.expires_in is not None
    assert math.isfinite(found.expires_in)


def test_a_future_version_is_named() -> None:
    """Whatever follows it."""
    for raw in (b"exterview_auth/2 1.0 {}", b"exterview_auth/11 x", b"exterview_auth/"):
        with pytest.raises(UnreadableError, match="newer version"):
            _entry.parse(raw)


def test_a_clock_that_went_back_adds_nothing() -> None:
    """Lesson 34: an entry from the future has its whole life, and no more."""
    codec = Codec("FileStore", None)
    raw = _entry.serialize(2000.0, _entry.to_payload(Token("x", expires_in=60)))
    for now, left in ((1000.0, 60), (2000.0, 60), (2015.0, 45)):
        found = codec.decode(raw, now).token
        assert found is not None
        assert found.expires_in == left
    assert codec.decode(raw, 2060.0).token is None


def test_an_unreadable_entry_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """One warning per entry, and nothing of it in the warning."""
    codec = Codec("FileStore", None)
    with caplog.at_level(logging.INFO, "exterview_auth"):
        for _ in range(3):
            assert codec.decode(b"s3cret", 0.0).token is None
        assert codec.decode(b"another s3cret", 0.0).token is None
        assert codec.decode(None, 0.0) == (None, b"", None)
    problem = "store.unreadable store='FileStore' problem='an entry is ignored: it is damaged'"
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [(logging.WARNING, problem)] * 2


def test_a_stored_token_has_the_fingerprint_and_age_of_its_entry() -> None:
    """A token, a fingerprint of its entry, and the seconds since it was saved."""
    codec = Codec("FileStore", None)
    raw = _entry.serialize(1000.0, _entry.to_payload(Token("x", expires_in=60)))
    found = codec.decode(raw, 1015.0)
    assert (found.fingerprint, found.age) == (fingerprint(raw), 15.0)
    assert codec.decode(raw, 900.0).age == 0.0
    assert codec.decode(b"damaged", 1015.0) == (None, fingerprint(b"damaged"), None)


def test_keys_and_fingerprints_are_the_same_for_every_release() -> None:
    """Two releases in one fleet share a token: where it is kept, and how it is told apart, is part of the format."""
    assert key_of("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8"
    assert fingerprint(b"a") == b"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"
    assert _entry.serialize(1.5, b"{}") == b"exterview_auth/1 1.500000 {}"
    assert json.loads(_entry.to_payload(Token("x"))) == {"token": "x", "expires_in": None}
    whole = Token("x", refresh_token="r", expires_in=60)
    assert json.loads(_entry.to_payload(whole)) == {"token": "x", "expires_in": 60, "refresh_token": "r"}


def test_keys_and_fingerprints_are_distinct() -> None:
    """A key shows nothing of its account, whatever characters it has; no entry has the fingerprint of a missing one."""
    accounts = ["a", "A", "", "../a", "\ud800", "a\0", "x" * 10_000]
    names = {key_of(account) for account in accounts}
    assert len(names) == len(accounts)
    assert all(name.isalnum() and len(name) == 40 for name in names)
    assert fingerprint(None) == b""
    assert fingerprint(b"") != b""
