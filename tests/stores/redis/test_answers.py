"""Whatever a Redis answers is a missing entry, or one sentence of a `StoreError`, and shows no token."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from exterview_auth import ExterviewAuth, LoginUnavailableError, RedisStore, StaticLogin, Token
from exterview_auth.errors import StoreError
from tests.kit.showing import assert_shows_none
from tests.kit.wire import answering

S = "s3cr3t"
ENTRY = b'exterview_auth/2 {"account":"x","saved_at":1,"token":"%s","expires_in":null}' % S.encode()


def bulk(text: bytes) -> bytes:
    """A string as Redis sends it."""
    return b"$%d\r\n%s\r\n" % (len(text), text)


ANSWERS = {
    "a number that is none": b":abc\r\n",
    "nil": b"$-1\r\n",
    "a number": b":5\r\n",
    "a negative length": b"$-5\r\n",
    "one element": b"*1\r\n" + bulk(ENTRY),
    "two numbers": b"*2\r\n:5\r\n:5\r\n",
    "three elements": b"*3\r\n:5\r\n:5\r\n:5\r\n",
    "three elements with an entry": b"*3\r\n:0\r\n" + bulk(ENTRY) + bulk(b"soon"),
    "an entry and no clock": b"*2\r\n" + bulk(ENTRY) + b"$-1\r\n",
    "an entry and a clock that is none": b"*2\r\n" + bulk(ENTRY) + bulk(b"soon"),
    "an entry and a clock that is not a number": b"*2\r\n" + bulk(ENTRY) + bulk(b"nan"),
    "an entry in a list": b"*2\r\n*1\r\n" + bulk(ENTRY) + bulk(b"1.0"),
    "a status": b"+OK\r\n",
    "a status with an entry": b"+" + ENTRY + b"\r\n",
    "an error with an entry": b"-ERR " + ENTRY + b"\r\n",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "lists in lists": b"*1\r\n" * 3000 + b":1\r\n",
    "an end": b"",
}


async def save_under_lock(store: RedisStore) -> None:
    async with asyncio.timeout(0.2), store.lock("a"):
        await store.save("a", Token(S))


CALLS: dict[str, Callable[[RedisStore], Awaitable[Any]]] = {
    "load": lambda store: store.load("a"),
    "save": lambda store: store.save("a", Token(S)),
    "delete": lambda store: store.delete("a"),
    "lock": save_under_lock,
}


@contextlib.contextmanager
def no_error_lost() -> Iterator[None]:
    """Fail if a task or a callback ends in an error that nobody gets."""
    lost: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    yield
    assert not lost


@pytest.mark.parametrize("decode", [False, True], ids=["bytes", "decoded"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("answer", ANSWERS)
async def test_an_odd_answer_is_a_miss_or_an_error_of_the_store(answer: str, call: str, *, decode: bool) -> None:
    """Neither redis-py's mistakes in reading it nor ours come through, and no task is left with one."""
    failure: StoreError | None = None
    async with (
        answering(ANSWERS[answer]) as server,
        Redis.from_url(server.url, decode_responses=decode, protocol=2) as client,
    ):
        with no_error_lost():
            try:
                assert await CALLS[call](RedisStore(client)) is None
            except StoreError as error:
                failure = error
            except TimeoutError:
                assert call == "lock"
    if failure is not None:
        assert str(failure).startswith("Redis cannot be used: ")
        assert_shows_none(failure, S)


@pytest.mark.parametrize("answer", ANSWERS)
async def test_an_owner_survives_odd_answers(answer: str) -> None:
    """It logs in for itself, or finds the lock taken if that is what they say."""
    async with answering(ANSWERS[answer]) as server, RedisStore(server.url) as store:
        owner = ExterviewAuth(StaticLogin("token"), api_key="key", account="a", store=store, login_timeout=0.5)
        with no_error_lost(), contextlib.suppress(LoginUnavailableError):
            async with owner as auth:
                assert (await auth.token()).value == "token"
