"""Cancel at every await, fail at every await: afterwards the state is sound, and the next caller gets a token."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from exterview_auth import ClosedError, ExterviewAuthError, LoggedOutError, Token
from exterview_auth._core.state import IssuedToken
from tests.kit.clock import now, virtual_time
from tests.kit.failing_store import FailingStore
from tests.kit.keepers import Outcome, scripted

FAR = 400
LEAVING = pytest.mark.parametrize("how", ["logout", "aclose"])


class PacedStore(FailingStore):
    """A store each of whose calls takes a few iterations of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.locked = 0
        self._lock = asyncio.Lock()

    async def before(self, name: str) -> None:
        await _iterations()

    @contextlib.asynccontextmanager
    async def lock(self, account: str) -> AsyncIterator[None]:
        await _iterations()
        async with self._lock:
            self.locked += 1
            assert self.locked == 1
            try:
                yield
            finally:
                self.locked -= 1
                await _iterations()


async def _iterations() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


class Scene:
    """A keeper with everything that can suspend: store, lock, slow login, hook."""

    def __init__(self, *script: Outcome) -> None:
        self.store = PacedStore()
        self.announced: list[str] = []
        script = script or (self._paced_token,) * 4
        self.keeper = scripted(*script, store=self.store, account="a", on_token=self._on_token)
        self.login = self.keeper.login

    async def _paced_token(self, _previous: Token | None) -> Token:
        number = self.login.count
        await _iterations()
        return Token(f"T{number}")

    async def _on_token(self, new: Token, _old: Token | None, _reason: object) -> None:
        await _iterations()
        self.announced.append(new.value)

    async def check(self) -> None:
        """No lock is held, and a token can be obtained with at most one more login."""
        issued = await asyncio.wait_for(self.keeper.obtain(), 60)
        assert not issued.rejected
        await asyncio.wait_for(self.keeper.lifecycle.aclose(), 10)
        assert self.store.locked == 0
        assert (self.login.running, self.login.running_peak) == (0, 1)


async def steps_until(task: asyncio.Future[Any], limit: int) -> bool:
    """Run at most *limit* iterations of the loop; return whether *task* still runs."""
    for _ in range(limit):
        if task.done():
            return False
        await asyncio.sleep(0)
    return not task.done()


def at_every_step(scenario: Callable[[int], Coroutine[Any, Any, bool]]) -> int:
    """Run *scenario* for each step until it returns that the step is beyond the end; return the number of steps."""
    for step in range(FAR):
        reached: list[bool] = []

        @virtual_time
        async def run(step: int = step, reached: list[bool] = reached) -> None:
            reached.append(await scenario(step))

        run()
        if not reached[0]:
            return step
    raise AssertionError("the scenario has no end")


def test_a_waiter_cancelled_at_every_await_leaves_the_login_to_the_others() -> None:
    """At whichever await the first waiter is cancelled, one login serves the others."""

    async def scenario(step: int) -> bool:
        scene = Scene()
        first = scene.keeper.waiting()
        await asyncio.sleep(0)
        others = [scene.keeper.waiting() for _ in range(3)]
        reached = await steps_until(first, step)
        first.cancel()
        assert len({(await other).token.value for other in others}) == 1
        assert scene.login.count == len(scene.announced) == 1
        await scene.check()
        return reached

    assert at_every_step(scenario) > 15


def test_a_refused_waiter_cancelled_at_every_await_leaves_the_login_to_the_others() -> None:
    """The same after a refusal."""

    async def scenario(step: int) -> bool:
        scene = Scene()
        old = await scene.keeper.obtain()
        scene.keeper.refuse(old)
        first, other = scene.keeper.waiting(old), scene.keeper.waiting(old)
        reached = await steps_until(first, step)
        first.cancel()
        assert (await other) is not old
        assert scene.login.count == 2
        await scene.check()
        return reached

    assert at_every_step(scenario) > 15


@LEAVING
def test_leaving_at_every_await_of_a_login_ends_every_wait(how: str) -> None:
    """At whichever await ``logout()`` or ``aclose()`` comes, no waiter hangs, and no token survives."""

    async def scenario(step: int) -> bool:
        scene = Scene()
        waiting = scene.keeper.waiting()
        reached = await steps_until(waiting, step + 1)
        begun = scene.login.count

        def is_new(token: Token) -> bool:
            """Whether its login began after the logout."""
            return how == "logout" and int(token.value[1:]) > begun

        async with asyncio.timeout(10):
            await getattr(scene.keeper.lifecycle, how)()
        if reached:
            [outcome] = await asyncio.wait_for(asyncio.gather(waiting, return_exceptions=True), 10)
            # A waiter that had just been woken logs in again after a logout.
            again = isinstance(outcome, IssuedToken) and is_new(outcome.token)
            assert again or isinstance(outcome, LoggedOutError | ClosedError)
        else:
            assert scene.keeper.state.current is None
            assert how == "aclose" or scene.store.entries == {}
        if how == "logout":
            assert is_new((await scene.keeper.obtain()).token)
            await scene.check()
        return reached

    assert at_every_step(scenario) > 15


@LEAVING
def test_leaving_is_complete_although_it_is_cancelled(how: str) -> None:
    """If ``logout()`` or ``aclose()`` itself is cancelled at any await, no old token is left."""

    async def scenario(step: int) -> bool:
        scene = Scene()
        old = await scene.keeper.obtain()
        leaving = asyncio.ensure_future(getattr(scene.keeper.lifecycle, how)())
        await asyncio.sleep(0)
        reached = await steps_until(leaving, step)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert scene.keeper.state.current is None
        if how == "logout":
            assert (await scene.keeper.obtain()) is not old
            assert scene.login.count == 2
            await scene.check()
        return reached

    assert at_every_step(scenario) >= 0


def test_a_login_that_fails_at_every_await_is_followed_by_another() -> None:
    """Whichever await of the login raises, all waiters end promptly, and the next caller gets a token."""

    async def scenario(step: int) -> bool:
        reached = []

        async def failing(_previous: Token | None) -> Token:
            for iteration in range(6):
                if iteration == step:
                    reached.append(iteration)
                    raise RuntimeError("here")
                await asyncio.sleep(0)
            return Token("fine")

        scene = Scene(failing, failing if step > 5 else Token("second"))
        results = await scene.keeper.outcomes(3)
        assert len({type(result) for result in results}) == 1
        assert isinstance(results[0], ExterviewAuthError) is bool(reached)
        await asyncio.sleep(1)  # the pause after it
        await scene.check()
        return bool(reached)

    assert at_every_step(scenario) == 6


def test_the_flights_task_cancelled_at_every_await_leaves_nobody_waiting() -> None:
    """Also if every task of the process is cancelled, as a framework does on shutdown."""

    async def scenario(step: int) -> bool:
        scene = Scene()
        waiting = scene.keeper.waiting()
        reached = await steps_until(waiting, step)
        for task in asyncio.all_tasks():
            if task.get_name() == "exterview_auth login":
                task.cancel()
        [outcome] = await asyncio.wait_for(asyncio.gather(waiting, return_exceptions=True), 30)
        assert isinstance(outcome, ExterviewAuthError) or (isinstance(outcome, IssuedToken) and not outcome.rejected)
        await scene.check()
        assert now() < 30
        return reached

    assert at_every_step(scenario) > 15
