"""What is left of a refused argument: an error without the frames that held it, and perhaps an object that was not finished."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientSession

from exterview_auth import (
    AuthPool,
    AuthSession,
    ConfigurationError,
    ExterviewAuth,
    FileStore,
    LoginContext,
    MemoryStore,
    OAuth2Login,
    PasswordLogin,
    RedisStore,
    StaticLogin,
    Token,
)
from exterview_auth._refusals import discreet

PUBLIC = [
    AuthPool, AuthSession, ExterviewAuth, FileStore, LoginContext, MemoryStore, OAuth2Login, PasswordLogin, RedisStore, StaticLogin,
    Token,
]  # fmt: skip


@pytest.mark.parametrize("kind", PUBLIC)
def test_an_object_whose_constructor_refused_its_arguments_has_a_repr(kind: type) -> None:
    """Tools show ``self``, and an error of theirs would hide the refusal."""
    assert repr(object.__new__(kind)) == f"<{kind.__name__}, not constructed>"


@pytest.mark.parametrize("kind", PUBLIC)
def test_a_constructors_help_leads_to_its_class(kind: type) -> None:
    """Not ``object``'s "Initialize self"."""
    assert inspect.getdoc(kind.__init__) == "Take the arguments that the class's docstring explains."  # type: ignore[misc]


@pytest.mark.parametrize("kind", PUBLIC)
def test_a_constructor_says_what_it_takes(kind: type) -> None:
    """For editors, ``help()`` and `from_env`."""
    kinds = {parameter.kind for parameter in inspect.signature(kind).parameters.values()}
    assert inspect.Parameter.VAR_POSITIONAL not in kinds
    assert kind.__init__.__qualname__ == f"{kind.__name__}.__init__"  # type: ignore[misc]


def refuse(_value: object) -> None:
    """A call that refuses its argument, from another error."""
    try:
        int("s3cr3t")
    except ValueError:
        raise ConfigurationError("it is wrong") from None


async def refuse_later(value: object) -> None:
    refuse(value)


@pytest.mark.parametrize("call", [refuse, refuse_later])
def test_a_refusal_comes_without_the_frames_that_held_the_argument(call: Callable[[object], Any]) -> None:
    """Only the caller's frames are left, and one that has forgotten the arguments but still has their names."""
    refused = discreet(call)("s3cr3t") if call is refuse_later else None
    with pytest.raises(ConfigurationError, match=r"^it is wrong$") as caught:
        discreet(call)("s3cr3t") if refused is None else asyncio.run(refused)
    frame = caught.traceback[-1].frame
    assert (frame.f_locals["args"], frame.f_locals["options"]) == ((), {})
    assert frame.code.name.startswith("discreetly")
    assert caught.value.__context__ is None


def test_a_refusal_within_a_handler_keeps_the_callers_own_error() -> None:
    """What the caller handles at that moment stays the context, as with any error."""

    def call() -> None:
        try:
            int("the caller's own")
        except ValueError:
            Token("two words")

    with pytest.raises(ConfigurationError) as caught:
        call()
    assert isinstance(caught.value.__context__, ValueError)
    assert not caught.value.__suppress_context__


def test_other_errors_keep_their_frames() -> None:
    """A mistake of the library itself, or of a mapping that was handed in, must be found."""

    @discreet
    def fail(_value: object) -> None:
        raise RuntimeError("a mistake")

    with pytest.raises(RuntimeError) as caught:
        fail("s3cr3t")
    assert [entry.name for entry in caught.traceback][-2:] == ["discreetly", "fail"]
    assert "s3cr3t" not in str(caught.traceback[-2].frame.f_locals)


async def test_tools_that_look_up_arguments_by_name_find_them() -> None:
    """As ``cgitb`` does, with ``inspect.formatargvalues``, in each frame of a refusal."""
    doors: list[Callable[[], Any]] = [
        lambda: ExterviewAuth.from_env({"EXTERVIEW_ENVIRONMENT": "nowhere"}),
        lambda: ExterviewAuth(StaticLogin("t"), api_key="k", endpoint="nowhere"),
    ]
    async with ClientSession() as http:
        doors.append(lambda: AuthSession(http, None))  # type: ignore[arg-type]
        for door in doors:
            with pytest.raises(ConfigurationError) as caught:
                door()
            for entry in caught.traceback:
                inspect.formatargvalues(*inspect.getargvalues(entry.frame.raw))
