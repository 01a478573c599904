"""StaticLogin: fixed tokens, files and callables, re-read at each login."""

from __future__ import annotations

import asyncio
import copy
import functools
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from yarl import URL

from exterview_auth._token import Token
from exterview_auth.errors import ConfigurationError
from exterview_auth.logins import StaticLogin
from exterview_auth.logins import _static as static_module
from exterview_auth.logins._context import LoginContext

VALUE = "t-0123456789"


def no_session() -> ClientSession:
    raise AssertionError("a static login needs no network")


async def log_in(login: StaticLogin, previous: Token | None = None) -> Token:
    return await login(
        LoginContext(session=no_session, endpoint=URL("https://api.example"), api_key="k", previous=previous)
    )


async def async_source() -> str:
    await asyncio.sleep(0)
    return VALUE


class CallableObject:
    async def __call__(self) -> Token:
        return Token(VALUE)


def blocking_source(prefix: str) -> str:
    assert threading.current_thread() is not threading.main_thread()
    return prefix + VALUE[2:]


@pytest.mark.parametrize(
    "source",
    [
        VALUE,
        f"Bearer {VALUE}\n",
        Token(VALUE),
        lambda: VALUE + "\n",
        lambda: Token(VALUE),
        async_source,
        CallableObject(),
        functools.partial(blocking_source, "t-"),
        functools.partial(async_source),
    ],
)
async def test_every_source_gives_its_token(source: Any) -> None:
    """Text, a Token, and callables of either kind that return either; the refused value comes back as itself."""
    login = StaticLogin(source)
    token = await log_in(login)
    assert token.value == VALUE
    assert login.identity is None
    previous = Token(VALUE)
    assert await log_in(login, previous) is previous
    assert await log_in(login, Token("another")) is not previous


async def test_a_callable_is_asked_again_at_each_login() -> None:
    """After a 401 the newer token is found."""
    values = iter(["a", "a", "b"])
    login = StaticLogin(lambda: next(values))
    first = await log_in(login)
    assert await log_in(login, first) is first
    assert (await log_in(login, first)).value == "b"


@pytest.mark.parametrize("returned", [None, 7, b"x", {"token": VALUE}])
async def test_a_callable_that_returns_no_token_is_told(returned: Any) -> None:
    """By type; the value is not in the sentence."""
    with pytest.raises(ConfigurationError, match=f"returned {type(returned).__name__}; let it return") as caught:
        await log_in(StaticLogin(lambda: returned))
    assert VALUE not in str(caught.value)


@pytest.mark.parametrize("make", [Path, str])
async def test_a_file_is_read_at_each_login(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    """It may end in a newline, and begin with a byte order mark or with Bearer."""
    path = tmp_path / "token"
    login = StaticLogin(path) if make is Path else StaticLogin.from_file(make(path))
    path.write_text("first\r\n")
    first = await log_in(login)
    assert first.value == "first"
    assert await log_in(login, first) is first
    path.write_bytes(b"\xef\xbb\xbfBearer second\r\n")
    assert (await log_in(login, first)).value == "second"


async def test_a_file_that_is_empty_or_missing_for_a_moment_keeps_the_old_value(tmp_path: Path) -> None:
    """Rotation is not always atomic."""
    path = tmp_path / "token"
    login = StaticLogin(file=path)
    path.write_text("first\n")
    first = await log_in(login)
    for spoil in (path.unlink, path.touch, lambda: path.write_bytes(b"\xff"), lambda: path.write_text("a b")):
        spoil()
        assert await log_in(login, first) is first
        assert (await log_in(login)).value == "first"
    path.write_text("second")
    assert (await log_in(login, first)).value == "second"


async def test_a_file_that_was_never_read_keeps_the_token_that_is_there(tmp_path: Path) -> None:
    """One from a store, say."""
    previous = Token("adopted")
    assert await log_in(StaticLogin(tmp_path / "absent"), previous) is previous


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read (No such file or directory); check its path, and who may read it"),
        (b"", "is empty; put the bearer token into it"),
        (b"\xef\xbb\xbf \r\n", "is empty; put the bearer token into it"),
        ("token\r\n".encode("utf-16"), "is in UTF-16, as PowerShell writes it; save it as UTF-8"),
        ("token\r\n".encode("utf-16-le"), "is in UTF-16, as PowerShell writes it; save it as UTF-8"),
        (b"caf\xe9", "is not text in UTF-8; save it as UTF-8"),
    ],
)
async def test_a_file_without_a_token_at_first_is_named(tmp_path: Path, content: bytes | None, why: str) -> None:
    """The sentence has the path and the reason, and nothing of a file that holds something else."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        await log_in(StaticLogin(path))
    assert str(caught.value) == f"the bearer token's file {path} {why}"
    assert caught.value.__context__ is None
    path.write_text("not a token")
    with pytest.raises(ConfigurationError, match=r"^(?!.*not a token)"):
        await log_in(StaticLogin(path))


async def test_the_life_of_a_fixed_token_goes_on_between_logins(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts from the constructor; at its end only the API can tell whether it serves."""
    now = 1000.0
    monkeypatch.setattr(static_module, "boot_time", lambda: now)
    login = StaticLogin(Token(VALUE, expires_in=60, refresh_token="r"))
    assert (await log_in(login)).expires_in == 60
    now += 45
    token = await log_in(login)
    assert (token.expires_in, token.refresh_token) == (15, "r")
    now += 45
    assert (await log_in(login)).expires_in is None


def test_the_value_is_never_shown(tmp_path: Path) -> None:
    """Neither printed nor pickled; a path is."""
    path = tmp_path / "token"
    shown = {
        StaticLogin(VALUE): "StaticLogin('***')",
        StaticLogin(Token(VALUE)): "StaticLogin('***')",
        StaticLogin(functools.partial(blocking_source, VALUE)): "StaticLogin(<callable>)",
        StaticLogin(path): f"StaticLogin(file={str(path)!r})",
    }
    for login, text in shown.items():
        assert repr(login) == str(login) == text
        for copying in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="holds a secret"):
                copying(login)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((), {}),
        ((VALUE,), {"file": "x"}),
        ((b"t",), {}),
        ((), {"file": 7}),
        ((), {"file": ""}),
        (("a b",), {}),
    ],
)
def test_a_wrong_use_is_one_sentence(arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    """In the constructor, without the value."""
    with pytest.raises(ConfigurationError) as caught:
        StaticLogin(*arguments, **options)
    assert VALUE not in str(caught.value)
