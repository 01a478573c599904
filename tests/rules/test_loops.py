"""One owner, one event loop at a time: a second run, a second thread, a fork, a loop that ends too early."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import warnings
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import aiohttp
import pytest

from exterview_auth import AuthPool, AuthSession, ConfigurationError, ExterviewAuth, LoginContext, MemoryStore, Token
from tests.kit.clock import VirtualLoop, passing
from tests.kit.failing_store import FailingStore


class CountedLogin:
    """A login that counts, and may take time."""

    def __init__(self, seconds: float = 0.0, expires_in: float | None = None) -> None:
        self.count = 0
        self.seconds = seconds
        self.expires_in = expires_in
        self.begun = asyncio.Event()

    async def __call__(self, _context: LoginContext) -> Token:
        self.count += 1
        self.begun.set()
        await asyncio.sleep(self.seconds)
        return Token(f"T{self.count}", expires_in=self.expires_in)


def owner(login: CountedLogin | None = None, **options: object) -> ExterviewAuth:
    """Return an owner whose login needs no network."""
    options.setdefault("endpoint", "http://127.0.0.1:9/graphql")
    return ExterviewAuth(login or CountedLogin(), api_key="key", **options)  # type: ignore[arg-type]  # options of any kind


@pytest.fixture
def old_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Make a loop that a test leaves; at the end cancel its tasks and close it."""
    loop = asyncio.new_event_loop()
    yield loop
    pending = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()
    if pending:
        loop.run_until_complete(asyncio.wait(pending))
    loop.close()


def test_one_owner_serves_one_run_after_another() -> None:
    """Created outside any loop and used in three, it logs in once and touches no old loop."""
    login = CountedLogin(expires_in=3600)
    auth = owner(login, store=MemoryStore(), account="a")
    for _ in range(3):
        assert asyncio.run(auth.token()).value == "T1"
    assert login.count == 1
    asyncio.run(auth.aclose())


def test_a_login_in_flight_when_its_loop_stops_blocks_nobody(old_loop: asyncio.AbstractEventLoop) -> None:
    """The next run logs in, and the tasks of the old loop, which never runs again, are not touched."""
    login = CountedLogin(seconds=100)
    auth = owner(login)
    old_loop.create_task(auth.token())
    old_loop.run_until_complete(login.begun.wait())
    login.seconds = 0
    assert asyncio.run(auth.token()).value == "T2"
    asyncio.run(auth.aclose())


