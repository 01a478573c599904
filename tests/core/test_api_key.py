"""The API key, fixed or read anew."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import pytest

from exterview_auth import ConfigurationError, LoginError
from exterview_auth._core.api_key import ApiKey


@pytest.mark.asyncio
async def test_a_fixed_key_is_known_at_once() -> None:
    """A fixed key is there before the first read, never prints itself, and reading changes nothing."""
    key = ApiKey("org-1")
    assert key.value == "org-1"
    assert repr(key.value) == "'***'"
    await key.read()
    assert key.value == "org-1"


@pytest.mark.parametrize("key", ["", "a b", "key\n", None, 5, b"key"])
def test_a_wrong_fixed_key_is_refused_at_once(key: Any) -> None:
    """What no header can carry is an error when the owner is made."""
    with pytest.raises(ConfigurationError, match=r"^api_key must be"):
        ApiKey(key)


@pytest.mark.asyncio
async def test_a_callable_is_read_anew_each_time() -> None:
    """A rotated key is picked up with no restart; sync and async callables, and sync ones that return awaitables, count."""

    async def later() -> str:
        return next(keys)

    keys = iter(["first", "second", "third", "fourth"])
    for source in (lambda: next(keys), later, lambda: later()):  # noqa: PLW0108 - the form that users write
        key = ApiKey(source)
        assert key.value == ""
        await key.read()
        first = str(key.value)
        assert repr(key.value) == "'***'"
    await key.read()
    assert (first, key.value) == ("third", "fourth")


@pytest.mark.asyncio
async def test_a_sync_callable_does_not_hold_up_the_loop() -> None:
    """Lesson 40: a callable that blocks runs in a thread."""
    gate = threading.Event()

    def slow() -> str:
        assert gate.wait(5)
        return "key"

    key = ApiKey(slow)
    reading = asyncio.ensure_future(key.read())
    await asyncio.sleep(0.01)
    assert not reading.done()
    gate.set()
    await reading
    assert key.value == "key"


@pytest.mark.asyncio
@pytest.mark.parametrize("wrong", ["", "s3cret key", None, 5])
async def test_a_callable_that_gives_no_key_is_a_login_error(wrong: Any) -> None:
    """The error shows nothing of what was given, and the key that was known stays."""
    answers = iter(["good", wrong])
    key = ApiKey(lambda: next(answers))
    await key.read()
    with pytest.raises(LoginError, match=r"^the api_key callable returned no key: api_key must be") as caught:
        await key.read()
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert key.value == "good"


@pytest.mark.asyncio
async def test_a_callable_that_raises_is_a_login_error_with_its_cause() -> None:
    """What the application's own code raises is chained, and its text, which may hold a key, is not repeated."""
    failure = OSError("s3cret")

    def broken() -> str:
        raise failure

    with pytest.raises(LoginError, match=r"^the api_key callable ended in OSError$") as caught:
        await ApiKey(broken).read()
    assert caught.value.__cause__ is failure


@pytest.mark.asyncio
async def test_a_source_that_swallows_its_cancellation_holds_nobody_up() -> None:
    """Rule 6: nothing hangs; what does not let itself be cancelled is left behind."""
    release = asyncio.Event()

    async def stubborn() -> str:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        return "too late"

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await ApiKey(stubborn).read()
    release.set()
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_a_source_that_cancels_itself_is_named() -> None:
    """One clear sentence, and the caller is not cancelled."""

    async def cancels() -> str:
        raise asyncio.CancelledError

    with pytest.raises(LoginError, match=r"^the api_key callable ended by cancelling itself$"):
        await ApiKey(cancels).read()
