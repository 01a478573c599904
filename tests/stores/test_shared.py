"""Whose turn it is: the lease that is kept, the news that is not missed, and what is given back in any case."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextvars import ContextVar
from typing import Any

import pytest

from exterview_auth import StoreError, Token
from exterview_auth._calls import PAUSE_THRESHOLD
from exterview_auth.stores._entry import StoredToken
from exterview_auth.stores._shared import POLL_INTERVAL, RELEASE_TIMEOUT, AccountLock
from tests.kit.clock import now, passing, settle, stand_still, virtual_time


class Backend:
    """A backend that does what a test says, and writes down what is asked of it."""

    store = "Backend"
    lease = 3.0

    def __init__(self, **script: Any) -> None:
        self.script = script
        self.calls: list[str] = []
        self.changed = asyncio.Event()

    async def _do(self, name: str, default: Any = None) -> Any:
        self.calls.append(name)
        await asyncio.sleep(0)
        outcome = self.script.get(name, default)
        if isinstance(outcome, list):
            outcome = outcome.pop(0) if outcome else default
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome == "hang":
            await asyncio.sleep(1e6)
        return outcome

    async def try_acquire(self) -> bool:
        return bool(await self._do("try_acquire", True))

    async def renew_lease(self) -> bool:
        return bool(await self._do("renew_lease", True))

    async def release(self) -> None:
        await self._do("release")

    async def read(self) -> StoredToken:
        return StoredToken(None, b"")

    async def write(self, token: Token | None) -> StoredToken | None:
        return None

    async def subscribe(self) -> None:
        await self._do("subscribe")

    async def wait_for_change(self) -> None:
        await self._do("wait_for_change")
        await self.changed.wait()
        self.changed.clear()

    async def unsubscribe(self) -> None:
        await self._do("unsubscribe")


@virtual_time
async def test_a_lock_that_is_acquired_is_released() -> None:
    """Rule 3 of the module: no other call reaches the store."""
    backend = Backend()
    async with AccountLock(backend) as lock:
        assert await lock.try_acquire()
    assert backend.calls == ["try_acquire", "release"]


@virtual_time
async def test_the_lease_is_renewed_three_times_as_often_as_it_ends() -> None:
    """And not after the release."""
    backend = Backend()
    async with AccountLock(backend) as lock:
        await lock.try_acquire()
        await passing(10.5)
    assert backend.calls.count("renew_lease") == 10
    await passing(10)
    assert backend.calls.count("renew_lease") == 10


@virtual_time
async def test_the_first_wait_subscribes_and_returns() -> None:
    """The caller reads once more after the subscription, so that no change falls between."""
    backend = Backend(try_acquire=False)
    async with AccountLock(backend) as lock:
        assert not await lock.try_acquire()
        await lock.wait_for_change()
        assert now() == 0
    assert backend.calls == ["try_acquire", "subscribe", "unsubscribe"]


@virtual_time
async def test_the_lock_is_not_tried_again_before_a_change() -> None:
    """At most six commands per revocation: trying twice in a row tells nothing."""
    backend = Backend(try_acquire=[False, True])
    async with AccountLock(backend) as lock:
        assert not await lock.try_acquire()
        await lock.wait_for_change()
        assert not await lock.try_acquire()
        assert backend.calls.count("try_acquire") == 1
        backend.changed.set()
        await lock.wait_for_change()
        assert await lock.try_acquire()
    assert now() == 0


@virtual_time
async def test_without_a_change_a_poll_ends_the_wait() -> None:
    """A holder may die, a message may be lost: never longer than a poll interval, and not all waiters at the same moment."""
    ends = set()
    for _ in range(5):
        backend = Backend(try_acquire=[False, False])
        async with AccountLock(backend) as lock:
            await lock.try_acquire()
            await lock.wait_for_change()
            began = now()
            await lock.wait_for_change()
            ends.add(now() - began)
    assert all(POLL_INTERVAL / 2 < end <= POLL_INTERVAL for end in ends)
    assert len(ends) == 5


@virtual_time
async def test_polls_read_and_try_by_turns() -> None:
    """One command for each poll: reading finds what a lost message announced, trying finds a dead holder."""
    backend = Backend(try_acquire=False)
    told = []
    async with AccountLock(backend) as lock:
        await lock.try_acquire()
        await lock.wait_for_change()
        for _ in range(4):
            told.append((await lock.wait_for_change(), backend.calls.count("try_acquire")))
            await lock.try_acquire()
    assert told == [(True, 1), (False, 1), (True, 2), (False, 2)]
    assert backend.calls.count("try_acquire") == 3


@virtual_time
async def test_a_paused_waiter_reads_before_it_tries() -> None:
    """The holder may have been paused with it, and is about to save."""
    backend = Backend(try_acquire=False)
    async with AccountLock(backend) as lock:
        await lock.try_acquire()
        await lock.wait_for_change()
        for _ in range(3):
            waiting = asyncio.ensure_future(lock.wait_for_change())
            await settle()
            stand_still(POLL_INTERVAL + 2 * PAUSE_THRESHOLD)
            assert await waiting
            assert not await lock.try_acquire()
    assert backend.calls.count("try_acquire") == 1


@pytest.mark.parametrize("fault", [StoreError("down"), RuntimeError("odd")])
@virtual_time
async def test_a_lock_that_may_be_held_is_released(fault: Exception) -> None:
    """The answer was lost, the lock perhaps not."""
    backend = Backend(try_acquire=fault)
    with pytest.raises(type(fault)):
        async with AccountLock(backend) as lock:
            await lock.try_acquire()
    assert backend.calls == ["try_acquire", "release"]


@virtual_time
async def test_a_caller_cancelled_while_it_acquires_releases() -> None:
    """Nobody knows whether the lock was acquired."""
    backend = Backend(try_acquire="hang")

    async def acquire() -> None:
        async with AccountLock(backend) as lock:
            await lock.try_acquire()

    caller = asyncio.ensure_future(acquire())
    await settle()
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()
    assert backend.calls == ["try_acquire", "release"]


@virtual_time
async def test_the_release_ignores_the_callers_cancellation() -> None:
    """A release that has started is finished."""
    backend = Backend()
    left = asyncio.Event()

    async def release() -> None:
        await asyncio.sleep(0.5)
        left.set()

    backend.release = release  # type: ignore[method-assign]  # a slow one

    async def acquire() -> None:
        async with AccountLock(backend) as lock:
            await lock.try_acquire()

    caller = asyncio.ensure_future(acquire())
    await passing(0.2)
    caller.cancel()
    await asyncio.wait([caller])
    assert left.is_set()


@pytest.mark.parametrize("fault", [StoreError("down"), "hang"])
@virtual_time
async def test_the_release_is_bounded_and_raises_nothing(fault: Any) -> None:
    """The lease expires; the store's failure is nobody's error; the subscription ends."""
    backend = Backend(release=fault, try_acquire=[False, True])
    async with AccountLock(backend) as lock:
        await lock.try_acquire()
        await lock.wait_for_change()
        backend.changed.set()
        await lock.wait_for_change()
        assert await lock.try_acquire()
    assert now() <= 1.1
    assert backend.calls[-1] == "unsubscribe" or fault == "hang"


@virtual_time
async def test_the_lease_is_renewed_in_a_context_of_its_own() -> None:
    """The caller's context variables are not visible in the task."""
    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen: list[str] = []

    class Looking(Backend):
        async def renew_lease(self) -> bool:
            seen.append(variable.get())
            return True

    variable.set("a request's")
    async with AccountLock(Looking()) as lock:
        await lock.try_acquire()
        await passing(1.5)
    assert seen == ["none"]


