"""How a token is written down: it comes back as it was, and nothing that is found there breaks the reader."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from exterview_auth import Token
from exterview_auth._token import aged, issued_by, issuer_of, login_of
from exterview_auth.stores import _entry
from exterview_auth.stores._encryption import UnreadableError
from exterview_auth.stores._entry import LOGGED_ENTRIES, Codec, fingerprint, key_of
from exterview_auth.stores._keeping import KEEP
from tests.kit.stores import told

VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=50).filter(
    lambda text: not text.lower().startswith("bearer ")
)
ADA, BOB = key_of("ada"), key_of("bob")


def plain(keep: float = KEEP) -> Codec:
    """A store's codec without a key."""
    return Codec("FileStore", None, keep)


def payload(**fields: Any) -> bytes:
    """Ada's payload, with other *fields*."""
    return json.dumps({"account": ADA, "saved_at": 1.0, "token": "x", "expires_in": 60, **fields}).encode()


@given(
    VISIBLE,
    st.none() | st.text(min_size=1),
    st.none() | st.floats(1e-3, 1e12),
    st.none() | st.text(),
    st.tuples(st.floats(0, 1e12), st.floats(1e-3, 1e9)),
)
def test_a_token_comes_back_with_what_is_left_of_its_life(
    value: str, refresh: str | None, life: float | None, name: str | None, times: tuple[float, float]
) -> None:
    """Texts, issuer and login as they were, the life less its age, until the entry is over: with its life, or after `keep`."""
    now, keep = 1000.5 + times[0], times[1]
    age = now - 1000.5
    token = issued_by(name, Token(value, refresh_token=refresh).with_remaining(life), login=name)
    codec = plain(keep)
    found = codec.decode(ADA, codec.encode(ADA, token, 1000.5), now)
    assert found.age == age
    left = None if token.expires_in is None else token.expires_in - age
    if age >= (keep if refresh or left is None else token.expires_in or 0.0):
        assert found.token is None
    else:
        assert found.token is not None
        assert (found.token.value, found.token.refresh_token) == (value, refresh)
        assert (issuer_of(found.token), login_of(found.token)) == (name, name)
        assert found.token.expires_in == (None if left is None else pytest.approx(max(0.0, left), abs=1e-3))


@pytest.mark.parametrize("life", ["9" * 400, "-1", '"60"', "[]", "NaN", "-Infinity", "true", "{}"])
@pytest.mark.parametrize("name", ["expires_in", "saved_at"])
def test_a_time_that_is_not_a_number_is_damage(name: str, life: str) -> None:
    """A number that no clock can count to is a damaged entry, not an error."""
    raw = payload(**{name: "@"}).replace(b'"@"', life.encode())
    with pytest.raises(UnreadableError, match=r"^it is damaged$"):
        _entry.to_entry(ADA, raw)


@pytest.mark.parametrize("moment", ["Infinity", "null"])
def test_an_entry_that_would_not_grow_older_is_damage(moment: str) -> None:
    """When it was saved is a finite number, whoever wrote it."""
    with pytest.raises(UnreadableError, match=r"^it is damaged$"):
        _entry.to_entry(ADA, payload(saved_at="@").replace(b'"@"', moment.encode()))


@pytest.mark.parametrize("name", ["account", "saved_at", "token", "expires_in"])
def test_an_entry_without_a_field_is_a_miss(name: str) -> None:
    """What a program of another kind wrote is not used."""
    fields = json.loads(payload())
    del fields[name]
    with pytest.raises(UnreadableError):
        _entry.to_entry(ADA, json.dumps(fields).encode())


@pytest.mark.parametrize("name", [5, [], {}, True])
@pytest.mark.parametrize("field", ["issuer", "login"])
def test_an_issuer_or_a_login_that_is_not_a_name_is_damage(field: str, name: Any) -> None:
    """A refresh token is shown to one whose name is known, or to anybody: nothing between."""
    with pytest.raises(UnreadableError, match=r"^it is damaged$"):
        _entry.to_entry(ADA, payload(**{field: name}))


@pytest.mark.parametrize("refresh", ["\\ud800", "x\\udcff", "\\udc00\\ud800"])
def test_a_refresh_token_that_no_login_could_present_is_damage(refresh: str) -> None:
    """Half a surrogate pair has no UTF-8 form: the entry is a miss, and the fleet logs in anew; a whole pair is text."""
    with pytest.raises(UnreadableError, match=r"^it is damaged$"):
        _entry.to_entry(ADA, payload(refresh_token="@").replace(b"@", refresh.encode()))
    found = _entry.to_entry(ADA, payload(refresh_token="\U0001f600"))
    assert found.token.refresh_token == "\U0001f600"


def test_an_endless_life_is_the_longest() -> None:
    """JSON's Infinity is a life of ten years, as for any token."""
    found = _entry.to_entry(ADA, payload(expires_in=math.inf))
    assert found.token.expires_in is not None
    assert math.isfinite(found.token.expires_in)


def test_another_version_is_named() -> None:
    """One of the future, whatever follows it, and the one before, which any account's entry could take the place of."""
    for raw in (b"exterview_auth/3 {}", b"exterview_auth/22 x", b"exterview_auth/"):
        with pytest.raises(UnreadableError, match="newer version"):
            _entry.payload_of(raw)
    with pytest.raises(UnreadableError, match="older version"):
        _entry.payload_of(b'exterview_auth/1 1.000000 {"token":"x","expires_in":null}')


