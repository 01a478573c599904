"""What a token is, and how long it is valid."""

from __future__ import annotations

import copy
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exterview_auth import ConfigurationError, Token
from exterview_auth._clock import boot_time
from exterview_auth._seconds import MAX_SECONDS, seconds_in
from exterview_auth._token import MAX_TOKEN_LENGTH, issued_by, issuer_of, jwt_lifetime
from tests.kit.tokens import LIFETIMES, jwt_of, raw_jwt

NOW = 1_700_000_000.0
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


# -- the lifetime that a login names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "seconds"), LIFETIMES, ids=lambda value: str(value)[:9])
def test_odd_lifetimes_are_read_clamped_or_ignored(value: object, seconds: float | None) -> None:
    """Numbers and numbers as text count, up to ten years; anything else is unknown, never fatal."""
    assert seconds_in(value) == seconds


@given(JSON | st.binary(max_size=4) | st.decimals())
def test_any_lifetime_is_none_or_within_bounds(value: object) -> None:
    """Whatever a server says, a lifetime is unknown, or positive and at most ten years."""
    seconds = seconds_in(value)
    assert seconds is None or 0 < seconds <= MAX_SECONDS


# -- the lifetime that a JWT names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "seconds"),
    [
        ({"iat": NOW, "exp": NOW + 600}, 600.0),
        ({"iat": NOW - 500, "exp": NOW + 100}, 100.0),
        ({"iat": NOW + 120, "exp": NOW + 720}, 600.0),
        ({"iat": NOW - 7200, "exp": NOW - 3600}, 3600.0),
        ({"iat": NOW - 600, "exp": NOW}, 600.0),
        ({"exp": NOW + 60}, 60.0),
        ({"exp": str(int(NOW) + 60), "iat": str(int(NOW))}, 60.0),
        ({"exp": NOW - 60}, None),
        ({"iat": NOW}, None),
        ({"iat": NOW + 600, "exp": NOW + 60}, 60.0),
        ({"iat": NOW, "exp": True}, None),
        ({"iat": NOW, "exp": 10**400}, None),
        ({"exp": NOW + 60, "iat": None}, 60.0),
        ({"exp": 1e300, "iat": NOW}, MAX_SECONDS),
        ({}, None),
    ],
)
def test_a_jwt_names_its_own_lifetime(claims: dict[str, Any], seconds: float | None) -> None:
    """``exp - iat``, or ``exp - now`` where that is smaller and the clocks do not plainly disagree."""
    assert jwt_lifetime(jwt_of(**claims), NOW) == seconds


@pytest.mark.parametrize("more", range(6))
def test_a_payload_of_any_length_is_read(more: int) -> None:
    """RFC 7515: the padding that a JWT leaves out is put back, whatever the payload's length."""
    assert jwt_lifetime(jwt_of(exp=NOW + 60, pad="x" * more), NOW) == 60


@pytest.mark.parametrize(
    "value",
    ["opaque", "a.b", "a.b.c.d", "..", "a.*.c", "a.\u00e9.c", raw_jwt(b"[1]"), raw_jwt(b"\xff\xfe"), raw_jwt(b"{")],
)
def test_an_opaque_token_names_no_lifetime(value: str) -> None:
    """Opaque tokens, and damaged or odd payloads, are not an error."""
    assert jwt_lifetime(value, NOW) is None


@pytest.mark.parametrize(
    "payload",
    [b"[" * 40_000, json.dumps({"exp": NOW + 60, "pad": "x" * MAX_TOKEN_LENGTH}).encode()],
    ids=["deep", "long"],
)
def test_a_payload_without_end_is_not_a_jwt(payload: bytes) -> None:
    """What exhausts the JSON parser, or is longer than any token that can be sent, is an opaque token."""
    assert jwt_lifetime(raw_jwt(payload), NOW) is None


# -- the token -----------------------------------------------------------------------------------------------------------


