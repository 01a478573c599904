"""The application's ``on_login`` is called after every login, nobody waits for it, and its mistakes cost the requests nothing."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import re
import warnings
from typing import Any

import pytest

from exterview_auth import CredentialsRejectedError, LoggedOutError, LoginError, LoginRecord, Token
from exterview_auth._calls import CANCEL_GRACE
from exterview_auth._core.account import Account
from exterview_auth._core.keeper import Keeper
from exterview_auth._core.on_login import TIMEOUT, OnLogin
from tests.kit.clock import VirtualLoop, now, passing, settle, virtual_time
from tests.kit.keepers import ScriptedLogin, scripted


def _raises(record: LoginRecord) -> None:
    raise ValueError(record.account)


async def _cancels_itself(_: LoginRecord) -> None:
    raise asyncio.CancelledError


def _exits(_: LoginRecord) -> None:
    raise GeneratorExit


async def _hangs(_: LoginRecord) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("hook", "level", "logged"),
    [
        (_raises, logging.ERROR, "on_login.failed account='a' error='ValueError'"),
        (_cancels_itself, logging.ERROR, "on_login.failed account='a' error='CancelledError'"),
        (_exits, logging.ERROR, "on_login.failed account='a' error='GeneratorExit'"),
        (_hangs, logging.WARNING, f"on_login.timeout account='a' seconds={TIMEOUT}"),
    ],
)
@virtual_time
async def test_a_failure_of_the_hook_is_logged_and_contained(
    caplog: pytest.LogCaptureFixture, hook: OnLogin, level: int, logged: str
) -> None:
    """The requests get their token at once, and the log names the error's type and its line alone."""
    kept = scripted(account="a", on_login=hook)
    assert (await kept.text(), now()) == ("T1", 0)
    await passing(TIMEOUT + CANCEL_GRACE)
    (record,) = caplog.records
    message, _, where = record.getMessage().partition(" where=")
    assert (record.levelno, message) == (level, logged)
    assert hook is not _raises or re.fullmatch(rf"'{re.escape(__file__)}:\d+'", where)


@virtual_time
async def test_the_hook_is_called_after_every_login_also_one_that_failed() -> None:
    """Sync or async, with one record for each, in their order."""
    records: list[LoginRecord] = []

    async def on_login(record: LoginRecord) -> None:
        await asyncio.sleep(0)
        records.append(record)

    for hook in (records.append, on_login):
        kept = scripted(Token("T1"), CredentialsRejectedError("no"), account="a", on_login=hook)
        issued = await kept.obtain()
        kept.refuse(issued)
        with pytest.raises(CredentialsRejectedError):
            await kept.obtain(issued)
        await settle()
        assert [(record.outcome, record.error) for record in records] == [
            ("issued", None),
            ("failed", "CredentialsRejectedError"),
        ]
        records.clear()


@virtual_time
async def test_the_hook_may_use_the_owner() -> None:
    """It is not inside the login: it may ask for the token, although its own login has not ended yet."""
    seen: list[str] = []

    async def on_login(_: LoginRecord) -> None:
        seen.append(await kept.text())

    async def on_token(*_: object) -> None:
        await asyncio.sleep(1)

    kept = scripted(account="a", on_login=on_login, on_token=on_token)
    await kept.obtain()
    await settle()
    assert seen == ["T1"]
    assert kept.login.count == 1


@virtual_time
async def test_the_hook_sees_nothing_of_the_request_that_caused_the_login() -> None:
    """Neither its context variables nor its trace span."""
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []
    kept = scripted(account="a", on_login=lambda _: seen.append(variable.get()))
    variable.set("the request's")
    await kept.obtain()
    await settle()
    assert seen == ["unset"]


@virtual_time
async def test_a_login_that_a_logout_discards_is_one_that_failed() -> None:
    """The hook hears what its requests got."""
    records: list[LoginRecord] = []
    kept = scripted(seconds=10, account="a", on_login=records.append)
    waiting = kept.waiting()
    await passing(1)
    await kept.lifecycle.logout()
    with pytest.raises(LoggedOutError):
        await waiting
    await settle()
    assert [(record.outcome, record.error, record.waiting) for record in records] == [("failed", "LoggedOutError", 1)]


@pytest.mark.parametrize(("takes", "closed_after"), [(0.5, 0.5), (1e6, 1.0)], ids=["slow", "hanging"])
@virtual_time
async def test_a_close_leaves_no_call_behind(takes: float, closed_after: float) -> None:
    """A call that runs may end within a second, and is cancelled then; the last login's own call too."""
    ended: list[str] = []

    async def on_login(record: LoginRecord) -> None:
        try:
            await asyncio.sleep(takes)
            ended.append(record.outcome)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    kept = scripted(Token("T1"), account="a", on_login=on_login)
    await kept.obtain()
    await kept.lifecycle.aclose()
    assert now() == closed_after
    assert ended == ["issued" if takes < 1 else "cancelled"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual_time
async def test_a_login_that_a_close_discards_is_notified_before_the_close_ends() -> None:
    """Nothing of it is left afterwards."""
    records: list[LoginRecord] = []
    kept = scripted(seconds=10, account="a", on_login=records.append)
    waiting = kept.waiting()
    await passing(1)
    await kept.lifecycle.aclose()
    assert [(record.outcome, record.error) for record in records] == [("failed", "ClosedError")]
    assert (await asyncio.gather(waiting, return_exceptions=True))[0] is not None


@virtual_time
async def test_a_call_that_ignores_its_cancellation_delays_the_close_by_two_seconds_at_most() -> None:
    """Nothing hangs, ever."""
    over = asyncio.Event()

    async def stubborn(_: LoginRecord) -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    kept = scripted(account="a", on_login=stubborn)
    await kept.obtain()
    await kept.lifecycle.aclose()
    assert now() <= 2 * CANCEL_GRACE
    over.set()
    await settle()


@pytest.mark.parametrize("call", ["aclose", "logout"])
@virtual_time
async def test_the_hook_may_end_its_owner(call: str) -> None:
    """As after rejected credentials: neither call waits for the hook that makes it."""
    done: list[float] = []

    async def on_login(_: LoginRecord) -> None:
        await getattr(kept.lifecycle, call)()
        done.append(now())

    kept = scripted(CredentialsRejectedError("no"), account="a", on_login=on_login)
    with pytest.raises(LoginError):
        await kept.obtain()
    await settle()
    assert done == [0.0]


def test_a_login_that_ends_with_its_loop_leaves_nothing_to_run() -> None:
    """An application that does not close its owner gets no warning of a task that was destroyed."""
    problems: list[Any] = []
    records: list[LoginRecord] = []
    kept: list[Keeper] = []
    tasks: list[asyncio.Future[Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: problems.append(context))
        kept.append(Keeper(ScriptedLogin(seconds=10), Account(), on_login=records.append))
        tasks.append(asyncio.ensure_future(kept[0].obtain()))
        await settle()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner, warnings.catch_warnings():
        warnings.simplefilter("error")
        runner.run(main())
    gc.collect()
    assert (problems, records) == ([], [])
