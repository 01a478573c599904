"""Real processes that die, fork and sleep, and event loops that end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import mock

import aiohttp

import exterview_auth
from exterview_auth import AuthSession, ClosedError, ConfigurationError, ExterviewAuth, FileStore
from tests.kit.api import until

from ._other_process import Beside, on_files, on_redis
from ._raw_server import silence
from ._row import Outcome, Row
from ._site import Site, site
from ._stage import Got, Met, Stage, crowd, post

STORE, PROCESS = "store", "process"
HOUR = 3600.0


# -- another process ----------------------------------------------------------------------------------------------------


async def lock_of_a_dead(at: Beside) -> Outcome:
    """It was killed while it held the lock, before any other request came."""
    await at.other_logs_in()
    at.other.signal(signal.SIGKILL)
    await at.other.ended()
    return await at.outcome(await at.met_by())


async def lock_of_a_paused(at: Beside) -> Outcome:
    """It is stopped while it holds the lock, and continues later: what it saves then replaces nothing."""
    order = await at.other_logs_in()
    at.other.signal(signal.SIGSTOP)
    met = await at.met_by()
    at.other.signal(signal.SIGCONT)
    at.realm.release_logins()
    answers = (await order.answer)["answers"]
    return await at.outcome(met, *(f"the paused process got {answers}",) * (answers != {"200": 5}))


async def killed_in_login(at: Beside) -> Outcome:
    """It is killed while callers of another process wait for its login."""
    await at.other_logs_in()
    waiting = asyncio.ensure_future(at.met_by())
    await at.all_wait()
    at.other.signal(signal.SIGKILL)
    met = await waiting
    await at.other.ended()
    return await at.outcome(met)


async def terminated_with_waiters(at: Beside) -> Outcome:
    """Its own callers get an error before it ends; the next process logs in immediately."""
    order = await at.other_logs_in(requests=20)
    at.other.signal(signal.SIGTERM)
    began = time.monotonic()
    answers = (await order.answer)["answers"]
    met = Met(_expanded(answers), time.monotonic() - began)
    await at.other.ended()
    return await at.outcome(met)


def _expanded(answers: dict[str, int]) -> list[Got]:
    """Return what each caller of the other process got."""
    return [got for text, times in answers.items() for got in [_read(text)] * times]


def _read(text: str) -> Got:
    """Return a status, or an error of ours, from the other process's text."""
    if text.isdigit():
        return int(text)
    name, sentence = re.fullmatch(r"(\w+)\(['\"](.*)['\"],?\)", text).groups()  # type: ignore[union-attr]  # fails here
    return getattr(exterview_auth, name)(sentence)  # type: ignore[no-any-return]  # an error


async def forked(at: Beside) -> Outcome:
    """Parent and child continue with the same token."""
    first = await at.other.ask("send", requests=5)
    assert first["answers"] == {"200": 5}
    _, served = await at.other.fork(20)
    child, parent = await served, await at.other.ask("send", requests=20)
    return await at.outcome(Met(_expanded(child["answers"]) + _expanded(parent["answers"]), parent["seconds"]))


# -- loops of this process ----------------------------------------------------------------------------------------------


async def posts(auth: ExterviewAuth, requests: int = 5) -> Met:
    """Return what callers on this loop get through a separate session."""
    async with aiohttp.ClientSession() as http:
        return await crowd([post(AuthSession(http, auth)) for _ in range(requests)])


async def run_twice(stage: Stage) -> Outcome:
    """One owner is used in two loops, one after the other."""
    at = await site(stage)
    runs = [await asyncio.to_thread(asyncio.run, posts(at.auth)) for _ in range(2)]
    return await at.outcome(Met(runs[0].got + runs[1].got, max(met.seconds for met in runs)))


async def second_loop(stage: Stage) -> Outcome:
    """An owner is used in another thread's loop while the first still runs."""
    at = await site(stage)
    await at.warm()
    return await at.outcome(await asyncio.to_thread(asyncio.run, posts(at.auth)))


