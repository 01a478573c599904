"""Commands of Redis: bounded, repeated only if that is harmless, and failing in one sentence."""

from __future__ import annotations

import asyncio
from functools import partial
from unittest.mock import AsyncMock

import pytest
import redis

from exterview_auth.errors import StoreError
from exterview_auth.stores._redis.errors import COMMAND_TIMEOUT, UndecodableError, execute, execute_with_retry
from tests.kit.clock import now, settle, virtual_time


@virtual_time
async def test_a_command_has_a_second() -> None:
    """Neither a socket timeout of the client's nor its repetitions are waited for."""
    with pytest.raises(
        StoreError, match=r"^Redis cannot be used: it does not answer in time; check its load and the network$"
    ):
        await execute(asyncio.Event().wait())
    assert now() == COMMAND_TIMEOUT == 1
    with pytest.raises(StoreError):
        await execute_with_retry(asyncio.Event().wait)
    assert now() == 2


@virtual_time
async def test_a_command_that_changes_nothing_is_asked_again() -> None:
    """A connection that idled may have been cut without a word: the second attempt is on a new one."""
    command = AsyncMock(side_effect=[redis.ConnectionError("cut"), "there"])
    assert await execute_with_retry(command) == "there"


@virtual_time
async def test_a_slow_answer_to_the_first_try_counts() -> None:
    """A command has its second, also if a second try has begun meanwhile; what the first one says first is the result."""
    began: list[float] = []

    async def slow() -> float:
        began.append(now())
        await asyncio.sleep(0.9)
        return now()

    assert await execute_with_retry(slow) == 0.9
    assert began == [0.0, 0.5]


@pytest.mark.parametrize("first", [0.6, 0.9])
@virtual_time
async def test_either_try_may_fail(first: float) -> None:
    """The other one's result counts; if both fail, the last try's error does."""
    outcomes: list[tuple[float, Exception | None]] = [
        (first, OSError("first")),
        (0.2, redis.ReadOnlyError("second", status_code="READONLY")),
    ]

    async def failing(which: list[tuple[float, Exception | None]]) -> str:
        seconds, failure = which.pop(0)
        await asyncio.sleep(seconds)
        if failure is not None:
            raise failure
        return f"after {seconds}"

    for succeeds in (0, 1):
        tries = list(outcomes)
        tries[succeeds] = (tries[succeeds][0], None)
        assert await execute_with_retry(partial(failing, tries)) == f"after {outcomes[succeeds][0]}"
    with pytest.raises(StoreError, match="read-only replica"):
        await execute_with_retry(partial(failing, list(outcomes)))


@virtual_time
async def test_a_command_that_was_begun_comes_to_its_end() -> None:
    """Its caller's cancellation goes on a moment later: a connection that is cut off while it opens is lost."""
    ended: list[float] = []

    async def slow() -> None:
        await asyncio.sleep(0.3)
        ended.append(now())

    caller = asyncio.ensure_future(execute(slow()))
    await settle()
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()
    assert ended == [0.3]


@pytest.mark.parametrize(
    ("failure", "kind", "sentence"),
    [
        (RuntimeError("s3cret"), StoreError, "its client belongs to another event loop; make one for each loop"),
        (
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "s3cret"),
            UndecodableError,
            "its response is not text; let the client return bytes",
        ),
        (
            redis.ResponseError("ERR in a script: -OOM s3cret"),
            StoreError,
            "it is out of memory (OOM); raise maxmemory, or check maxmemory-policy",
        ),
        (
            redis.ConnectionError("max number of clients reached"),
            StoreError,
            "it has no connection left; raise maxclients",
        ),
        (
            redis.ReadOnlyError("s3cret", status_code="READONLY"),
            StoreError,
            "it is a read-only replica (READONLY); give the URL of its master",
        ),
        (redis.ResponseError("unheard of, s3cret"), StoreError, "it refuses a command (ResponseError); check its log"),
        (OSError("s3cret"), StoreError, "it cannot be reached; check that it runs, and the URL's host and port"),
        (asyncio.CancelledError(), StoreError, "its client ended in CancelledError; check the client"),
    ],
)
@virtual_time
async def test_a_failure_is_one_sentence_of_our_own(
    failure: BaseException, kind: type[StoreError], sentence: str
) -> None:
    """The client's errors may quote what was sent: nothing of them shows, neither as a cause."""

    async def command() -> None:
        raise failure

    with pytest.raises(StoreError) as caught:
        await execute(command())
    assert type(caught.value) is kind
    assert str(caught.value) == f"Redis cannot be used: {sentence}"
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
