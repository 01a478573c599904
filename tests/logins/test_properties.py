"""Whatever comes back from a login endpoint, nothing but a token or a LoginError comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from exterview_auth._token import Token
from exterview_auth.errors import LoginError
from exterview_auth.logins import PasswordLogin
from exterview_auth.logins._oauth2_response import read_token
from exterview_auth.logins._request import LoginResponse
from exterview_auth.logins._token_search import INSTANT_NAMES, LIFETIME_NAMES, TOKEN_NAMES, seconds_left

SECRET = "s3cret-pass"

GRAPHQL_NAMES = ("refreshToken", "data", "errors", "message", "extensions", "code", "path", "locations")
OAUTH_NAMES = ("error", "error_description", "access_token", "token_type", "expires_in", "refresh_token")
NAMES = st.text(max_size=5) | st.sampled_from(
    (*TOKEN_NAMES, *LIFETIME_NAMES, *INSTANT_NAMES, *GRAPHQL_NAMES, *OAUTH_NAMES)
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([SECRET, "invalid_grant", "UNAUTHENTICATED", "bearer", "Bearer x", "10" * 200])
)  # fmt: skip
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=25
)
STATUSES = st.sampled_from([200, 201, 204, 400, 401, 403, 404, 429, 500, 503])
LOGINS = (PasswordLogin("ada@example.com", SECRET), PasswordLogin("ada@example.com", SECRET, token_field="data.token"))


def judge(status: int, body: bytes, kind: str) -> None:
    """Read *body* as each login does; only a token or a LoginError without the secret may come out."""
    answer = LoginResponse(URL("https://api.example"), status, CIMultiDict({"Retry-After": kind}), body, (SECRET,))
    readers: list[Callable[[], Token]] = [partial(login._read, answer) for login in LOGINS]
    readers += [
        partial(read_token, answer, grant, "old", renewal=renewal)
        for grant in ("password", "refresh_token", "client_credentials")
        for renewal in (True, False)
    ]
    for read in readers:
        result = outcome(read)
        assert SECRET not in str(result)
        assert len(str(result)) < 600


def outcome(read: Callable[[], Token]) -> Token | LoginError:
    try:
        return read()
    except LoginError as error:
        return error


@settings(max_examples=300)
@given(STATUSES, JSON | st.dictionaries(NAMES, JSON, max_size=5), st.text(max_size=10))
def test_any_json_as_an_answer_ends_in_a_token_or_a_login_error(status: int, content: Any, retry: str) -> None:
    """Any type may stand where another is expected."""
    judge(status, json.dumps(content).encode(), retry)


@given(LEAVES, st.sampled_from([*LIFETIME_NAMES, *INSTANT_NAMES, "ttl"]))
def test_any_lifetime_is_positive_or_unknown(value: Any, name: str) -> None:
    """Odd lifetimes are capped or ignored, never fatal."""
    seconds = seconds_left(value, name, 1.7e9)
    assert seconds is None or seconds > 0