def test_a_token_keeps_its_arguments() -> None:
    """Value, refresh token and lifetime are kept, and the end is an aware UTC time."""
    token = Token("abc", expires_in=3600, refresh_token="r e f")
    assert (token.value, token.refresh_token, token.expires_in) == ("abc", "r e f", 3600.0)
    assert not token.counts_from_receipt
    assert token.expires_at is not None
    assert token.expires_at.tzinfo is UTC
    assert abs(token.expires_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(seconds=5)


def test_an_opaque_token_lives_until_a_401() -> None:
    """Without ``expires_in`` an opaque token has no end; an empty refresh token, as a response may have it, is ignored."""
    token = Token("abc", refresh_token="")
    assert (token.expires_in, token.expires_at, token.refresh_token) == (None, None, None)
    assert token.counts_from_receipt


def test_a_jwt_counts_from_its_receipt() -> None:
    """Without ``expires_in`` a JWT's own lifetime counts, from the moment it was received."""
    now = time.time()
    token = Token(jwt_of(iat=now, exp=now + 600))
    assert token.expires_in == pytest.approx(600, abs=5)
    assert token.counts_from_receipt
    assert Token(jwt_of(iat=now, exp=now + 600), expires_in=0).expires_in == pytest.approx(600, abs=5)


def test_a_named_lifetime_outranks_the_jwts() -> None:
    """``expires_in`` wins over the JWT's own claims."""
    token = Token(jwt_of(iat=1, exp=2), expires_in=60)
    assert token.expires_in == 60
    assert not token.counts_from_receipt


@pytest.mark.parametrize("value", ["", " ", "a b", "a\nb", "a\r\nX: y", "a\x00", "é", "Bearer abc", "bEARER abc"])
def test_a_value_that_cannot_be_sent_is_refused(value: str) -> None:
    """Control characters, spaces and the word Bearer are refused before anything is sent, without showing the value."""
    advice = (
        "must not begin with the word Bearer; remove it" if "abc" in value else "must be visible ASCII without spaces"
    )
    with pytest.raises(ConfigurationError, match=f"^a bearer token .*{advice}") as caught:
        Token(value)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(("value", "refresh"), [(None, None), (b"abc", None), (5, None), ("abc", b"r"), ("abc", 5)])
def test_what_is_not_text_is_refused(value: Any, refresh: Any) -> None:
    """Value and refresh token are text, and the error names the wrong type."""
    with pytest.raises(ConfigurationError, match=r"must be text, not (NoneType|bytes|int)$"):
        Token(value, refresh_token=refresh)


@pytest.mark.parametrize("refresh", ["\ud800", "x\udcff", "\udc00\ud800"])
def test_a_refresh_token_without_a_utf8_form_is_refused_unseen(refresh: str) -> None:
    """It could never be sent; the error does not show it."""
    with pytest.raises(ConfigurationError, match=r"^a refresh token contains half a surrogate pair; ") as caught:
        Token("value", refresh_token=refresh)
    assert refresh not in repr(caught.value)


def test_the_longest_token_is_taken_and_a_longer_one_refused() -> None:
    """A token of 64 Ki characters can be sent; one more, and it is an error that does not quote it."""
    assert len(Token("x" * MAX_TOKEN_LENGTH).value) == 65_536
    with pytest.raises(ConfigurationError, match="65537 characters is too long") as caught:
        Token("x" * (MAX_TOKEN_LENGTH + 1))
    assert len(str(caught.value)) < 200


@given(st.one_of(st.text(), st.text("abc."), JSON), JSON, st.none() | st.text() | JSON)
def test_any_arguments_make_a_token_or_a_configuration_error(value: Any, expires_in: Any, refresh: Any) -> None:
    """Whatever a login puts into a token, the only error is `ConfigurationError`, and a token that is made can be shown."""
    try:
        token = Token(value, expires_in=expires_in, refresh_token=refresh)
    except ConfigurationError:
        return
    assert repr(token).startswith("Token('***'")
    assert token.expires_at is None or token.expires_at > datetime.now(UTC) - timedelta(seconds=5)


def test_the_repr_shows_only_what_is_not_secret() -> None:
    """The repr shows the end of life and that there is a refresh token, and neither text."""
    shown = repr(Token("abc", expires_in=60, refresh_token="xyz"))
    assert shown.startswith("Token('***', expires_at=20")
    assert shown.endswith("+00:00, refresh_token='***')")
    assert "abc" not in shown
    assert "xyz" not in shown
    assert repr(Token("abc")) == "Token('***')"


def test_a_token_is_its_own_copy() -> None:
    """Tokens do not change, so copies are the token itself."""
    token = Token("abc")
    assert copy.copy(token) is token
    assert copy.deepcopy([token])[0] is token


def test_a_stored_token_has_what_is_left_of_its_life() -> None:
    """`with_remaining` keeps the texts and sets the life from now; a life in the past is zero, not unknown."""
    token = Token("abc", expires_in=3600, refresh_token="r")
    twin = token.with_remaining(10)
    assert (twin.value, twin.refresh_token, twin.expires_in) == ("abc", "r", 10.0)
    assert twin.expires_at is not None
    assert abs(twin.expires_at - datetime.now(UTC) - timedelta(seconds=10)) < timedelta(seconds=5)
    assert token.with_remaining(-5).expires_in == token.with_remaining(-(10**400)).expires_in == 0.0
    assert token.with_remaining(10**400).expires_in == MAX_SECONDS
    assert (token.with_remaining(None).expires_in, token.with_remaining(None).expires_at) == (None, None)
    assert not Token(jwt_of(exp=time.time() + 60)).with_remaining(10).counts_from_receipt
    assert token.expires_in == 3600


def test_a_token_keeps_its_issuer() -> None:
    """A refresh token is shown to its issuer alone: the name stays with a stored token, and does not show."""
    token = Token("abc", expires_in=3600, refresh_token="r")
    issued = issued_by("https://login.example client", token)
    assert (issuer_of(token), issuer_of(issued)) == (None, "https://login.example client")
    assert (issued.value, issued.refresh_token, issued.expires_at) == (
        token.value,
        token.refresh_token,
        token.expires_at,
    )
    assert issuer_of(issued.with_remaining(10)) == issuer_of(issued)
    assert repr(issued) == repr(token)


def test_a_fingerprint_tells_tokens_apart() -> None:
    """The first 8 hex digits of the value's SHA-256, and nothing of the value itself."""
    token = Token("abc", refresh_token="r")
    assert token.fingerprint == "ba7816bf"
    assert type(token.fingerprint) is str
    assert token.fingerprint == Token("abc").fingerprint != Token("abd").fingerprint


def test_lifetimes_run_on_a_clock_that_runs_in_sleep() -> None:
    """The clock is the system's boot time, which neither a set wall clock nor a suspended machine stops."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= boot_time() <= time.clock_gettime(time.CLOCK_BOOTTIME)
