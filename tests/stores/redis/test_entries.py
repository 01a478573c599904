"""Entries in Redis: keys, lifetimes, and what clients that decode make of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from exterview_auth import RedisStore, Token
from exterview_auth.stores._redis.backend import FREE
from exterview_auth.stores._redis.entries import NOW, WRITE, as_bytes, milliseconds
from tests.kit.redis_clients import LEASE
from tests.kit.stores import loaded

on_redis = pytest.mark.usefixtures("redis_binary")

DAMAGED = (b"\xff", b"exterview_auth/2 \xc3(", b"exterview_auth/\xed\xa0\x80 {}", b"\x00\xfe")


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
            async with store._account_lock("f") as lock:
                assert await lock.try_acquire()
                await lock.write(Token("new"))
            found = await loaded(store, "f")
            assert found.value == "new"


def test_text_of_a_decoding_client_is_the_same_entry() -> None:
    """Its fingerprint tells Redis that nobody replaced it; text that cannot be encoded is an unreadable entry."""
    for raw in (*DAMAGED, b"exterview_auth/2 {}", b""):
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
    """Never shorter than it is, and none for what is over."""
    assert [milliseconds(seconds) for seconds in (1.0001, 60.0, 0.0, 1e-9)] == [1001, 60_000, 0, 1]


@on_redis
async def test_redis_forgets_every_entry(redis_url: str) -> None:
    """No key is for ever: an entry ends with its token, or after `keep`, which each save begins again."""
    async with (
        RedisStore(redis_url, keep=100) as store,
        RedisStore(redis_url) as usual,
        Redis.from_url(redis_url) as raw,
    ):
        for token, most in (
            (Token("x", expires_in=60), 60_000),
            (Token("x"), 100_000),
            (Token("x", expires_in=60, refresh_token="r"), 100_000),
            (Token("x", expires_in=600, refresh_token="r"), 100_000),
        ):
            await store.save("a", token)
            assert most - 10_000 < await raw.pttl(store._entries.keys("a").entry) <= most
        await usual.save("a", Token("x", refresh_token="r"))
        days = await raw.ttl(usual._entries.keys("a").entry) / 86_400
        assert 89.9 < days <= 90


@on_redis
async def test_time_that_passes_before_an_entry_arrives_makes_it_older(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was paused in the middle of a save does not make a life longer."""
    async with RedisStore(redis_url) as store:
        evaluate, texts = store._entries._eval, []
        clock = asyncio.get_running_loop().time

        async def slow(script: str, account: str, *arguments: object) -> Any:
            texts.append(script)
            await asyncio.sleep(0.2)
            result = await evaluate(script, account, *arguments)
            await asyncio.sleep(0.2)
            return result

        monkeypatch.setattr(store._entries, "_eval", slow)
        began = clock()
        await store.save("a", Token("x", expires_in=60))
        assert texts == [NOW, WRITE]
        monkeypatch.setattr(store._entries, "_eval", evaluate)
        passed = clock() - began
        found = await loaded(store, "a")
        assert found.expires_in is not None
        assert found.expires_in < 60 - passed + 0.05
