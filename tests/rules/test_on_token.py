"""The application's hook: told once, contained, and never a reason to hang."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from exterview_auth import Token
from exterview_auth._core.keeper import Keeper
from exterview_auth._events import Reason
from tests.kit.clock import now, passing, virtual_time
from tests.kit.keepers import ScriptedLogin, keeper


@virtual_time
async def test_it_hears_of_every_login_once_and_why() -> None:
    """The contract: new, old and reason, once per login."""
    heard: list[tuple[str, str | None, str]] = []

    def on_token(new: Token, old: Token | None, reason: Reason) -> None:
        heard.append((new.value, None if old is None else old.value, str(reason)))

    kept = keeper(ScriptedLogin(expires_in=100), on_token=on_token)
    grant = (await asyncio.gather(*(kept.obtain() for _ in range(10))))[0]
    kept.refuse(grant, waited=False)
    (await kept.obtain(grant)).used = True
    await passing(90)
    await passing(200)
    await kept.obtain()
    assert heard == [
        ("T1", None, "first"),
        ("T2", "T1", "refused"),
        ("T3", "T2", "ahead"),
        ("T4", "T3", "expired"),
    ]
    await kept.lifecycle.aclose()


@virtual_time
async def test_what_it_raises_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The contract: logged and contained, its own cancellation too."""
    for failure in (RuntimeError("broken"), asyncio.CancelledError()):

        async def on_token(*_: Any, failure: BaseException = failure) -> None:
            raise failure

        kept = keeper(ScriptedLogin(), on_token=on_token)
        assert (await kept.obtain()).token.value == "T1"
        await kept.lifecycle.aclose()
    assert [record.message for record in caplog.records if "on_token" in record.message] == [
        "on_token.failed error='RuntimeError'",
        "on_token.failed error='CancelledItselfError'",
    ]


@virtual_time
async def test_one_that_hangs_holds_the_waiters_up_once() -> None:
    """The contract: for five seconds at most, and hardly at all the next time."""

    async def on_token(*_: Any) -> None:
        await asyncio.sleep(1e6)

    kept = keeper(ScriptedLogin(), on_token=on_token)
    grant = await kept.obtain()
    assert now() == pytest.approx(5)
    kept.refuse(grant, waited=False)
    await kept.obtain(grant)
    assert now() == pytest.approx(5.1)
    await kept.lifecycle.aclose()


@virtual_time
async def test_it_gets_the_new_token_when_it_asks() -> None:
    """The contract: it may ask for the token itself."""
    got: list[str] = []
    kept: Keeper

    async def on_token(new: Token, _old: Token | None, _reason: object) -> None:
        got.append((await kept.obtain()).token.value)
        assert not new.value.endswith("dead")

    kept = keeper(ScriptedLogin(), on_token=on_token)
    grant = await kept.obtain()
    kept.refuse(grant, waited=False)
    await kept.obtain(grant)
    assert got == ["T1", "T2"]
    assert now() == 0
    await kept.lifecycle.aclose()


@virtual_time
async def test_it_may_log_out_or_close() -> None:
    """The fault table: hooks that call back into the owner."""
    kept: Keeper

    async def log_out(*_: Any) -> None:
        await kept.lifecycle.logout()

    async def close(*_: Any) -> None:
        await kept.lifecycle.aclose()

    for hook in (log_out, close):
        kept = keeper(ScriptedLogin(), on_token=hook)
        with pytest.raises(Exception, match="while this request waited"):
            await asyncio.wait_for(kept.obtain(), 10)
        assert kept.state.current is None
        assert now() < 5
        await kept.lifecycle.aclose()


@virtual_time
async def test_a_task_that_it_leaves_behind_may_ask_too() -> None:
    """Lesson 42: it is not inside the login any more."""
    tasks: list[asyncio.Task[str]] = []
    kept: Keeper

    async def later() -> str:
        await asyncio.sleep(1)
        grant = await kept.obtain()
        kept.refuse(grant, waited=False)
        return (await kept.obtain(grant)).token.value

    def on_token(*_: Any) -> None:
        if not tasks:
            tasks.append(asyncio.get_running_loop().create_task(later()))

    kept = keeper(ScriptedLogin(seconds=0.5), on_token=on_token)
    await kept.obtain()
    assert await tasks[0] == "T2"
    await kept.lifecycle.aclose()
