"""Entries in Redis: keys, lifetimes, and what clients that decode make of them."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from exterview_auth import RedisStore, Token
from exterview_auth.stores._redis.backend import FREE
from exterview_auth.stores._redis.entries import as_bytes, milliseconds
from tests.kit.redis_clients import LEASE
from tests.kit.stores import loaded

on_redis = pytest.mark.usefixtures("redis_binary")

DAMAGED = (b"\xff", b"exterview_auth/1 1.0 \xc3(", b"exterview_auth/1 \xed\xa0\x80 {}", b"\x00\xfe")


@on_redis
@pytest.mark.parametrize("errors", ["strict", "surrogateescape", "surrogatepass", "replace"])
async def test_a_damaged_entry_is_a_miss_however_a_client_decodes(errors: str, redis_url: str) -> None:
    """Fault table: bytes that are not text, or a value of another type, are not an error of the store, and the next save replaces them."""
    client = Redis.from_url(redis_url, decode_responses=True, encoding_errors=errors)
    async with client as decoding, RedisStore(decoding, lease=LEASE) as store:
        key = store._entries.keys("f").entry
        for damaged in (*DAMAGED, None):
            await decoding.delete(key)
            await (decoding.rpush(key, "a list") if damaged is None else decoding.set(key, damaged))
            assert await store.load("f") is None
            async with store.account_lock("f") as lock:
                assert await lock.try_acquire()
                await lock.save(Token("new"))
            found = await loaded(store, "f")
            assert found.value == "new"


def test_text_of_a_decoding_client_is_the_same_entry() -> None:
    """Its fingerprint tells Redis that nobody replaced it; text that cannot be encoded is an unreadable entry."""
    for raw in (*DAMAGED, b"exterview_auth/1 1.0 {}", b""):
        assert as_bytes(raw.decode("utf-8", "surrogateescape")) == as_bytes(raw) == raw
    assert as_bytes("x\ud800") == b""
    assert as_bytes(None) is None


def test_where_an_account_is_kept_is_the_same_for_every_release() -> None:
    """Two releases in one fleet share tokens, locks and news; all of an account lies in one slot of a cluster."""
    slot = "exterview_auth:{ca978112ca1bbdcafac231b39a23dc4da786eff8}"
    assert RedisStore("redis://h")._entries.keys("a") == (f"{slot}:token", f"{slot}:lock", f"{slot}:news")
    assert RedisStore("redis://h", namespace="X")._entries.keys("a").entry.startswith("X:{")
    assert FREE == b"free"


def test_a_life_is_counted_in_milliseconds() -> None:
    """Never shorter than it is, none for what is over, and no end where there is none or a refresh token outlives it."""
    lives = [Token("x", expires_in=1.0001), Token("x", expires_in=60), Token("x").with_remaining(0)]
    assert [milliseconds(token) for token in lives] == [1001, 60_000, 0]
    assert milliseconds(Token("x")) == milliseconds(Token("x", refresh_token="r", expires_in=60)) == -1