@pytest.mark.parametrize("key", [None, Fernet.generate_key()], ids=["plain", "encrypted"])
def test_another_accounts_entry_is_a_miss(key: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    """An entry that was put in the place of another account's is not used, and one warning says so without a secret."""
    codec = Codec("FileStore", key, KEEP)
    raw = codec.encode(ADA, Token("s3cret", refresh_token="s3cret-too"), 1000.0)
    with caplog.at_level(logging.INFO, "exterview_auth"):
        for _ in range(2):
            assert codec.decode(BOB, raw, 1001.0) == (None, fingerprint(raw), None)
    assert told(caplog, "store.unreadable") == [
        "store.unreadable store='FileStore' problem='an entry is ignored: it belongs to another account; the next save replaces it'"
    ]
    assert codec.decode(ADA, raw, 1001.0).token is not None


def test_with_a_key_nobody_makes_an_entry_younger() -> None:
    """All that stands outside of what is encrypted is the version: nothing there can be changed to revive a token."""
    codec = Codec("FileStore", Fernet.generate_key(), KEEP)
    raw = codec.encode(ADA, Token("x", expires_in=60), 1000.0)
    head, encrypted = raw.split(b" ")
    assert head == b"exterview_auth/2"
    assert codec.decode(ADA, raw, 1061.0).token is None
    for changed in (
        b"exterview_auth/1 1060.0 " + encrypted,
        b"exterview_auth/2 nan " + encrypted,
        b"exterview_auth/2 1060.0 " + encrypted,
    ):
        assert codec.decode(ADA, changed, 1061.0).token is None


def test_a_clock_that_went_back_adds_nothing() -> None:
    """An entry from the future has its whole life, and no more."""
    codec = plain()
    raw = codec.encode(ADA, Token("x", expires_in=60), 2000.0)
    for now, left in ((1000.0, 60), (2000.0, 60), (2015.0, 45)):
        found = codec.decode(ADA, raw, now).token
        assert found is not None
        assert found.expires_in == left
    assert codec.decode(ADA, raw, 2060.0).token is None


def test_each_unreadable_entry_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """One warning per entry, by turns too, and nothing of it in the warning; what a store remembers of them is bounded."""
    codec = plain()
    with caplog.at_level(logging.INFO, "exterview_auth"):
        for _ in range(3):
            assert codec.decode(ADA, b"s3cret", 0.0).token is None
            assert codec.decode(BOB, b"another s3cret", 0.0).token is None
        assert codec.decode(ADA, b"s3cret, replaced", 0.0).token is None
        assert codec.decode(ADA, None, 0.0) == (None, b"", None)
    problem = (
        "store.unreadable store='FileStore' problem='an entry is ignored: it is damaged; the next save replaces it'"
    )
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [(logging.WARNING, problem)] * 3
    for number in range(2 * LOGGED_ENTRIES):
        codec.decode(key_of(str(number)), b"s3cret", 0.0)
    assert len(codec._logged_unreadable) == LOGGED_ENTRIES


def test_a_stored_token_has_the_fingerprint_and_age_of_its_entry() -> None:
    """A token, a fingerprint of its entry, and the seconds since its login: negative where a clock was set back."""
    codec = plain()
    raw = codec.encode(ADA, Token("x", expires_in=60), 1000.0)
    found = codec.decode(ADA, raw, 1015.0)
    assert (found.fingerprint, found.age) == (fingerprint(raw), 15.0)
    assert codec.decode(ADA, raw, 900.0).age == -100.0
    late = codec.encode(ADA, aged(Token("x"), 7.5), 1000.0)
    assert (codec.decode(ADA, late, 1015.0).age, codec.decode(ADA, late, 999.0).age) == (22.5, -1.0)
    assert codec.decode(ADA, b"damaged", 1015.0) == (None, fingerprint(b"damaged"), None)


def test_keys_and_fingerprints_are_the_same_for_every_release() -> None:
    """Two releases in one fleet share a token: where it is kept, and how it is told apart, is part of the format."""
    assert key_of("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8"
    assert fingerprint(b"a") == b"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"
    head, _, whole = plain().encode(ADA, Token("x"), 1.5).partition(b" ")
    assert head == b"exterview_auth/2"
    assert json.loads(whole) == {"account": ADA, "saved_at": 1.5, "token": "x", "expires_in": None}
    token = issued_by("https://login.example", Token("x", refresh_token="r", expires_in=60), login="1f")
    assert json.loads(_entry.to_payload(ADA, token, 1.5)) == {
        "account": ADA,
        "saved_at": 1.5,
        "token": "x",
        "expires_in": 60,
        "refresh_token": "r",
        "issuer": "https://login.example",
        "login": "1f",
    }


def test_keys_and_fingerprints_are_distinct() -> None:
    """A key shows nothing of its account, whatever characters it has; no entry has the fingerprint of a missing one."""
    accounts = ["a", "A", "", "../a", "\ud800", "a\0", "x" * 10_000]
    names = {key_of(account) for account in accounts}
    assert len(names) == len(accounts)
    assert all(name.isalnum() and len(name) == 40 for name in names)
    assert fingerprint(None) == b""
    assert fingerprint(b"") != b""
