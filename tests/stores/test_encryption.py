"""Encryption at rest, on both stores that keep something: what can be read there, and how keys change."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.fernet import Fernet
from redis import Redis

from exterview_auth import ConfigurationError, FileStore, RedisStore, Token
from tests.kit.stores import ACCOUNT, content, loaded, told

OLD, NEW, UNKNOWN = (Fernet.generate_key() for _ in range(3))
TOKEN = Token("s3cret-token", expires_in=3600, refresh_token="s3cret-refresh")
ORIGIN = "https://api.exterview.example"
KEY = f"{ORIGIN}|{ACCOUNT}"
READABLE = [b"s3cret", b"user@", b"example", b"exterview.ex", OLD, NEW]


class Kept(NamedTuple):
    """A place where tokens are kept."""

    store: Callable[..., Any]
    """Makes a store on it; its argument is the encryption key."""
    everything: Callable[[], dict[bytes, bytes]]
    """Returns all that lies there, by its names."""
    put: Callable[[bytes, bytes], object]
    """Writes a value to such a name, as whoever can write there may."""


@pytest.fixture(params=["files", "redis"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    """Each place in turn."""
    if request.param == "files":

        def files() -> dict[bytes, bytes]:
            return {str(path.relative_to(tmp_path)).encode(): path.read_bytes() for path in tmp_path.rglob("*.*")}

        def write(name: bytes, value: bytes) -> None:
            (tmp_path / name.decode()).write_bytes(value)

        return Kept(lambda key=None: FileStore(tmp_path / "tokens", encryption_key=key), files, write)
    url = request.getfixturevalue("redis_url")

    def entries() -> dict[bytes, bytes]:
        with Redis.from_url(url) as client:
            return {key: client.get(key) for key in client.scan_iter()}

    def set_value(name: bytes, value: bytes) -> None:
        with Redis.from_url(url) as client:
            client.set(name, value)

    return Kept(lambda key=None: RedisStore(url, encryption_key=key), entries, set_value)


@pytest.fixture(autouse=True)
def all_events(caplog: pytest.LogCaptureFixture) -> None:
    """Every event is looked at."""
    caplog.set_level(logging.DEBUG, "exterview_auth")


def readable(everything: dict[bytes, bytes]) -> list[bytes]:
    """What of the secrets shows."""
    assert everything
    return [secret for secret in READABLE if any(secret in name + value for name, value in everything.items())]


async def test_with_a_key_nothing_readable_is_kept(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    """Neither token nor refresh token, nor whose they are and for which origin, under the lock too."""
    async with kept.store(OLD) as store:
        async with store.lock(KEY):
            await store.save(KEY, TOKEN)
            assert readable(kept.everything()) == []
        assert readable(kept.everything()) == []
        assert content(await store.load(KEY)) == content(TOKEN)
    assert told(caplog, "store.unencrypted") == []


async def test_without_a_key_tokens_are_readable_and_that_is_logged_once(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """One event per store says it; whose tokens they are does not show even so."""
    for count in (1, 2):
        async with kept.store() as store:
            for account in (KEY, "another"):
                await store.save(account, TOKEN)
                assert await store.load(account) is not None
        hint = "tokens are readable; see encryption_key"
        event = f"store.unencrypted store={repr(store)!r} hint='{hint}'"
        assert [(each.levelno, each.getMessage()) for each in caplog.records] == [(logging.INFO, event)] * count
    assert readable(kept.everything()) == [b"s3cret"]
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    "form",
    [
        lambda key: key,
        lambda key: key.decode(),
        lambda key: key + b"\n",
        lambda key: [key],
        lambda key: (key.decode(),),
        lambda key: iter([key, UNKNOWN]),
        lambda key: {key: 1},
    ],
    ids=["bytes", "str", "line", "list", "tuple", "iterator", "mapping"],
)
async def test_a_key_is_text_or_bytes_and_may_be_one_of_several(form: Callable[[bytes], Any], kept: Kept) -> None:
    """Contract, stores: one or several Fernet keys."""
    async with kept.store(form(OLD)) as store, kept.store(OLD) as plain:
        await store.save("a", TOKEN)
        assert content(await plain.load("a")) == content(await store.load("a")) == content(TOKEN)
        assert ", encrypted" in repr(store)


async def test_keys_rotate_without_a_login(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    """What the old key wrote is read beside the new one, what is saved next needs the new one alone."""
    async with kept.store(OLD) as old, kept.store([NEW, OLD]) as both, kept.store([NEW]) as new:
        await old.save(KEY, TOKEN)
        found = await loaded(both, KEY)
        await both.save(KEY, found)
        assert content(await new.load(KEY)) == content(found) == content(TOKEN)
        assert told(caplog, "store.unreadable") == []
        assert await old.load(KEY) is None
        assert len(told(caplog, "store.unreadable")) == 1


@pytest.mark.parametrize(
    ("wrote", "reads", "problem"),
    [
        (UNKNOWN, OLD, "it is damaged, or encrypted with a key that is not among the encryption_key"),
        (None, OLD, "it is not encrypted, and the store has an encryption_key"),
        (UNKNOWN, None, "it is damaged, or encrypted and the store has no encryption_key"),
    ],
    ids=["another key", "no key", "a key"],
)
async def test_an_entry_of_another_key_is_a_miss_and_is_replaced(
    wrote: Any, reads: Any, problem: str, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """The fault table: one warning, and from then on the entry can be read again; unencrypted ones are not trusted."""
    async with kept.store(wrote) as before, kept.store(reads) as store:
        await before.save(KEY, TOKEN)
        for _ in range(2):
            assert await store.load(KEY) is None
        (warning,) = told(caplog, "store.unreadable")
        assert f"an entry is ignored: {problem}" in warning
        async with store.lock(KEY):
            assert await store.load(KEY) is None
            assert await store.save(KEY, Token("new")) is None
        assert content(await store.load(KEY)) == ("new", None)
        assert len(told(caplog, "store.unreadable")) == 1


@pytest.mark.parametrize("key", [None, OLD], ids=["plain", "encrypted"])
async def test_an_entry_in_another_accounts_place_is_a_miss(
    key: bytes | None, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """Entries that were exchanged, or copied from production to the sandbox, are not used; one warning for each says why."""
    accounts = (KEY, f"https://sandbox.example|{ACCOUNT}")
    async with kept.store(key) as store:
        for number, account in enumerate(accounts):
            await store.save(account, Token(f"s3cret-{number}", refresh_token=f"s3cret-refresh-{number}"))
        (one, first), (other, second) = (item for item in kept.everything().items() if item[0].endswith(b"token"))
        kept.put(one, second)
        kept.put(other, first)
        for account in accounts * 2:
            assert await store.load(account) is None
        warnings = told(caplog, "store.unreadable")
        assert len(warnings) == 2
        assert all("it belongs to another account" in warning for warning in warnings)
        assert "s3cret" not in "".join(warnings)
        async with store.lock(KEY):
            assert await store.load(KEY) is None
            assert await store.save(KEY, Token("new")) is None
        assert content(await store.load(KEY)) == ("new", None)


@pytest.mark.parametrize("store", [FileStore, RedisStore])
@pytest.mark.parametrize(
    "key",
    [
        *("", b"", "s3cret", b"s3cret", "s3cret" * 20, OLD[:-1]),
        *([], [b"s3cret"], [OLD, "s3cret"], [OLD, None], [None], 5, object(), True, [[OLD]], "ü" * 44, {5: OLD}),
    ],
    ids=lambda key: type(key).__name__,
)
def test_an_invalid_key_is_refused_at_once(store: Any, key: Any, tmp_path: Path) -> None:
    """One clear sentence at construction that shows nothing of the key, and says how to make one."""
    where = "redis://h" if store is RedisStore else tmp_path
    with pytest.raises(
        ConfigurationError, match=r"^encryption_key must be one or several Fernet keys, newest first"
    ) as caught:
        store(where, encryption_key=key)
    assert "Fernet.generate_key" in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert "s3cret" not in repr(caught.value)
    assert OLD[:8].decode() not in repr(caught.value)


async def test_no_secret_leaves_a_store(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    """Neither its repr nor an event shows a key or a token, and it is neither pickled nor copied."""
    async with kept.store([NEW, OLD]) as store:
        await store.save(KEY, TOKEN)
        shown = repr(store) + str(store) + caplog.text + repr(vars(store))
        assert not [secret for secret in ("s3cret", OLD.decode(), NEW.decode(), ACCOUNT) if secret in shown]
        for spread in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="holds a secret"):
                spread(store)
