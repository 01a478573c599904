"""The application's ``on_token`` is told once, and its mistakes cost the requests nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from exterview_auth import Reason, Token
from exterview_auth._core.on_token import TIMEOUT, TIMEOUT_ONCE_HUNG, OnTokenHook
from tests.kit.clock import now, settle, virtual_time

NEW, OLD = Token("new-s3cret"), Token("old-s3cret")


@virtual_time
async def test_a_hook_gets_both_tokens_and_the_reason() -> None:
    """A sync and an async hook are told the new token, the old one and why, and awaited before anything goes on."""
    told: list[Any] = []

    async def later(*arguments: object) -> None:
        await asyncio.sleep(1)
        told.append(arguments)

    await OnTokenHook(lambda *arguments: told.append(arguments)).notify(NEW, None, Reason.FIRST)
    await OnTokenHook(later).notify(NEW, OLD, Reason.AHEAD)
    assert told == [(NEW, None, Reason.FIRST), (NEW, OLD, Reason.AHEAD)]
    assert now() == 1


@virtual_time
async def test_what_a_hook_raises_is_logged_and_contained() -> None:
    """A hook that raises or cancels itself, sync or async, breaks nothing, is logged by type alone, and told again."""
    told: list[Reason] = []

    def broken(new: Token, old: Token | None, reason: Reason) -> None:
        told.append(reason)
        raise ValueError(new.value)

    async def cancels(new: Token, old: Token | None, reason: Reason) -> None:
        told.append(reason)
        raise asyncio.CancelledError

    for hook in (OnTokenHook(broken), OnTokenHook(cancels)):
        await hook.notify(NEW, OLD, Reason.REFUSED)
        await hook.notify(NEW, OLD, Reason.REFUSED)
    assert len(told) == 4
    assert now() == 0


def test_a_broken_hook_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The log names the error's type, and no token."""

    def broken(new: Token, old: Token | None, reason: Reason) -> None:
        raise ValueError(new.value)

    asyncio.run(OnTokenHook(broken).notify(NEW, OLD, Reason.REFUSED))
    assert [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "exterview_auth"] == [
        (logging.ERROR, "on_token.failed error='ValueError'")
    ]
    assert "s3cret" not in caplog.text


@virtual_time
async def test_a_hook_that_hangs_holds_up_its_waiters_once() -> None:
    """The first time it is given five seconds, later a tenth; once it returns in time, it has its five seconds back."""
    ended: list[float] = []

    async def slow(*arguments: object) -> None:
        await asyncio.sleep(lasting[0])
        ended.append(now())

    hook, took, lasting = OnTokenHook(slow), [], [1000.0, 1000.0, 1000.0, TIMEOUT_ONCE_HUNG / 2, TIMEOUT / 2]
    while lasting:
        began = now()
        await hook.notify(NEW, None, Reason.FIRST)
        took.append(round(now() - began, 6))
        del lasting[0]
    assert took == [TIMEOUT, TIMEOUT_ONCE_HUNG, TIMEOUT_ONCE_HUNG, TIMEOUT_ONCE_HUNG / 2, TIMEOUT / 2]
    assert len(ended) == 2
    assert (TIMEOUT, TIMEOUT_ONCE_HUNG) == (5.0, 0.1)


def test_a_hook_that_hangs_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """What held the requests up is said."""

    @virtual_time
    async def hang() -> None:
        await OnTokenHook(lambda *_: asyncio.Event().wait()).notify(NEW, OLD, Reason.REFUSED)

    hang()
    assert [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "exterview_auth"] == [
        (logging.WARNING, "on_token.timeout seconds=5.0")
    ]


@virtual_time
async def test_a_hook_that_raises_has_not_hung() -> None:
    """An error after less than the bound keeps the five seconds for the next time."""
    failures = [ValueError("no")]

    async def raises_once(*arguments: object) -> None:
        await asyncio.sleep(TIMEOUT - 1)
        if failures:
            raise failures.pop()

    hook = OnTokenHook(raises_once)
    for _ in range(2):
        await hook.notify(NEW, None, Reason.FIRST)
    assert now() == 2 * (TIMEOUT - 1)


@virtual_time
async def test_cancelling_those_who_tell_cancels_the_hook() -> None:
    """The hook is not left behind, and the cancellation goes on."""
    cancelled: list[bool] = []

    async def waits(*arguments: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    telling = asyncio.ensure_future(OnTokenHook(waits).notify(NEW, None, Reason.FIRST))
    await settle()
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling
    assert cancelled == [True]
