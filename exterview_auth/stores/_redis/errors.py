"""Bounded commands, and what went wrong with Redis in one sentence. redis-py's own errors may quote what was sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis import exceptions as redis_errors

from ..._calls import NotAnExceptionError, awaited, bounded, cancel_and_wait, kind_of
from ...errors import StoreError
from .._breaker import LATE

T = TypeVar("T")

COMMAND_TIMEOUT = 1.0
"""Seconds for one command, including a connection if necessary."""

NO_REDIS = "the server there does not answer like a Redis; check the URL's host and port"

# What a Redis answers, by the word that its answer begins with.
_ANSWERS = {
    "READONLY": "it is a read-only replica (READONLY); give the URL of its master",
    "MASTERDOWN": "it is a replica without a connection to its master (MASTERDOWN); give the URL of the master",
    "LOADING": "it is still loading its data (LOADING); wait until it has finished",
    "NOAUTH": "it needs a password (NOAUTH); put it into the URL",
    "WRONGPASS": "it refuses the user or password (WRONGPASS); correct them in the URL",
    "NOPERM": "the user's ACL lacks a command, key or channel (NOPERM); grant what help(RedisStore) lists",
    "OOM": "it is out of memory (OOM); raise maxmemory, or check maxmemory-policy",
    "MISCONF": "it refuses writes because it cannot save its data to disk (MISCONF); check its log and its disk",
    "NOREPLICAS": "it refuses writes because too few replicas follow it (NOREPLICAS); check them, and min-replicas-to-write",
    "BUSY": "it is busy with a script of another client (BUSY); end that one with SCRIPT KILL",
    "MOVED": "it is a node of a cluster, and the token is on another one (MOVED); give RedisStore a RedisCluster client",
    "ASK": "it is a node of a cluster, and the token is moving (ASK); give RedisStore a RedisCluster client",
    "TRYAGAIN": "its cluster is moving the account's keys (TRYAGAIN); wait until it has finished",
    "CLUSTERDOWN": "its cluster is down (CLUSTERDOWN); check CLUSTER INFO: each slot needs a master that runs",
    "NOSCRIPT": "it has lost a script (NOSCRIPT); let a proxy before it pass EVAL on as it is",
}
_ELSEWHERE = ("READONLY", "MASTERDOWN", "LOADING")
_NO_CONNECTION_LEFT = "the client has no connection left; raise its max_connections"
_UNREACHABLE = "it cannot be reached; check that it runs, and the URL's host and port"

# Parts of answers and of the client's own texts that begin with no such word.
_TEXTS = (
    ("DB index", "the URL names a database that it does not have; check databases in its configuration"),
    ("max number of clients", "it has no connection left; raise maxclients"),
    ("The user executing the script", _ANSWERS["NOPERM"]),
    ("ACL failure in script", _ANSWERS["NOPERM"]),
    ("No connection available", _NO_CONNECTION_LEFT),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted; put ssl_ca_certs into the URL"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS; use redis://, or its TLS port"),
)
_SENTENCES: tuple[tuple[type[Exception], str], ...] = (
    (redis_errors.AuthenticationError, _ANSWERS["WRONGPASS"]),
    (redis_errors.InvalidResponse, NO_REDIS),
    (redis_errors.MaxConnectionsError, _NO_CONNECTION_LEFT),
    (redis_errors.TimeoutError, LATE),
    (TimeoutError, LATE),
    (redis_errors.ConnectionError, _UNREACHABLE),
    (OSError, _UNREACHABLE),
    (
        redis_errors.RedisClusterException,
        "its cluster cannot be used; check CLUSTER INFO: each slot needs a node that runs",
    ),
)
_WORD = re.compile(r"[A-Z]{3,16}\b")
_WORD_IN_SCRIPT = re.compile(rf"-({_WORD.pattern})")
"""Where Redis 6 puts the answer that a script has met."""
_UNKNOWN_COMMAND = re.compile(r"unknown command\W+(\w+)", re.IGNORECASE)
_COMMANDS = ("EVAL", "SET", "PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE")
"""What the store sends itself."""


_FAILURES = (redis_errors.RedisError, redis_errors.RedisClusterException, OSError, TimeoutError)


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
    except (*_FAILURES, NotAnExceptionError) as failure:
        problem = _sentence(failure)
    except UnicodeDecodeError:  # from a client that decodes responses
        problem = ""
    except StoreError:
        raise
    except RuntimeError:
        problem = "its client belongs to another event loop; make one for each loop"
    except Exception:  # noqa: BLE001 - redis-py trusts what it parses
        problem = NO_REDIS
    # Raised outside the handlers: redis-py's error would stay as the context.
    if not problem:
        raise UndecodableError("Redis cannot be used: its response is not text; let the client return bytes")
    raise StoreError(f"Redis cannot be used: {problem}")


def leads_elsewhere(failure: redis_errors.RedisError) -> bool:
    """Return whether this server has refused a command that another one behind its address may carry out."""
    return _word(failure) in _ELSEWHERE


def _word(failure: Exception) -> str | None:
    """Return the word in capitals by which Redis says what is wrong. redis-py takes those that it knows off the text."""
    text, first = str(failure), getattr(failure, "status_code", None)
    if first is None and (begins := _WORD.match(text)) is not None:
        first = begins[0]
    return next((word for word in _WORD_IN_SCRIPT.findall(text) if word in _ANSWERS), first)


def _sentence(failure: Exception) -> str:
    text, word = str(failure), _word(failure)
    unknown = _UNKNOWN_COMMAND.search(text)  # first: what follows in such a text is a part of what was sent
    if unknown is not None:
        name = unknown[1].upper()
        return f"it does not know the command {name if name in _COMMANDS else 'that was sent'}; enable it"
    known = [_ANSWERS[word]] if word in _ANSWERS else []
    known += [sentence for part, sentence in _TEXTS if part in text]
    known += [sentence for kind, sentence in _SENTENCES if isinstance(failure, kind)]
    if word is not None or isinstance(failure, redis_errors.ResponseError):
        known.append(f"it refuses a command ({word or kind_of(failure)}); check its log")
    return next(iter(known), f"its client ended in {kind_of(failure)}; check the client")
