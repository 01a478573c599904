"""The owner itself: its arguments, what it shows, and what it gives to other transports."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import aiohttp
import pytest

from exterview_auth import (
    ClosedError,
    ConfigurationError,
    Credentials,
    ExterviewAuth,
    LoginError,
    MemoryStore,
    PasswordLogin,
    StaticLogin,
    Token,
)
from exterview_auth._options import OwnerOptions
from tests.kit.api import KEY, post, scene, signed_in


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"login": None}, "PasswordLogin"),
        ({"login": 7}, "not int"),
        ({"login": StaticLogin}, "the class StaticLogin; create an instance"),
        ({"api_key": "two words"}, "api_key"),
        ({"endpoint": "prod"}, "'production' or 'sandbox'"),
        ({"origins": "https://a/"}, "brackets"),
        ({"origins": ["http://a/"]}, "HTTPS"),
        ({"origins": None}, "brackets"),
        ({"store": MemoryStore, "account": "a"}, "the class MemoryStore; create an instance"),
        ({"store": object(), "account": "a"}, "store must .* not be object"),
        ({"account": ""}, "account"),
        ({"login_timeout": float("nan")}, "login_timeout"),
        ({"refresh_ahead": "soon"}, "refresh_ahead"),
        ({"max_logins": 5}, "max_logins"),
        ({"on_token": 1}, "on_token"),
        ({"is_unauthorized": 1}, "is_unauthorized"),
        ({"login_session": object()}, "login_session"),
        ({"clock": 1.0}, "clock must be a callable, not float"),
    ],
)
def test_a_wrong_argument_is_one_sentence_before_anything_is_sent(arguments: dict[str, Any], sentence: str) -> None:
    """Bad input: `ConfigurationError` that names the argument and shows no secret."""
    given: dict[str, Any] = {"login": StaticLogin("secret-token"), "api_key": "secret-key", **arguments}
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        ExterviewAuth(**given)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_defaults_are_the_contracts() -> None:
    """30 s for a login, renewal 300 s ahead, five useless logins a minute."""
    renewal = ExterviewAuth(StaticLogin("t"), api_key=KEY)._keeper._renewal
    assert tuple(renewal._account.options) == (30.0, 300.0, (5, 60.0)) == tuple(OwnerOptions())


async def test_an_owner_shows_its_endpoint_account_and_state() -> None:
    """One word for the state, and no secret."""
    async with scene(account="me") as named, scene() as at:
        assert repr(named.auth) == f"<ExterviewAuth {named.api.endpoint!r}, account='me', logged out>"
        known = repr(ExterviewAuth(PasswordLogin("a@b.example", "x"), api_key="k"))
        assert re.search(r", account='a@b.example', events='[0-9a-f]{12}', ", known)
        assert repr(at.auth) == f"<ExterviewAuth {at.api.endpoint!r}, logged out>"
        at.login.gate.clear()
        token = asyncio.create_task(at.auth.token())
        await asyncio.sleep(0)
        assert repr(at.auth).endswith(", logging in>")
        at.login.gate.set()
        await token
        assert repr(at.auth).endswith(", logged in>")
        await at.auth.aclose()
        assert repr(at.auth).endswith(", closed>")


async def test_headers_and_token_serve_other_transports() -> None:
    """The two headers of a request; their values print as stars."""
    async with scene() as at:
        headers = await at.auth.headers()
        assert headers == {"Authorization": "Bearer token-1", "x-api-key": KEY}
        assert repr(headers) == "{'Authorization': '***', 'x-api-key': '***'}"
        assert (await at.auth.token()).value == "token-1"


async def test_credentials_are_a_token_and_the_headers_with_it() -> None:
    """Both from one step, frozen, so that a refusal names the token that was sent; none of it is shown."""
    async with scene() as at:
        first = await at.auth.credentials()
        assert isinstance(first, Credentials)
        assert first.headers == {"Authorization": f"Bearer {first.token.value}", "x-api-key": KEY}
        assert "token-1" not in repr(first)
        assert KEY not in repr(first)
        with pytest.raises(AttributeError):
            first.token = Token("other")  # type: ignore[misc]  # it is frozen
        at.auth.invalidate(first.token)
        second = await at.auth.credentials()
        assert (second.token.value, at.login.count) == ("token-2", 2)
        at.auth.invalidate(first.token)  # a late refusal of the first is none of the second's
        assert (await at.auth.credentials()).token is second.token


def held_by(auth: ExterviewAuth) -> Token | None:
    """Return the owner's current token; the type checker takes it for the same each time."""
    return auth.current


async def test_the_current_token_is_known_without_a_login() -> None:
    """``None`` before the first, once it was refused, invalidated or is over, and after a logout or the end."""
    async with scene() as at:
        assert held_by(at.auth) is None
        token = await at.auth.token()
        assert held_by(at.auth) is token
        at.auth.invalidate(token)
        assert held_by(at.auth) is None
        token = await at.auth.token()
        at.api.revoke()
        at.login.error = ConfigurationError("no more")
        with pytest.raises(LoginError):
            await at.post()
        assert held_by(at.auth) is None
        assert at.login.count == 3
    async with scene(refresh_ahead=0) as at:
        at.login.expires_in = 0.05
        await at.auth.token()
        await asyncio.sleep(0.06)
        assert held_by(at.auth) is None
        at.login.expires_in = None
        assert held_by(at.auth) is None
        token = await at.auth.token()
        assert held_by(at.auth) is token
        await at.auth.logout()
        assert held_by(at.auth) is None
        await at.auth.token()
        await at.auth.aclose()
        assert held_by(at.auth) is None


async def test_every_way_to_take_a_token_uses_it() -> None:
    """An owner whose token is used by other transports continues to renew it ahead of expiry."""
    async with scene() as at:
        for use in (at.auth.token, at.auth.headers, at.auth.credentials, at.post):
            issued = await at.auth._keeper.obtain()
            issued.used = False
            await use()
            assert issued.used is True


async def test_invalidate_takes_a_token() -> None:
    """A text may be any token's: the sentence says what to pass."""
    async with signed_in() as at:
        with pytest.raises(ConfigurationError, match="invalidate takes a Token, not str"):
            at.auth.invalidate("token-1")  # type: ignore[arg-type]  # what is refused
        assert (await at.auth.token()).value == "token-1"


async def test_after_aclose_every_use_raises() -> None:
    """Nothing is sent either, by no client."""
    async with signed_in() as at, aiohttp.ClientSession(middlewares=(at.auth,)) as http:
        assert (await post(http, at.api.endpoint))[0] == 200
        await at.auth.aclose()
        uses = (at.post, at.auth.token, at.auth.headers, at.auth.credentials, at.auth.logout, at.auth.__aenter__)
        for use in (*uses, lambda: post(http, at.api.endpoint)):
            with pytest.raises(ClosedError):
                await use()
        with pytest.raises(ClosedError):
            at.auth.invalidate(Token("any"))
        assert len(at.api.arrivals) == 1
