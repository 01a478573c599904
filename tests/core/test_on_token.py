"""The application's ``on_token`` is called once per login, and its mistakes cost the requests nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re

import pytest

from exterview_auth import ClosedError, LoggedOutError, Reason, Token
from exterview_auth._calls import CANCEL_GRACE
from exterview_auth._core.account import Account
from exterview_auth._core.on_token import TIMEOUT, TIMEOUT_ONCE_HUNG, OnToken, OnTokenHook
from tests.kit.clock import now, passing, settle, virtual_time
from tests.kit.keepers import ScriptedKeeper, scripted

NEW, OLD = Token("new-s3cret"), Token("old-s3cret")


def _raises(new: Token, _old: Token | None, _reason: Reason) -> None:
    raise ValueError(new.value)


async def _cancels_itself(*_: object) -> None:
    raise asyncio.CancelledError


def _exits(*_: object) -> None:
    raise GeneratorExit


async def _hangs(*_: object) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("hook", "level", "logged"),
    [
        (_raises, logging.ERROR, "on_token.failed account='' error='ValueError'"),
        (_cancels_itself, logging.ERROR, "on_token.failed account='' error='CancelledError'"),
        (_exits, logging.ERROR, "on_token.failed account='' error='GeneratorExit'"),
        (_hangs, logging.WARNING, "on_token.timeout account='' seconds=5.0"),
    ],
)
@virtual_time
async def test_a_failure_of_the_hook_is_logged_and_contained(
    caplog: pytest.LogCaptureFixture, hook: OnToken, level: int, logged: str
) -> None:
    """The waiters get their token, and the log names the error's type and its line, and no secret."""
    assert await scripted(NEW, on_token=hook).text() == NEW.value
    (record,) = caplog.records
    message, _, where = record.getMessage().partition(" where=")
    assert (record.levelno, message) == (level, logged)
    assert hook is not _raises or re.fullmatch(rf"'{re.escape(__file__)}:\d+'", where)


@virtual_time
async def test_a_hook_that_hangs_delays_its_waiters_once() -> None:
    """The first time it has five seconds, later a tenth; once it returns in time, it has its five seconds back."""
    ended: list[float] = []

    async def slow(*_: object) -> None:
        await asyncio.sleep(durations[0])
        ended.append(now())

    hook, took, durations = (
        OnTokenHook(slow, Account()),
        [],
        [1000.0, 1000.0, 1000.0, TIMEOUT_ONCE_HUNG / 2, TIMEOUT / 2],
    )
    while durations:
        began = now()
        await hook.notify(NEW, None, Reason.FIRST)
        took.append(round(now() - began, 6))
        del durations[0]
    assert took == [TIMEOUT, TIMEOUT_ONCE_HUNG, TIMEOUT_ONCE_HUNG, TIMEOUT_ONCE_HUNG / 2, TIMEOUT / 2]
    assert len(ended) == 2
    assert (TIMEOUT, TIMEOUT_ONCE_HUNG) == (5.0, 0.1)


@virtual_time
async def test_a_hook_that_ignores_its_cancellation_costs_no_more() -> None:
    """One that never returns holds the waiters up for a stated bound at most, and closing for a moment."""
    released = asyncio.Event()

    async def stubborn(*_: object) -> None:
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()

    kept, waited = scripted(on_token=stubborn), []
    for _ in range(3):
        began = now()
        issued = await kept.obtain()
        waited.append(round(now() - began, 6))
        kept.refuse(issued)
        await kept.lifecycle.logout()
    assert waited == [TIMEOUT, TIMEOUT_ONCE_HUNG, TIMEOUT_ONCE_HUNG]
    began = now()
    await kept.lifecycle.aclose()
    assert now() - began == CANCEL_GRACE
    released.set()


@pytest.mark.parametrize("ends", ["given up", "cancelled"])
@virtual_time
async def test_closing_waits_until_a_hook_has_cleaned_up(ends: str) -> None:
    """No task of a hook is left behind that needs a moment after its cancellation."""
    cleaned: list[float] = []

    async def tidy(*_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.5)
            cleaned.append(now())

    kept = scripted(on_token=tidy)
    waiter = kept.waiting()
    await (waiter if ends == "given up" else settle())
    began = now()
    await kept.lifecycle.aclose()
    await asyncio.wait([waiter])
    assert cleaned == [began + 0.5] == [now()]
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert ends == "given up" or isinstance(waiter.exception(), ClosedError)


@virtual_time
async def test_a_hook_that_raises_has_not_hung() -> None:
    """After an error that came in time, it still has its five seconds the next time."""
    failures = [ValueError("no")]

    async def raises_once(*_: object) -> None:
        await asyncio.sleep(TIMEOUT - 1)
        if failures:
            raise failures.pop()

    hook = OnTokenHook(raises_once, Account())
    for _ in range(2):
        await hook.notify(NEW, None, Reason.FIRST)
    assert now() == 2 * (TIMEOUT - 1)


@virtual_time
async def test_cancelling_the_login_cancels_the_hook() -> None:
    """The hook does not keep running, and the cancellation goes on."""
    cancelled: list[bool] = []

    async def waits(*_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    notifying = asyncio.ensure_future(OnTokenHook(waits, Account()).notify(NEW, None, Reason.FIRST))
    await settle()
    notifying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await notifying
    assert cancelled == [True]


# -- with a keeper -------------------------------------------------------------------------------------------------------


@virtual_time
async def test_every_login_is_announced_once_with_its_reason() -> None:
    """The hook gets the new token, the one before and the reason; the login gets the one before."""
    calls: list[tuple[str, str | None, str]] = []

    def on_token(new: Token, old: Token | None, reason: Reason) -> None:
        calls.append((new.value, None if old is None else old.value, str(reason)))

    kept = scripted(expires_in=100, on_token=on_token)
    await kept.outcomes(10)
    first = await kept.obtain()
    kept.refuse(first)
    (await kept.obtain(first)).used = True
    await passing(90)
    await passing(200)
    await kept.obtain()
    await kept.lifecycle.logout()
    await kept.obtain()
    assert calls == [
        ("T1", None, "first"),
        ("T2", "T1", "refused"),
        ("T3", "T2", "ahead"),
        ("T4", "T3", "expired"),
        ("T5", None, "first"),
    ]
    before = [None if previous is None else previous.value for previous in kept.login.calls]
    assert before == [None, "T1", "T2", "T3", None]


@virtual_time
async def test_a_hook_gets_the_new_token_when_it_asks() -> None:
    """It may ask for the token itself."""
    got: list[str] = []
    kept: ScriptedKeeper

    async def on_token(*_: object) -> None:
        got.append(await kept.text())

    kept = scripted(on_token=on_token)
    issued = await kept.obtain()
    kept.refuse(issued)
    await kept.obtain(issued)
    assert got == ["T1", "T2"]
    assert now() == 0


@pytest.mark.parametrize(("leave", "error"), [("logout", LoggedOutError), ("aclose", ClosedError)])
@virtual_time
async def test_a_hook_may_log_out_or_close(leave: str, error: type[Exception]) -> None:
    """The fault table: a hook that calls back into its owner ends the wait and does not hang."""
    kept: ScriptedKeeper

    async def on_token(*_: object) -> None:
        await getattr(kept.lifecycle, leave)()

    kept = scripted(on_token=on_token)
    with pytest.raises(error, match="while this request waited"):
        await asyncio.wait_for(kept.obtain(), 10)
    assert kept.state.current is None
    assert now() < 5
