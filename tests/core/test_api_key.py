"""The API key, fixed or read again from a callable."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from exterview_auth import ConfigurationError, LoginError
from exterview_auth._core.api_key import ApiKey


async def test_a_fixed_key_is_known_at_once() -> None:
    """A fixed key is there before the first read, never prints itself, and reading changes nothing."""
    key = ApiKey("org-1")
    for _ in range(2):
        assert key.value == "org-1"
        assert repr(key.value) == "'***'"
        await key.read()


@pytest.mark.parametrize("key", ["", "a b", "key\n", None, 5, b"key"])
def test_a_wrong_fixed_key_is_refused_at_once(key: Any) -> None:
    """A key that no header can carry is an error when the owner is created."""
    with pytest.raises(ConfigurationError, match=r"^api_key must be"):
        ApiKey(key)


async def test_a_callable_is_read_each_time() -> None:
    """A callable's key is empty until the first read; a rotated key is picked up without a restart."""
    keys = iter(["first", "second"])
    key = ApiKey(lambda: next(keys))
    assert key.value == ""
    for expected in ("first", "second"):
        await key.read()
        assert key.value == expected
        assert repr(key.value) == "'***'"


@pytest.mark.parametrize("wrong", ["", "s3cret key", None, 5])
async def test_a_callable_that_returns_no_key_is_a_login_error(wrong: Any) -> None:
    """The error shows nothing of what was returned, and the last key stays."""
    answers = iter(["good", wrong])
    key = ApiKey(lambda: next(answers))
    await key.read()
    with pytest.raises(LoginError, match=r"^the api_key callable returned no key: api_key must be") as caught:
        await key.read()
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert key.value == "good"


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """The causes of *error*, the nearest first."""
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
        yield error


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (OSError("s3cret"), r"^the api_key callable ended in OSError; see the error that is chained to it$"),
        (
            asyncio.CancelledError(),
            r"^the api_key callable ended in CancelledError; see the error that is chained to it$",
        ),
        (
            GeneratorExit("s3cret"),
            r"^the api_key callable ended in GeneratorExit; see the error that is chained to it$",
        ),
    ],
)
async def test_a_callable_that_raises_is_a_login_error(failure: BaseException, sentence: str) -> None:
    """The application's error is chained, and its text, which may hold a key, is not repeated; no caller is cancelled."""

    async def broken() -> str:
        raise failure

    with pytest.raises(LoginError, match=sentence) as caught:
        await ApiKey(broken).read()
    assert type(failure) in map(type, causes_of(caught.value))
