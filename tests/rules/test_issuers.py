"""Refresh tokens are shown to their issuer alone, and no owner uses a token that was issued for another purpose."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from exterview_auth import (
    AuthPool,
    ExterviewAuth,
    LoginContext,
    MemoryStore,
    OAuth2Login,
    PasswordLogin,
    Token,
)
from tests.kit.stores import KeepingStore

ENDED = 1e-6
"""Seconds: a token with this life is over when anybody looks at it again."""
LONG = 3600


class Issuers:
    """Token endpoints at every path of one server, each with tokens named after its path, and all forms that they got."""

    def __init__(self) -> None:
        self.expires_in: float = LONG
        self.forms: list[tuple[str, dict[str, Any]]] = []
        self._numbers = itertools.count(1)

    async def issue(self, request: web.Request) -> web.Response:
        path, name = request.path, request.path.split("/")[1]
        number = next(self._numbers)
        if path == "/graphql" or path.endswith("/graphql"):
            self.forms.append((path, await request.json()))
            login = {
                "token": f"{name}-{number}",
                "expiresIn": self.expires_in,
                "refreshToken": f"refresh-{name}-{number}",
            }
            return web.json_response({"data": {"login": login}})
        self.forms.append((path, {key: str(value) for key, value in (await request.post()).items()}))
        tokens = {"access_token": f"{name}-{number}", "refresh_token": f"refresh-{name}-{number}"}
        return web.json_response({**tokens, "expires_in": self.expires_in})

    def shown_to(self, path: str) -> list[str]:
        """Return the refresh tokens that were sent to *path*."""
        return [form["refresh_token"] for where, form in self.forms if where == path and "refresh_token" in form]

    def shows_each_only_its_own(self) -> None:
        """Check that no refresh token went to another issuer than its own."""
        for where, form in self.forms:
            assert form.get("refresh_token", f"refresh-{where[1:4]}").startswith(f"refresh-{where[1:4]}")


class Scene:
    """A server of issuers, and owners on one store."""

    def __init__(self, issuers: Issuers, root: URL) -> None:
        self.issuers = issuers
        self._root = str(root)

    def url(self, path: str) -> str:
        return self._root + path

    def oauth(self, path: str, client: str = "svc", **options: Any) -> OAuth2Login:
        return OAuth2Login(self.url(path), client, "secret", **options)

    async def token(self, login: Any, store: Any, account: str | None = None, endpoint: str = "/graphql") -> str:
        """Return the token of a new owner, which lives for this one question."""
        url = self.url(endpoint)
        async with ExterviewAuth(login, api_key="key", endpoint=url, store=store, account=account) as owner:
            return (await owner.token()).value


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """Return a server of issuers."""
    issuers = Issuers()
    app = web.Application()
    app.router.add_post("/{path:.*}", issuers.issue)
    async with TestServer(app) as server:
        yield Scene(issuers, server.make_url("/").with_path(""))


# -- an owner whose token endpoint is replaced --------------------------------------------------------------------------


@pytest.mark.parametrize("life", [ENDED, LONG])
@pytest.mark.parametrize("account", [None, "svc"])
async def test_another_issuers_tokens_are_neither_shown_nor_used(
    scene: Scene, store: Any, account: str | None, life: float
) -> None:
    """The same client, account and store at another token endpoint or with another id; back again, all is there."""
    scene.issuers.expires_in = life
    one, two, other = scene.oauth("/one/token"), scene.oauth("/two/token"), scene.oauth("/one/token", "other")
    assert (await scene.token(one, store, account)).startswith("one-")
    scene.issuers.forms.clear()
    assert (await scene.token(two, store, account)).startswith("two-")
    assert scene.issuers.forms == [("/two/token", {"grant_type": "client_credentials"})]
    await scene.token(other, store, account)
    assert scene.issuers.forms[-1][1] == {"grant_type": "client_credentials"}
    # The first owner's tokens have stayed where they were.
    scene.issuers.forms.clear()
    again = await scene.token(one, store, account)
    if life == LONG:
        assert (again, scene.issuers.forms) == ("one-1", [])
    else:
        assert scene.issuers.shown_to("/one/token")[0] == "refresh-one-1"


@pytest.mark.parametrize("account", [None, "svc"])
async def test_the_same_issuers_refresh_token_is_used(scene: Scene, store: Any, account: str | None) -> None:
    """A new process with the same login goes on with what the store holds, however its URL is spelled."""
    scene.issuers.expires_in = ENDED
    await scene.token(scene.oauth("/one/token"), store, account)
    await scene.token(scene.oauth("/a/../one/token#x"), store, account)
    assert scene.issuers.shown_to("/one/token")[0] == "refresh-one-1"


class InTurn:
    """An application's own login: whichever of several token endpoints it is set to; it declares no issuer."""

    def __init__(self, *logins: OAuth2Login) -> None:
        self.logins = logins
        self.turn = 0

    async def __call__(self, context: LoginContext) -> Token:
        return await self.logins[self.turn](context)


