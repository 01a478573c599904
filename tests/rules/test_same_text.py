"""An issuer may give the same access token again, for a longer time or with another refresh token: a login tells tokens apart."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from exterview_auth import ExterviewAuth, LoginContext, MemoryStore, Token
from exterview_auth._token import issued_by
from tests.kit.clock import now, passing, virtual_time
from tests.kit.keepers import ScriptedLogin, keeper
from tests.kit.stores import STORE_MAKERS

OWNERS = 10


class Session:
    """A login whose access token is the same text each time, with a refresh token that may be presented once."""

    def __init__(self) -> None:
        self.presented: list[str | None] = []

    async def __call__(self, context: LoginContext) -> Token:
        self.presented.append(None if context.previous is None else context.previous.refresh_token)
        return Token("session", refresh_token=f"R{len(self.presented)}")

    def owner(self, store: Any) -> ExterviewAuth:
        return ExterviewAuth(self, api_key="key", store=store, account="a", max_logins=(100, 60.0))


def rejected(auth: ExterviewAuth) -> None:
    """Invalidate the token that *auth* has, as an application does that knows of a revocation."""
    current = auth._keeper.state.current
    assert current is not None
    auth.invalidate(current.token)


async def test_no_refresh_token_is_presented_twice(store: Any) -> None:
    """A second owner presents what the first one's login returned, although the access token did not change."""
    login = Session()
    async with login.owner(store) as one, login.owner(store) as two:
        await one.token()
        await two.token()
        for owner in (one, two, two, one, two):
            rejected(owner)
            await owner.token()
    assert login.presented == [None, *(f"R{number}" for number in range(1, len(login.presented)))]
    assert len(login.presented) > 3


@pytest.mark.parametrize("kind", ["memory", "file", "redis"])
async def test_a_refused_text_that_a_login_gives_again_costs_one_login(
    kind: str, redis_url: str, tmp_path: Path
) -> None:
    """The others adopt it, because the login came after their refusals."""
    login, store = Session(), STORE_MAKERS[kind](redis_url, tmp_path)
    owners = [login.owner(store) for _ in range(OWNERS)]
    await asyncio.gather(*(owner.token() for owner in owners))
    for owner in owners:
        rejected(owner)
    await asyncio.gather(*(owner.token() for owner in owners))
    assert len(login.presented) == 2
    for closable in (*owners, store):
        if hasattr(closable, "aclose"):
            await closable.aclose()


@virtual_time
async def test_a_text_that_lives_longer_costs_one_login() -> None:
    """An issuer that extends a session at each login."""
    login = ScriptedLogin(*(Token("session", expires_in=100) for _ in range(OWNERS)))
    store = MemoryStore(timer=now)
    owners = [keeper(login, store=store, account="a", refresh_ahead=0) for _ in range(OWNERS)]
    for lives in range(1, 4):
        issued = await asyncio.gather(*(owner.obtain() for owner in owners))
        assert {each.token.value for each in issued} == {"session"}
        assert login.count == lives
        await passing(100)


@virtual_time
async def test_a_text_that_was_refused_since_is_not_adopted() -> None:
    """Another owner's login gave it, but before the refusal here."""
    store = MemoryStore(timer=now)
    kept = keeper(ScriptedLogin(Token("session"), Token("new")), store=store, account="a")
    first = await kept.obtain()
    await store.save("a", issued_by(None, Token("session"), login="another"))
    kept.refuse(first)
    assert (await kept.obtain(first)).token.value == "new"
