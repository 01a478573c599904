"""Bounded commands, and what went wrong with Redis in one sentence. redis-py's own errors may quote what was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis import exceptions as redis_errors

from ..._calls import NotAnExceptionError, awaited, bounded, cancel_and_wait, kind_of
from ...errors import StoreError

T = TypeVar("T")

COMMAND_TIMEOUT = 1.0
"""Seconds for one command, including a connection if necessary."""

_RIGHTS = "the user's ACL lacks a command, key or channel; see the README for those needed"
_MEMORY = "it is out of memory; see maxmemory and maxmemory-policy"
_REPLICA = "it is a read-only replica; give the URL of its master"
_PASSWORD = "it refuses the user or password; see the URL's"  # noqa: S105 - what is said of one
NO_REDIS = "the server there does not answer like a Redis; see the URL's host and port"

_SENTENCES: tuple[tuple[type[Exception], str], ...] = (
    (redis_errors.AuthenticationError, _PASSWORD),
    (redis_errors.NoPermissionError, _RIGHTS),
    (redis_errors.ReadOnlyError, _REPLICA),
    (redis_errors.OutOfMemoryError, _MEMORY),
    (redis_errors.InvalidResponse, NO_REDIS),
    (redis_errors.BusyLoadingError, "it is still loading its data"),
    (redis_errors.MaxConnectionsError, "the client has no connection left"),
    (redis_errors.TimeoutError, "it does not answer in time"),
    (TimeoutError, "it does not answer in time"),
    (redis_errors.ConnectionError, "it cannot be reached"),
    (OSError, "it cannot be reached"),
)
# In the texts of errors whose type says less. They come first.
_WORDS = (
    ("DB index", "the URL names a database that it does not have"),
    ("max number of clients", "it has no connection left; see maxclients"),
    ("Authentication required", "it needs a password; put it into the URL"),
    ("OOM", _MEMORY),
    ("READONLY", _REPLICA),
    ("The user executing the script", _RIGHTS),
    ("ACL failure in script", _RIGHTS),
    ("NOPERM", _RIGHTS),
    ("WRONGPASS", _PASSWORD),
)


class UndecodableError(StoreError):
    """The client decodes values, and this one is not text: this package did not write it."""


async def execute_with_retry(make: Callable[[], Awaitable[T]]) -> T:
    """
    Return a command's result, tried twice: an idle connection may have been cut without a word, and the second try opens another.

    For commands that may run twice. Both tries together take one command's time. The second begins after half of it, or when
    the first has failed, and leaves the first one going: a slow Redis may still answer it.
    """
    return await execute(_tried_twice(make))


async def _tried_twice(make: Callable[[], Awaitable[T]]) -> T:
    tries: list[asyncio.Task[T]] = [asyncio.create_task(awaited(make()))]
    try:
        await asyncio.wait(tries, timeout=COMMAND_TIMEOUT / 2)
        if not _succeeded(tries[0]):
            tries.append(asyncio.create_task(awaited(make())))
        pending = set(tries)
        while pending and not any(map(_succeeded, tries)):
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        return next(filter(_succeeded, tries), tries[-1]).result()
    finally:
        for each in tries:
            await cancel_and_wait(each)


def _succeeded(task: asyncio.Task[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


async def execute(command: Awaitable[T]) -> T:
    """
    Return *command*'s result within `COMMAND_TIMEOUT` seconds. Raises `StoreError` that holds nothing of what was sent.

    If the caller is cancelled, the command still ends by itself: a connection that is interrupted while it opens is lost.
    """
    try:
        return await bounded(command, COMMAND_TIMEOUT, finish=True)
    except (redis_errors.RedisError, OSError, TimeoutError, NotAnExceptionError) as failure:
        problem = _sentence(failure)
    except UnicodeDecodeError:  # from a client that decodes responses
        problem = ""
    except StoreError:
        raise
    except RuntimeError:
        problem = "its client belongs to another event loop"
    except Exception:  # noqa: BLE001 - redis-py trusts what it parses
        problem = NO_REDIS
    # Raised outside the handlers: redis-py's error would stay as the context.
    if not problem:
        raise UndecodableError("Redis cannot be used: its response is not text")
    raise StoreError(f"Redis cannot be used: {problem}")


def _sentence(failure: Exception) -> str:
    text = str(failure)
    for word, sentence in _WORDS:
        if word in text:
            return sentence
    for kind, sentence in _SENTENCES:
        if isinstance(failure, kind):
            return sentence
    return kind_of(failure)
