"""Which refresh tokens lie in a store: those that a login could present."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from exterview_auth import ExterviewAuth, LoginContext, MemoryStore, OAuth2Login, PasswordLogin, StaticLogin, Token
from tests.kit.login_endpoint import EMAIL, KEY, PASSWORD, SECRET, Reply, login_endpoint

ACCOUNT = "ada"
FINE = Reply(
    200,
    {
        "data": {"login": {"token": "t-1", "refreshToken": "r-1", "expiresIn": 60}},
        "access_token": "t-1",
        "refresh_token": "r-1",
        "expires_in": 60,
    },
)


class Own:
    """An application's own login, which says nothing of refresh tokens."""

    async def __call__(self, _context: LoginContext) -> Token:
        """Return a token with a refresh token."""
        return Token("t-1", refresh_token="r-1", expires_in=60)


class Plain(Own):
    """One that never presents them."""

    presents_refresh_tokens = False


@pytest.mark.parametrize(
    ("make", "stored"),
    [
        (lambda _: PasswordLogin(EMAIL, PASSWORD), None),
        (lambda _: StaticLogin(Token("t-1", refresh_token="r-1", expires_in=60)), None),
        (lambda _: Plain(), None),
        (lambda _: Own(), "r-1"),
        (lambda url: OAuth2Login(url, "client", SECRET), "r-1"),
    ],
    ids=["password", "static", "own, without", "own", "oauth2"],
)
async def test_a_refresh_token_that_nobody_presents_is_not_stored(
    make: Callable[[Any], Any], stored: str | None
) -> None:
    """A secret that lies in a store for nothing can only be stolen from it; `on_token` is given it all the same."""
    store, given = MemoryStore(), []

    def on_token(new: Token, _old: object, _reason: object) -> None:
        given.append(new.refresh_token)

    async with (
        login_endpoint(FINE) as endpoint,
        ExterviewAuth(
            make(endpoint.url), api_key=KEY, endpoint=endpoint.url, store=store, account=ACCOUNT, on_token=on_token
        ) as auth,
    ):
        assert (await auth.token()).refresh_token == "r-1"
        (entry,) = store._entries.values()
        assert (entry.token.value, entry.token.refresh_token) == ("t-1", stored)
        assert entry.token.expires_in == pytest.approx(60, abs=10)
        assert given == ["r-1"]
