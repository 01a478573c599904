"""A caller whose time is up while it waits for a login is told what the login has met."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import aiohttp
import pytest

from exterview_auth import LoginContext, LoginUnavailableError, MemoryStore, Token
from tests.kit.api import PLAIN, post, scene, signed_in, until

SHORT = aiohttp.ClientTimeout(total=0.2)


def notes(error: BaseException | None) -> list[str]:
    return list(getattr(error, "__notes__", ()))


async def late(request: Any) -> TimeoutError:
    """Return the timeout in which *request* ends, which must not wait for the login that never does."""
    task = asyncio.ensure_future(request)
    await asyncio.wait([task], timeout=20)
    assert task.done()
    with pytest.raises(TimeoutError) as caught:
        task.result()
    return caught.value


@pytest.mark.parametrize("when", ["first", "refused", "its body made"])
@PLAIN
async def test_a_timeout_says_how_long_the_request_waited_and_for_what(when: str, *, plain: bool) -> None:
    """Aiohttp's own error, with a note, also on its cause; the login goes on for others."""
    async with signed_in(plain=plain) as at:
        at.login.gate.clear()
        if when == "first":
            at.auth.invalidate(await at.auth.token())
        else:
            at.api.revoke()
        options: dict[str, Any] = {"data": lambda: b"{}"} if when == "its body made" and not plain else {}
        error = await late(at.post(timeout=SHORT, **options))
        (note,) = notes(error)
        assert note.startswith("the request waited 0.")
        assert note.endswith(" s for a login, which has not been answered yet")
        assert note in "".join(traceback.format_exception(error))
        assert error.__cause__ is None or notes(error.__cause__) == [note]
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]  # in a task
        at.login.gate.set()
        assert (await at.post())[0] == 200


@PLAIN
async def test_a_timeout_quotes_what_the_login_has_failed_with(*, plain: bool) -> None:
    """The attempts before, in the words of their error."""

    async def unavailable(_context: LoginContext) -> Token:
        raise LoginUnavailableError("the login endpoint is on holiday")

    async with scene(plain=plain, login=unavailable) as at:
        error = await late(at.post(timeout=SHORT))
        assert notes(error)[0].endswith("for a login, which has met: the login endpoint is on holiday")


@PLAIN
async def test_a_timeout_names_the_login_of_another_owner(*, plain: bool) -> None:
    """Where one store serves several, the wait may be for the account's lock."""
    store = MemoryStore()
    async with scene(plain=plain, store=store, account="a") as at, store.lock(at.auth._keeper.account.name):
        error = await late(at.post(timeout=SHORT))
        assert notes(error)[0].endswith("for a login, which waits for another process's login")


@PLAIN
async def test_a_cancellation_stays_one(*, plain: bool) -> None:
    """A caller that is cancelled, by a timeout of its own too, is not told that aiohttp's time is up."""
    async with signed_in(plain=plain) as at:
        at.login.gate.clear()
        at.api.revoke()
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.2):
                await at.post()
        assert notes(caught.value) == []
        task = asyncio.ensure_future(at.post(timeout=SHORT))
        await until(lambda: at.auth.stats().waiting == 1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        at.login.gate.set()


async def test_a_timeout_in_a_task_of_another_middleware_is_left_to_aiohttp() -> None:
    """A middleware may send in a task of its own, which aiohttp's timer does not know."""

    async def apart(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        return await asyncio.create_task(handler(request))  # type: ignore[arg-type]  # a coroutine

    async with signed_in() as at, aiohttp.ClientSession(middlewares=(apart, at.auth)) as http:
        at.login.gate.clear()
        at.api.revoke()
        error = await late(post(http, at.api.endpoint, timeout=SHORT))
        assert isinstance(error.__cause__, asyncio.CancelledError)
        at.login.gate.set()