async def loop_closed(stage: Stage) -> Outcome:
    """The loop is closed by ``asyncio.run``, and with everything pending; the next loop's callers are served."""
    met, logins = Met([], 0.0), 0
    for leave in (leave_early, close_with_all_pending):
        at = await site(stage)
        at.server.login = silence
        with destroyed_tasks_may_complain():
            await asyncio.to_thread(leave, at)
            at.server.login = at.server.issue
            now = await at.met_by()
            gc.collect()
        met, logins = Met(met.got + now.got, max(met.seconds, now.seconds)), logins + at.login.count - 1
    return (await at.outcome(met))._replace(logins=logins)


@contextlib.contextmanager
def destroyed_tasks_may_complain() -> Iterator[None]:
    """Ignore what asyncio and aiohttp say of tasks and sockets of a loop that was closed with everything pending."""
    with mock.patch("sys.unraisablehook"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def leave_early(at: Site) -> None:
    """Return from the main coroutine while a login is in flight."""

    async def main() -> None:
        waiting = asyncio.ensure_future(at.auth.token())
        await until(lambda: at.login.count == 1)
        waiting.cancel()

    asyncio.run(main())


def close_with_all_pending(at: Site) -> None:
    """Close the loop while a login is in flight."""

    async def begun() -> None:
        await until(lambda: at.login.count == 1)

    loop = asyncio.new_event_loop()
    task: Any = loop.create_task(at.auth.token())
    loop.run_until_complete(begun())
    loop.close()
    task._log_destroy_pending = False


# -- sleep --------------------------------------------------------------------------------------------------------------


async def suspended(stage: Stage) -> Outcome:
    """The token has expired when the machine wakes: it is replaced before anything is sent, in the store too."""
    store = await stage.open(FileStore(stage.directory / "tokens"))
    at = await site(stage, store=store)
    at.server.expires_in = HOUR / 2
    await at.warm()
    server, sent = at.server, len(at.server.seen)
    server.tokens.clear()
    stage.clock.forward(HOUR)
    with mock.patch("time.time", partial(an_hour_later, time.time)):
        met = await at.met_by()
        outcome = await at.outcome(met, *("the expired token was sent",) * ("token-1" in server.seen[sent:]))
    stored = await store.load(f"{server.origin}|{at.auth.account}")
    return outcome._replace(saved=stored is not None and stored.value in server.tokens)


def an_hour_later(wall: Callable[[], float]) -> float:
    """Return the wall clock after the sleep."""
    return wall() + HOUR


def _lock(fault: str, scenario: Any) -> tuple[Row, Row]:
    """Return the rows of a fault of the lock's holder; a waiter waits for two leases at most."""
    return (
        Row(STORE, f"{fault}, file", on_files(scenario), saves=True),
        Row(STORE, f"{fault}, Redis", on_redis(scenario), within=8.0, saves=True),
    )


ROWS = (
    *_lock("lock held by a dead process", lock_of_a_dead),
    *_lock("lock held by a paused process", lock_of_a_paused),
    Row(PROCESS, "kill -9 in the middle of a login, file", on_files(killed_in_login), saves=True),
    Row(PROCESS, "kill -9 in the middle of a login, Redis", on_redis(killed_in_login), within=8.0, saves=True),
    Row(
        PROCESS, "SIGTERM with waiters", on_files(terminated_with_waiters), ClosedError, "closed", logins=0, saves=True
    ),
    Row(PROCESS, "asyncio.run twice with one owner", run_twice),
    Row(PROCESS, "fork after use", on_files(forked), logins=0, saves=True),
    Row(PROCESS, "a second loop in another thread", second_loop, ConfigurationError, "one owner for each", logins=0),
    Row(PROCESS, "loop closed with a login in flight", loop_closed, logins=2),
    Row(PROCESS, "machine suspended for an hour", suspended, saves=True),
)
