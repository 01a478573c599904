"""Credentials, accounts and numbers are checked before anything is sent."""

from __future__ import annotations

import math
from typing import Any

import pytest

from exterview_auth import ConfigurationError
from exterview_auth._options import (
    ABOVE_ZERO,
    LONGEST,
    checked_account,
    checked_api_key,
    header_options,
    number,
    owner_options,
    path_option,
    text_option,
    whole_number,
)


class NamedLogin:
    """A login that knows whom it logs in."""

    def __init__(self, identity: str | None) -> None:
        self.identity = identity


@pytest.mark.parametrize("key", ["", "a b", "key\n", "k\u00e9y", None, 5, b"key"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(key: Any) -> None:
    """The API key is visible ASCII text; the error does not quote it."""
    with pytest.raises(ConfigurationError, match=r"^api_key must be .*not empty$") as caught:
        checked_api_key(key)
    assert "key\n" not in str(caught.value)
    assert checked_api_key("org-1") == "org-1"


def test_the_account_is_the_given_name_or_the_logins_own() -> None:
    """A given name outranks the login's identity, and without a store none is needed."""
    assert checked_account("team", NamedLogin("user@example.com"), shared=True) == "team"
    assert checked_account(None, NamedLogin("user@example.com"), shared=True) == "user@example.com"
    assert checked_account(None, object(), shared=False) == ""
    assert checked_account("team", object(), shared=True) == "team"


def test_an_identity_is_text() -> None:
    """A login that names its account in any other way would mix accounts up."""
    with pytest.raises(ConfigurationError, match="a login's identity must be the account's name as text, not int"):
        checked_account(None, NamedLogin(7), shared=True)  # type: ignore[arg-type]  # what is refused


@pytest.mark.parametrize("login", [object(), NamedLogin(None), NamedLogin("")], ids=["none", "null", "empty"])
def test_a_shared_store_needs_an_account(login: object) -> None:
    """Two nameless accounts must not share one token: a store with neither name nor identity is an error."""
    with pytest.raises(ConfigurationError, match="account="):
        checked_account(None, login, shared=True)


def test_numbers_become_renewal_options() -> None:
    """Timeout, window and budget are kept as numbers; a window of zero means never."""
    options = owner_options(30, 0, [3, 10])
    assert options == (30.0, 0.0, (3, 10.0))
    assert all(type(value) is float for value in (*options[:2], options.max_logins[1]))


@pytest.mark.parametrize(
    ("argument", "value", "rule"),
    [
        (0, 0, "login_timeout must be a positive number of seconds, not 0"),
        (1, -0.1, "refresh_ahead must be a number of seconds, 0 for never, not -0.1"),
        (2, (0, 60), "the count in max_logins must be a whole number, at least 1, not 0"),
        (2, (5.0, 60), "the count in max_logins must be a whole number, at least 1, not 5.0"),
        (2, (10**30, 60), f"the count in max_logins must be a whole number, at least 1, not {10**30}"),
        (2, (5, 0), "the seconds in max_logins must be a positive number, not 0"),
        (2, (5,), "max_logins must be a count and seconds such as (5, 60.0), not (5,)"),
        (2, (5, 60, 1), "max_logins must be a count and seconds such as (5, 60.0), not (5, 60, 1)"),
        (2, "56", "max_logins must be a count and seconds such as (5, 60.0), not '56'"),
    ],
)
def test_a_wrong_number_is_named(argument: int, value: Any, rule: str) -> None:
    """The `ConfigurationError` names the argument, what it must be, and what it is."""
    arguments: list[Any] = [30.0, 0.0, (5, 60.0)]
    arguments[argument] = value
    with pytest.raises(ConfigurationError) as caught:
        owner_options(*arguments)
    assert str(caught.value) == rule


@pytest.mark.parametrize(
    "value",
    [-1, math.nan, math.inf, LONGEST + 1, 10**400, 10**5000, "30", None, True],
    ids=lambda value: repr(value)[:5] if value != 10**5000 else "long",
)
def test_what_is_not_a_number_in_range_is_refused(value: Any) -> None:
    """NaN, infinity, text, and booleans are not numbers; a number beyond all bounds raises nothing but `ConfigurationError`."""
    with pytest.raises(ConfigurationError, match=r"^it must be "):
        number(value, "it must be a number")
    with pytest.raises(ConfigurationError, match=r"^it must be "):
        whole_number(value, "it must be whole", 0, LONGEST)


def test_what_cannot_be_written_is_named_by_its_type() -> None:
    """An argument's own broken ``repr`` does not take the place of the refusal."""

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("broken")

    for check in (lambda: number(Broken(), "it must be a number"), lambda: owner_options(1, 1, Broken())):
        with pytest.raises(ConfigurationError, match=r", not Broken$"):
            check()


def test_bounds_are_included() -> None:
    """The smallest and the largest allowed numbers are taken."""
    assert number(ABOVE_ZERO, "", ABOVE_ZERO) > 0
    assert number(10**9, "") == LONGEST
    assert (whole_number(1, "", 1, 2), whole_number(2, "", 1, 2), whole_number(10**30, "", 1)) == (1, 2, 10**30)


@pytest.mark.parametrize("headers", ["text", {"a b": "x"}, {"a": "x\r\ny"}, {"a": 1}, {1: "x"}])
def test_headers_that_cannot_be_sent_are_refused_unseen(headers: Any) -> None:
    """The value is not in the message."""
    with pytest.raises(ConfigurationError, match=r"^headers(?!.*x\r)"):
        header_options(headers)


@pytest.mark.parametrize("value", [None, 1, "", "  ", "\ud800"])
def test_a_text_option_is_text_that_is_not_blank(value: object) -> None:
    """The option is named."""
    with pytest.raises(ConfigurationError, match=r"^option"):
        text_option(value, "option")


def test_a_path_has_no_empty_steps() -> None:
    """``None`` has no steps; a dotted path has several."""
    assert path_option(None, "token_field") == ()
    assert path_option("a.b", "token_field") == ("a", "b")
    for wrong in ("a..b", ".a", "", 1):
        with pytest.raises(ConfigurationError, match=r"^token_field"):
            path_option(wrong, "token_field")