async def test_a_login_that_asks_two_token_endpoints_in_turn_shows_each_only_its_own(scene: Scene) -> None:
    """Without a store too: the token being replaced came from the other one."""
    scene.issuers.expires_in = ENDED
    login = InTurn(scene.oauth("/one/token"), scene.oauth("/two/token"))
    async with ExterviewAuth(login, api_key="key", endpoint=scene.url("/graphql")) as owner:
        for login.turn in (0, 1, 1, 0):
            await owner.token()
    scene.issuers.shows_each_only_its_own()


async def test_a_stored_token_of_another_issuer_does_not_displace_the_owners_own(scene: Scene) -> None:
    """Its own refresh token is the one that it can use, however new the other is."""
    store = MemoryStore()
    scene.issuers.expires_in = ENDED
    first, second = InTurn(scene.oauth("/one/token")), InTurn(scene.oauth("/two/token"))
    options: dict[str, Any] = {"api_key": "key", "endpoint": scene.url("/graphql"), "store": store, "account": "svc"}
    async with ExterviewAuth(first, **options) as one, ExterviewAuth(second, **options) as two:
        for owner in (one, two, one, two):
            await owner.token()
    scene.issuers.shows_each_only_its_own()
    assert all(scene.issuers.shown_to(path) for path in ("/one/token", "/two/token"))


# -- two logins with something in common --------------------------------------------------------------------------------

ADA: dict[str, Any] = {"grant_type": "password", "username": "ada", "password": "p"}
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "token endpoint": ({"path": "/one/token"}, {"path": "/two/token"}),
    "client": ({"client": "a"}, {"client": "b"}),
    "scope": ({"scope": "read"}, {"scope": "write"}),
    "order of scopes": ({"scope": "read write"}, {"scope": "write read"}),
    "audience": ({"audience": "x"}, {"audience": "y"}),
    "resource": ({"resource": "x"}, {}),
    "user": (ADA, {**ADA, "username": "bob"}),
    "grant": (ADA, {**ADA, "grant_type": "client_credentials"}),
    "header": ({"headers": {"X-Tenant": "x"}}, {"headers": {"X-Tenant": "y"}}),
    "a colon": ({"client": "a:b"}, {"client": "a", **ADA, "username": "b"}),
}


@pytest.mark.parametrize(("one", "two"), PAIRS.values(), ids=PAIRS)
async def test_what_a_token_depends_on_tells_accounts_apart(
    scene: Scene, one: dict[str, Any], two: dict[str, Any]
) -> None:
    """One store and no ``account=``; each login has its token, and finds it again."""
    store = MemoryStore()
    logins = [scene.oauth(**{"path": "/one/token", **options}) for options in (one, two)]
    tokens = [await scene.token(login, store) for login in logins * 2]
    assert tokens[:2] == tokens[2:]
    assert tokens[0] != tokens[1]
    assert len(scene.issuers.forms) == 2


async def test_a_pools_owners_are_told_apart_by_their_logins(scene: Scene) -> None:
    """A pool of one client's scopes, on one store and without ``account=``: a token for each scope."""
    store = MemoryStore()

    def owner_of(scope: str) -> ExterviewAuth:
        login = scene.oauth("/one/token", scope=scope)
        return ExterviewAuth(login, api_key="key", endpoint=scene.url("/graphql"), store=store)

    async with AuthPool(owner_of) as pool:
        assert (await pool["read"].token()).value != (await pool["write"].token()).value
    assert [form["scope"] for _, form in scene.issuers.forms] == ["read", "write"]


async def test_a_password_logins_issuer_is_its_endpoint(scene: Scene) -> None:
    """One user at two endpoints of one origin; neither adopts the other's token."""
    store = MemoryStore()
    login = PasswordLogin("ada@example.com", "p")
    one = await scene.token(login, store, endpoint="/one/graphql")
    two = await scene.token(login, store, endpoint="/two/graphql")
    assert (one, two) == ("one-1", "two-2")


async def test_tokens_of_unknown_issuers_are_shared_as_before(scene: Scene) -> None:
    """An application's own logins declare nothing, and a token that one of them made says nothing."""
    store = KeepingStore()

    async def own(_context: LoginContext) -> Token:
        return Token("own", expires_in=LONG)

    login = PasswordLogin("ada@example.com", "p")
    assert await scene.token(own, store, "ada@example.com") == "own"
    assert await scene.token(login, store) == "own"
    await store.save(next(iter(store.entries)), Token("later", expires_in=LONG))
    assert await scene.token(own, store, "ada@example.com") == "later"
    assert scene.issuers.forms == []
