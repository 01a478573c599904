"""Cancel at every await, fail at every await: afterwards the state is whole, and the next caller gets a token."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from exterview_auth import ClosedError, ExterviewAuthError, LoggedOutError, Token
from exterview_auth._core.keeper import Keeper
from exterview_auth._core.state import IssuedToken
from tests.kit.clock import now, virtual_time
from tests.kit.keepers import ScriptedLogin, keeper

FAR = 400


class PacedStore:
    """A store each of whose calls takes a few turns of the loop."""

    def __init__(self) -> None:
        self.entries: dict[str, Token] = {}
        self.state = 0
        self._lock = asyncio.Lock()

    async def load(self, account: str) -> Token | None:
        await _turns()
        return self.entries.get(account)

    async def save(self, account: str, token: Token) -> None:
        await _turns()
        self.entries[account] = token

    async def delete(self, account: str) -> None:
        await _turns()
        self.entries.pop(account, None)

    @contextlib.asynccontextmanager
    async def lock(self, account: str) -> AsyncIterator[None]:
        await _turns()
        async with self._lock:
            self.state += 1
            assert self.state == 1
            try:
                yield
            finally:
                self.state -= 1
                await _turns()


async def _turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


class Scene:
    """A keeper with everything that can suspend: store, lock, slow login, hook."""

    def __init__(self, login: Any = None) -> None:
        self.login = login or ScriptedLogin(_paced_token, _paced_token, _paced_token, _paced_token)
        self.store = PacedStore()
        self.told: list[str] = []
        self.keeper: Keeper = keeper(self.login, store=self.store, account="a", on_token=self._on_token)

    async def _on_token(self, new: Token, _old: Token | None, _reason: object) -> None:
        await _turns()
        self.told.append(new.value)

    async def check(self) -> None:
        """Nothing is held, and a token is to be had, by one more login at most."""
        grant = await asyncio.wait_for(self.keeper.obtain(), 60)
        assert not grant.rejected
        await asyncio.wait_for(self.keeper.lifecycle.aclose(), 10)
        assert self.store.state == 0
        assert self.login.running == 0
        assert self.login.running_peak == 1


def _paced_token(_previous: Token | None) -> Coroutine[Any, Any, Token]:
    async def make() -> Token:
        await _turns()
        _paced_token.count += 1  # type: ignore[attr-defined]  # numbers the tokens of all scenes
        return Token(f"P{_paced_token.count}")  # type: ignore[attr-defined]  # the same

    return make()


_paced_token.count = 0  # type: ignore[attr-defined]  # starts here


async def steps_until(task: asyncio.Future[Any], limit: int) -> bool:
    """Let so many turns pass; whether *task* still runs."""
    for _ in range(limit):
        if task.done():
            return False
        await asyncio.sleep(0)
    return not task.done()


def at_every_step(scenario: Callable[[int], Coroutine[Any, Any, bool]]) -> int:
    """Run *scenario* for each step until it says that the step lies beyond the end; how many there were."""
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
    """Rule 5, lesson 7: whichever await the cancellation meets, one login serves the others."""

    async def scenario(step: int) -> bool:
        scene = Scene()
        first = asyncio.ensure_future(scene.keeper.obtain())
        await asyncio.sleep(0)
        others = [asyncio.ensure_future(scene.keeper.obtain()) for _ in range(3)]
        reached = await steps_until(first, step)
        first.cancel()
        assert len({(await other).token.value for other in others}) == 1
        assert scene.login.count == 1
        assert len(scene.told) == 1
        await scene.check()
        return reached

    assert at_every_step(scenario) > 15


def test_a_refused_waiter_cancelled_at_every_await_leaves_the_login_to_the_others() -> None:
    """Rule 5: the same after a refusal."""

    async def scenario(step: int) -> bool:
        scene = Scene()
        old = await scene.keeper.obtain()
        scene.keeper.refuse(old, waited=False)
        first = asyncio.ensure_future(scene.keeper.obtain(old))
        other = asyncio.ensure_future(scene.keeper.obtain(old))
        reached = await steps_until(first, step)
        first.cancel()
        assert (await other) is not old
        assert scene.login.count == 2
        await scene.check()
        return reached

    assert at_every_step(scenario) > 15


@pytest.mark.parametrize("how", ["logout", "aclose"])
def test_leaving_at_every_await_of_a_login_ends_every_wait(how: str) -> None:
    """Rule 21, lesson 18: at whichever await ``logout()`` or ``aclose()`` comes, nothing is revived and nobody hangs."""

    async def scenario(step: int) -> bool:
        scene = Scene()
        waiting = asyncio.ensure_future(scene.keeper.obtain())
        reached = await steps_until(waiting, step + 1)
        before = set(scene.told)
        async with asyncio.timeout(10):
            await getattr(scene.keeper.lifecycle, how)()
        if reached:
            outcome = (await asyncio.wait_for(asyncio.gather(waiting, return_exceptions=True), 10))[0]
            # Who had just been woken logs in anew after a logout.
            anew = how == "logout" and not isinstance(outcome, BaseException) and outcome.token.value not in before
            assert anew or isinstance(outcome, LoggedOutError | ClosedError)
        else:
            assert scene.keeper.state.current is None
            assert scene.store.entries == ({} if how == "logout" else scene.store.entries)
        if how == "logout":
            assert (await scene.keeper.obtain()).token.value not in before
            await scene.check()
        return reached

    assert at_every_step(scenario) > 15


@pytest.mark.parametrize("how", ["logout", "aclose"])
def test_leaving_is_complete_although_it_is_cancelled(how: str) -> None:
    """Rule 21: cancelling ``logout()`` or ``aclose()`` itself at every await leaves no old token behind."""

    async def scenario(step: int) -> bool:
        scene = Scene()
        await scene.keeper.obtain()
        old = scene.keeper.state.current
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
        else:
            await scene.keeper.lifecycle.aclose()
        return reached

    assert at_every_step(scenario) >= 0


def test_a_login_that_fails_at_every_await_is_followed_by_another() -> None:
    """Rule 6: whichever await of the login raises, all who wait end promptly, and the next caller gets a token."""

    async def scenario(step: int) -> bool:
        reached = []

        async def failing(_previous: Token | None) -> Token:
            for turn in range(6):
                if turn == step:
                    reached.append(turn)
                    raise RuntimeError("here")
                await asyncio.sleep(0)
            return Token("fine")

        scene = Scene(ScriptedLogin(failing, failing if step > 5 else Token("second")))
        results = await asyncio.gather(*(scene.keeper.obtain() for _ in range(3)), return_exceptions=True)
        assert len({type(result) for result in results}) == 1
        assert isinstance(results[0], ExterviewAuthError) is bool(reached)
        await scene.check()
        return bool(reached)

    assert at_every_step(scenario) == 6


def test_the_flights_task_cancelled_at_every_await_leaves_nobody_waiting() -> None:
    """Lesson 16: also where somebody cancels every task of the process, as a framework's shutdown does."""

    async def scenario(step: int) -> bool:
        scene = Scene()
        waiting = asyncio.ensure_future(scene.keeper.obtain())
        reached = await steps_until(waiting, step)
        for task in asyncio.all_tasks():
            if task.get_name() == "exterview_auth login":
                task.cancel()
        outcome = (await asyncio.wait_for(asyncio.gather(waiting, return_exceptions=True), 30))[0]
        assert isinstance(outcome, ExterviewAuthError) or (isinstance(outcome, IssuedToken) and not outcome.rejected)
        await scene.check()
        assert now() < 30
        return reached

    assert at_every_step(scenario) > 15
