"""The error tree, and what an error carries on its way."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from exterview_auth import errors
from exterview_auth._seconds import MAX_SECONDS
from exterview_auth.errors import (
    ApiError,
    BadRequestError,
    ConfigurationError,
    CredentialsRejectedError,
    ExterviewAuthError,
    ForbiddenError,
    GraphQLError,
    LoginBudgetExceededError,
    LoginError,
    LoginUnavailableError,
)

TREE: dict[type[Exception], type[Exception]] = {
    ExterviewAuthError: aiohttp.ClientError,
    ConfigurationError: ExterviewAuthError,
    errors.InsecureTransportError: ConfigurationError,
    errors.ReentrantLoginError: ConfigurationError,
    LoginError: ExterviewAuthError,
    CredentialsRejectedError: LoginError,
    LoginUnavailableError: LoginError,
    LoginBudgetExceededError: LoginError,
    errors.LoggedOutError: ExterviewAuthError,
    errors.ClosedError: ExterviewAuthError,
    errors.StoreError: ExterviewAuthError,
    ApiError: ExterviewAuthError,
    BadRequestError: ApiError,
    errors.UnauthorizedError: ApiError,
    ForbiddenError: ApiError,
    GraphQLError: ApiError,
}
GRAPHQL = GraphQLError("no", status=200, errors=[{"message": "no"}], data={"a": 1})
CARRYING: list[ExterviewAuthError] = [
    ConfigurationError("set it"),
    CredentialsRejectedError("no", reason="user"),
    LoginUnavailableError("later", retry_after=2.5, status=429),
    LoginBudgetExceededError("stop", retry_after=7.0),
    BadRequestError("bad", status=400),
    ApiError("slow down", status=429, retry_after=30.0),
    GRAPHQL,
]


def named(error: object) -> str:
    """The test's id."""
    return type(error).__name__


class AccountLockedError(CredentialsRejectedError):
    """A subclass of an application, with other constructor arguments."""

    def __init__(self, *, until: str) -> None:
        super().__init__(f"locked until {until}", reason="user")
        self.until = until


def test_the_error_tree_is_the_contracts() -> None:
    """Each error has the parent that the contract's tree gives it; the module lists, describes and draws them all."""
    assert {error: error.__base__ for error in TREE} == TREE
    public = [
        value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, ExterviewAuthError)
    ]
    assert errors.__all__ == sorted(error.__name__ for error in TREE) == sorted(error.__name__ for error in public)
    assert all(error.__doc__ and error.__name__ in str(errors.__doc__) for error in TREE)


def test_login_errors_need_no_arguments() -> None:
    """A login may raise them as they are: each has a default message, and nothing to carry."""
    assert str(CredentialsRejectedError()) == "the credentials were rejected"
    assert str(LoginUnavailableError()) == "the login endpoint is not available"
    assert CredentialsRejectedError().reason is None
    assert (LoginUnavailableError().retry_after, LoginUnavailableError().status) == (None, None)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("5", 5.0), (7, 7.0), (0.5, 0.5), (math.inf, MAX_SECONDS), (10**400, MAX_SECONDS),
        (None, None), (0, None), (-5, None), (math.nan, None), (True, None), ("soon", None), (timedelta(seconds=5), None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [LoginUnavailableError, LoginBudgetExceededError])
def test_retry_after_is_a_positive_number_of_seconds_or_none(
    kind: Callable[..., LoginUnavailableError], given: Any, seconds: float | None
) -> None:
    """Whatever a login hands in, each handler can wait for so many seconds."""
    assert kind("busy", retry_after=given).retry_after == seconds


def test_api_errors_carry_status_and_message() -> None:
    """``status``, ``message``, ``errors`` and ``data`` are what the server said."""
    error = ForbiddenError("no permission", status=403)
    assert (error.args, error.message, error.status) == (("no permission",), "no permission", 403)
    assert (GRAPHQL.status, GRAPHQL.errors, GRAPHQL.data) == (200, [{"message": "no"}], {"a": 1})


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ApiError("upstream is down", status=503), "HTTP 503: upstream is down"),
        (ForbiddenError("no permission", status=403), "HTTP 403: no permission"),
        (ApiError("the API answered 429", status=429), "the API answered 429"),
        (GraphQLError("no such field", status=400, errors=[], data=None), "HTTP 400: no such field"),
        (GRAPHQL, "no"),
    ],
    ids=repr,
)
def test_the_text_of_an_api_error_begins_with_its_status(error: ApiError, says: str) -> None:
    """A line of a log says what happened; neither a success nor a status in the library's own words is said again."""
    assert str(error) == says
    assert str(pickle.loads(pickle.dumps(error))) == str(error.copy_for_waiter()) == says


@pytest.mark.parametrize("error", CARRYING, ids=named)
def test_an_error_survives_pickling_and_copying(error: ExterviewAuthError) -> None:
    """Errors cross process borders and copies with type, sentence and fields."""
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert twin.args == error.args
        assert vars(twin) == vars(error)


@pytest.mark.parametrize("error", [*CARRYING, AccountLockedError(until="noon")], ids=named)
def test_each_waiter_gets_an_equal_copy(error: ExterviewAuthError) -> None:
    """Every waiter gets the same typed error and cause, also of an application's subclass."""
    cause = OSError("down")
    error.__cause__ = cause
    twin = error.copy_for_waiter()
    assert twin is not error
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)
    assert twin.__cause__ is cause
    assert twin.__suppress_context__


def test_a_waiters_traceback_and_notes_are_its_own() -> None:
    """What one waiter adds to its error does not show in the copy of the next."""
    shared = LoginError("failed")
    shared.add_note("seen by all")
    with pytest.raises(LoginError) as caught:
        raise shared.copy_for_waiter()
    caught.value.add_note("seen by one")
    next_one = shared.copy_for_waiter()
    assert shared.__traceback__ is next_one.__traceback__ is None
    assert next_one.__notes__ == ["seen by all"]
