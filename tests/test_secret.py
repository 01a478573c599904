"""A secret goes out as it is, and never prints itself."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict, istr
from yarl import URL

from exterview_auth import LoginContext, Token
from exterview_auth._secret import Secret, is_header_safe

TEXT = "s3cr3t-value"


@dataclasses.dataclass
class Holder:
    """A container as an application would write it."""

    secret: str


def in_containers(secret: Secret) -> list[object]:
    """The secret in everything that prints its content with ``repr``."""
    return [
        secret,
        [secret],
        (secret,),
        {secret},
        {"key": secret},
        {secret: 1},
        Holder(secret),
        CIMultiDict({istr("x-api-key"): secret}),
        ValueError(secret).args,
    ]


def token(text: str) -> Token:
    """A token whose value and refresh token are both *text*."""
    return Token(text, expires_in=60, refresh_token=text)


def login_context(text: str) -> LoginContext:
    """A login's surroundings, full of secrets."""

    def no_session() -> Any:
        raise AssertionError("no session is needed")

    return LoginContext(session=no_session, endpoint=URL("http://localhost/"), api_key=text, previous=token(text))


@pytest.mark.parametrize("container", in_containers(Secret(TEXT)), ids=lambda c: type(c).__name__)
def test_no_container_prints_a_secret(container: object) -> None:
    """The repr of a secret, alone and in any container, shows none of its text."""
    assert TEXT not in repr(container)
    assert "'***'" in repr(container)
    assert TEXT not in f"{container!r}"


def test_a_secret_stays_the_text_that_goes_out() -> None:
    """As text, in JSON, in bytes, in comparisons and in copies a secret is what it was made from."""
    secret = Secret(TEXT)
    assert secret == str(secret) == TEXT
    assert f"Bearer {secret}" == f"Bearer {TEXT}"
    assert json.dumps(secret) == f'"{TEXT}"'
    assert secret.encode() == TEXT.encode()
    assert hash(secret) == hash(TEXT)
    assert copy.copy(secret) is copy.deepcopy([secret])[0] is secret


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("make", [Secret, token, login_context], ids=["Secret", "Token", "LoginContext"])
def test_secrets_are_not_pickled(make: Callable[[str], object], protocol: int) -> None:
    """Every holder of a secret refuses every pickle protocol, in a sentence that does not hold it."""
    holder = make(TEXT)
    with pytest.raises(TypeError, match=f"^{type(holder).__name__} holds a secret and cannot be pickled") as caught:
        pickle.dumps([holder], protocol)
    assert TEXT not in str(caught.value)


@pytest.mark.parametrize("make", [token, login_context], ids=["Token", "LoginContext"])
def test_holders_never_print_their_secrets(make: Callable[[str], object]) -> None:
    """``repr``, ``str``, formatting and ``%r`` of what holds a secret show none of its text."""
    holder = make(TEXT)
    for shown in (repr(holder), str(holder), f"{holder}", "%r" % (holder,), "%s" % (holder,), repr([holder])):  # noqa: UP031 - the forms that loggers use
        assert TEXT not in shown
        assert "***" in shown


def test_logs_and_exceptions_show_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """``%r`` of a secret in a log record, and the repr of an exception about one, print as stars."""
    secret = Secret(TEXT)
    logging.getLogger("app").warning("key %r in %r for %s", secret, {"a": secret}, Token(TEXT))
    assert TEXT not in caplog.text
    assert caplog.text.count("***") == 3
    assert TEXT not in repr(ValueError(secret))


@given(st.text(max_size=20))
@example("")
@example("!~")
@example("a\nb")
@example("a\x7f")
@example("\ud800")
def test_header_safe_text_is_visible_ascii_in_one_word(text: str) -> None:
    """Only text that is not empty, and of nothing but ``!`` to ``~``, can be sent in a header."""
    assert is_header_safe(text) == (text != "" and all("!" <= letter <= "~" for letter in text))


def test_a_login_opens_its_session_when_it_asks_for_it() -> None:
    """A login that needs no network opens no session, and one that does gets the same each time."""
    made: list[Any] = []

    def make() -> Any:
        made.append(object())
        return made[-1]

    context = LoginContext(session=make, endpoint=URL("http://localhost/"), api_key="key")
    assert context.opened_session is None
    assert made == []
    assert context.session is context.session
    assert made == [context.opened_session]
