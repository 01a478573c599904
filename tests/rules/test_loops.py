"""One owner, one event loop at a time: a second run, a second thread, a fork, a loop that ends too early."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import threading
import warnings

import aiohttp
import pytest

from exterview_auth import ConfigurationError, ExterviewAuth, LoginContext, MemoryStore, Token


def owner(login: object = None, **options: object) -> ExterviewAuth:
    """An owner whose login needs no network."""
    options.setdefault("endpoint", "http://127.0.0.1:9/graphql")
    return ExterviewAuth(login or counted(), api_key="key", **options)  # type: ignore[arg-type]  # options of any kind


class counted:  # noqa: N801 - reads as a function
    """A login that counts, and may wait."""

    def __init__(self, seconds: float = 0.0, expires_in: float | None = None) -> None:
        self.count = 0
        self.seconds = seconds
        self.expires_in = expires_in

    async def __call__(self, _context: LoginContext) -> Token:
        self.count += 1
        await asyncio.sleep(self.seconds)
        return Token(f"T{self.count}", expires_in=self.expires_in)


def test_one_owner_serves_one_run_after_another() -> None:
    """Rule 20, lesson 44: made outside any loop, used in three, one login, nothing of the old loop touched."""
    login = counted(expires_in=3600)
    auth = owner(login, store=MemoryStore(), account="a")
    for _ in range(3):
        assert asyncio.run(auth.token()).value == "T1"
    assert login.count == 1
    asyncio.run(auth.aclose())


def test_a_login_in_flight_when_its_loop_ends_blocks_nobody() -> None:
    """The fault table: the next run makes its own login."""
    login = counted(seconds=100)
    auth = owner(login)

    async def give_up() -> None:
        waiting = asyncio.ensure_future(auth.token())
        await asyncio.sleep(0.01)
        waiting.cancel()

    asyncio.run(give_up())
    login.seconds = 0
    assert asyncio.run(auth.token()).value == "T2"
    asyncio.run(auth.aclose())


def test_a_loop_that_is_stopped_with_a_login_in_flight_blocks_nobody() -> None:
    """Rule 20: a loop that was closed with everything in it pending is left alone."""
    login = counted(seconds=100)
    auth = owner(login)
    old = asyncio.new_event_loop()
    task = old.create_task(auth.token())
    old.call_later(0.01, old.stop)
    old.run_forever()
    login.seconds = 0
    assert asyncio.run(auth.token()).value == "T2"
    asyncio.run(auth.aclose())
    task.cancel()
    for pending in asyncio.all_tasks(old):
        pending.cancel()
    old.run_until_complete(asyncio.gather(*asyncio.all_tasks(old), return_exceptions=True))
    old.close()


def test_a_loop_closed_with_a_login_in_flight_is_not_touched() -> None:
    """Rule 20: nothing is raised where the old loop's tasks are released."""
    login = counted(seconds=100)
    auth = owner(login)
    old = asyncio.new_event_loop()
    task = old.create_task(auth.token())
    old.run_until_complete(asyncio.sleep(0.01))
    old.close()
    login.seconds = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asyncio's own, of the task that the test destroys
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # the same
        del task
        gc.collect()
    assert asyncio.run(auth.token()).value == "T2"
    asyncio.run(auth.aclose())


def test_a_timer_of_a_loop_that_was_left_begins_nothing() -> None:
    """Rule 20: a loop that pauses, while the owner is used in another, and goes on."""
    login = counted(expires_in=0.4)
    auth = owner(login)
    first = asyncio.new_event_loop()
    first.run_until_complete(auth.token())
    asyncio.run(auth.token())
    first.run_until_complete(asyncio.sleep(0.5))
    assert login.count == 1
    first.run_until_complete(auth.aclose())
    first.close()


def test_a_second_loop_while_the_first_runs_is_refused() -> None:
    """Rule 20: one sentence that says what to do; the first loop goes on."""
    auth = owner()
    errors: list[BaseException] = []

    def second() -> None:
        try:
            asyncio.run(auth.token())
        except ConfigurationError as error:
            errors.append(error)

    async def first() -> None:
        await auth.token()
        thread = threading.Thread(target=second)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert (await auth.token()).value == "T1"
        await auth.aclose()

    asyncio.run(first())
    assert len(errors) == 1
    assert "one owner for each loop" in str(errors[0])


def in_child(work: object) -> str:
    """What *work* returns in a forked child."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads about: this child uses none
        child = os.fork()
    if child == 0:  # pragma: no cover - another process
        try:
            os.write(writer, str(work()).encode())  # type: ignore[operator]  # a callable
        except BaseException as error:  # noqa: BLE001 - told to the parent
            os.write(writer, repr(error).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        return pipe.read()


def test_after_a_fork_the_child_holds_the_token() -> None:
    """Rule 20, lesson 44: its first request works without a login."""
    auth = owner()
    asyncio.run(auth.token())
    assert in_child(lambda: asyncio.run(auth.token()).value) == "T1"
    asyncio.run(auth.aclose())


def test_a_flight_pending_at_the_fork_blocks_nobody_in_the_child() -> None:
    """Rule 20, lesson 44: forked in the middle of a login, from inside the running loop."""
    login = counted(seconds=0.3)
    auth = owner(login)

    async def parent() -> str:
        waiting = asyncio.ensure_future(auth.token())
        await asyncio.sleep(0.01)
        asyncio.events._set_running_loop(None)
        try:
            child = in_child(lambda: asyncio.run(auth.token()).value)
        finally:
            asyncio.events._set_running_loop(waiting.get_loop())
        assert (await waiting).value == "T1"
        await auth.aclose()
        return child

    assert asyncio.run(parent()) == "T2"


def test_an_owner_dropped_with_work_open_warns() -> None:
    """Rule 21: a `ResourceWarning` while its loop could still run the renewal; none once it is closed."""

    async def drop(*, close: bool) -> None:
        auth = owner(counted(expires_in=3600))
        await auth.token()
        if close:
            await auth.aclose()
        del auth
        gc.collect()

    with pytest.warns(ResourceWarning, match="unclosed <ExterviewAuth"):
        asyncio.run(drop(close=False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(drop(close=True))


def test_an_owner_without_open_work_is_dropped_in_silence() -> None:
    """Rule 21: an opaque token needs no renewal, so nothing is open."""
    auth = owner()
    asyncio.run(auth.token())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del auth
        gc.collect()


def test_an_owner_is_not_pickled() -> None:
    """No secret in pickles."""
    with pytest.raises(TypeError, match=r"^ExterviewAuth holds a secret"):
        pickle.dumps(owner())


def test_a_request_takes_its_owner_to_the_loop_it_runs_in() -> None:
    """Rule 20: also one that finds a fresh token, which it needs to ask nobody for."""
    auth = ExterviewAuth(counted(expires_in=3600), api_key="k", endpoint="http://127.0.0.1:1/graphql")

    async def request() -> None:
        async with aiohttp.ClientSession(middlewares=(auth,)) as http:
            with pytest.raises(aiohttp.ClientConnectionError):
                await http.post(auth.endpoint)
        assert auth._keeper.lifecycle.loop is asyncio.get_running_loop()

    for _ in range(3):
        asyncio.run(request())
    assert auth.stats().logins == 1
    asyncio.run(auth.aclose())