def test_a_timer_of_a_loop_that_was_left_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop pauses, the owner is used in another, and the first loop goes on."""
    old_loop = VirtualLoop()
    monkeypatch.setattr("exterview_auth._auth.boot_time", old_loop.time)
    login = CountedLogin(expires_in=60)
    auth = owner(login)
    old_loop.run_until_complete(auth.token())
    asyncio.run(auth.token())
    old_loop.run_until_complete(passing(59))
    assert login.count == 1
    old_loop.run_until_complete(auth.aclose())
    old_loop.close()


async def _enters(auth: ExterviewAuth, _token: Token) -> None:
    async with auth:
        pass


async def _sends(auth: ExterviewAuth, _token: Token) -> None:
    async with aiohttp.ClientSession() as http:
        await AuthSession(http, auth).get("")


async def _invalidates(auth: ExterviewAuth, token: Token) -> None:
    auth.invalidate(token)


async def _closes_its_pool(auth: ExterviewAuth, _token: Token) -> None:
    pool = AuthPool(lambda _account: auth)
    pool["a"]
    await pool.aclose()


@pytest.mark.parametrize(
    "use",
    [
        lambda auth, _: auth.token(),
        lambda auth, _: auth.headers(),
        lambda auth, _: auth.logout(),
        lambda auth, _: auth.aclose(),
        _enters,
        _sends,
        _invalidates,
        _closes_its_pool,
    ],
    ids=["token", "headers", "logout", "aclose", "async with", "request", "invalidate", "pool"],
)
async def test_every_use_from_a_second_running_loop_is_refused(use: Callable[..., Coroutine[Any, Any, object]]) -> None:
    """It raises and says what to do, and changes nothing."""
    login = CountedLogin()
    async with owner(login) as auth:
        token = await auth.token()
        before = repr(auth)
        with pytest.raises(
            ConfigurationError, match="another event loop that is still running; create one owner for each"
        ):
            await asyncio.to_thread(lambda: asyncio.run(use(auth, token)))
        assert repr(auth) == before
        assert await auth.token() is token
    assert login.count == 1


async def test_a_thread_without_a_loop_invalidates_nothing_while_the_loop_runs() -> None:
    """Requests of the loop may be on their way with the token; outside any loop, the call is fine."""
    async with owner() as auth:
        token = await auth.token()
        with pytest.raises(ConfigurationError, match="or call it in that loop"):
            await asyncio.to_thread(auth.invalidate, token)
        assert await auth.token() is token


def test_a_token_may_be_invalidated_outside_any_loop() -> None:
    """An owner belongs to no loop that runs between two ``asyncio.run``."""
    auth = owner()
    auth.invalidate(asyncio.run(auth.token()))
    assert asyncio.run(auth.token()).value == "T2"
    asyncio.run(auth.aclose())


def in_child(work: Callable[[], object]) -> str:
    """Return what *work* returns in a forked child."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads about: this child uses none
        child = os.fork()
    if child == 0:  # pragma: no cover - another process
        try:
            os.write(writer, str(work()).encode())
        except BaseException as error:  # noqa: BLE001 - the parent reads it
            os.write(writer, repr(error).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        return pipe.read()


def test_a_flight_pending_at_the_fork_blocks_nobody_in_the_child() -> None:
    """Forked in the middle of a login, from inside the running loop."""
    login = CountedLogin(seconds=0.3)
    auth = owner(login)

    async def parent() -> str:
        waiting = asyncio.ensure_future(auth.token())
        await login.begun.wait()
        asyncio.events._set_running_loop(None)
        try:
            child = in_child(lambda: asyncio.run(auth.token()).value)
        finally:
            asyncio.events._set_running_loop(waiting.get_loop())
        assert (await waiting).value == "T1"
        await auth.aclose()
        return child

    assert asyncio.run(parent()) == "T2"


def test_a_child_that_goes_on_with_its_parents_loop_object_logs_in_for_itself() -> None:
    """As a daemon does that forks twice, and a server that makes its loop before its workers."""
    login = CountedLogin(seconds=0.3)
    auth = owner(login)

    async def begun() -> asyncio.Future[Token]:
        waiting = asyncio.ensure_future(auth.token())
        await login.begun.wait()
        return waiting

    loop = asyncio.new_event_loop()
    waiting = loop.run_until_complete(begun())
    assert in_child(lambda: loop.run_until_complete(auth.token()).value) == "T2"
    assert loop.run_until_complete(waiting).value == "T1"
    loop.run_until_complete(auth.aclose())
    loop.close()


def unclosed_during(drop: Coroutine[Any, Any, None]) -> int:
    """Return how often an owner is said to be unclosed while *drop* runs on a loop; nothing else is warned of."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        asyncio.run(drop)
    assert all(str(warning.message).startswith("unclosed <ExterviewAuth '") for warning in seen)
    assert all(warning.category is ResourceWarning for warning in seen)
    return len(seen)


@pytest.mark.parametrize(("expires_in", "close", "warned"), [(3600, False, 1), (3600, True, 0), (None, False, 0)])
def test_an_owner_dropped_with_open_work_warns(expires_in: float | None, warned: int, *, close: bool) -> None:
    """A `ResourceWarning` while its loop could still run the renewal; not once closed, nor without a renewal."""

    async def drop() -> None:
        auth = owner(CountedLogin(expires_in=expires_in))
        await auth.token()
        if close:
            await auth.aclose()
        del auth
        gc.collect()

    assert unclosed_during(drop()) == warned


@pytest.mark.parametrize(("call", "warned"), [("delete", 1), ("", 0)])
def test_an_owner_dropped_with_a_pending_logout_warns(call: str, warned: int) -> None:
    """A `ResourceWarning`, as for a pending save: closing the owner would have tried once more."""
    store = FailingStore()

    async def drop() -> None:
        auth = owner(CountedLogin(), store=store, account="a")
        await auth.token()
        store.faults[call] = OSError("down")
        await auth.logout()
        del auth
        gc.collect()

    assert unclosed_during(drop()) == warned


def test_an_owner_cannot_be_pickled() -> None:
    """No secret in pickles."""
    with pytest.raises(TypeError, match=r"^ExterviewAuth holds a secret"):
        pickle.dumps(owner())


def test_a_request_takes_its_owner_to_the_running_loop() -> None:
    """Also a request that finds an unexpired token and does not ask the keeper."""
    auth = owner(CountedLogin(expires_in=3600))

    async def request() -> None:
        async with aiohttp.ClientSession(middlewares=(auth,)) as http:
            with pytest.raises(aiohttp.ClientConnectionError):
                await http.post(auth.endpoint)
        assert auth._keeper.lifecycle.loop is asyncio.get_running_loop()

    for _ in range(3):
        asyncio.run(request())
    assert auth.stats().logins == 1
    asyncio.run(auth.aclose())