@virtual_time
async def test_a_lease_that_cannot_be_renewed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A failing store is asked again; each failure is logged, and the loss, after which nothing is renewed."""
    backend = Backend(renew_lease=[StoreError("down"), True, False])
    with caplog.at_level(logging.INFO, "exterview_auth"):
        async with AccountLock(backend) as lock:
            await lock.try_acquire()
            await passing(20)
    assert backend.calls.count("renew_lease") == 3
    assert [each.levelno for each in caplog.records] == [logging.INFO, logging.INFO]
    assert caplog.messages[0] == "store.lease_not_kept store='Backend' problem='down'"
    assert caplog.messages[1].startswith("store.lease_lost store='Backend' hint=")


@virtual_time
async def test_slow_renewals_are_as_frequent_as_quick_ones() -> None:
    """A store or a process that is slow for a while has three attempts in each lease, not two."""

    class Slow(Backend):
        async def renew_lease(self) -> bool:
            self.calls.append("renew_lease")
            await asyncio.sleep(self.lease / 4)
            return True

    backend = Slow()
    async with AccountLock(backend) as lock:
        await lock.try_acquire()
        await passing(4 * backend.lease + 0.1)
    assert backend.calls.count("renew_lease") == 12


@virtual_time
async def test_a_lock_that_was_not_tried_releases_nothing() -> None:
    """Without an attempt there is nothing to release, and nothing to unsubscribe from."""
    backend = Backend()
    lock = AccountLock(backend)
    before = lock.released
    async with lock:
        assert backend.calls == []
    assert (before, lock.released, backend.calls) == (False, True, [])


@virtual_time
async def test_a_renewal_that_hangs_does_not_keep_the_subscription() -> None:
    """A store that stops answering during a renewal does not keep a subscription for ever."""

    class Silent(Backend):
        async def renew_lease(self) -> bool:
            self.calls.append("renew_lease")
            try:
                await asyncio.sleep(1e6)
            finally:
                await asyncio.sleep(2 * RELEASE_TIMEOUT)  # lets its command come to an end
            return True

    backend = Silent()
    lock = AccountLock(backend)
    await lock.try_acquire()
    await lock.wait_for_change()
    await passing(backend.lease / 3 + 0.1)
    assert backend.calls[-1] == "renew_lease"
    with contextlib.suppress(TimeoutError):
        await lock.release()
    await passing(3 * RELEASE_TIMEOUT)
    assert backend.calls[-2:] == ["release", "unsubscribe"]
