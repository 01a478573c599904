"""`LateSession`: an `AuthSession` that waits for its event loop."""

from __future__ import annotations

import asyncio
import gc

import pytest

from exterview_auth import AuthSession, ConfigurationError, ExterviewAuth, PasswordLogin
from exterview_auth.testing import ThreadedEmulator
from exterview_auth.testing._late_session import LateSession


def test_without_asyncio_it_is_one_sentence() -> None:
    """As under trio; the owner says the same of itself."""
    owner = ExterviewAuth(PasswordLogin("a@example.com", "password"), api_key="key")
    for ask in (LateSession(owner).graphql("query { __typename }"), owner.token()):
        with pytest.raises(
            ConfigurationError, match=r"needs asyncio, and none of its event loops runs here; .*, not (on|in) trio$"
        ):
            ask.send(None)  # what runs it is not asyncio


def test_a_session_is_made_on_each_loop_that_uses_it() -> None:
    """Relative URLs are the API's, and no connection is left when a loop ends."""
    with ThreadedEmulator() as exterview:
        owner = ExterviewAuth(
            PasswordLogin(exterview.email, exterview.password), api_key=exterview.api_key, endpoint=exterview.endpoint
        )
        api = LateSession(owner)
        assert isinstance(api, AuthSession)
        assert repr(api) == f"AuthSession(<a session made on first use>, {owner!r})"

        async def ask() -> int:
            async with api.post("/graphql", json={"query": "query { __typename }"}) as answer:
                await answer.read()
            assert not api.closed
            assert api.connector is not None
            assert await api.graphql("query { __typename }") == {"__typename": "Query"}
            return id(api.loop)

        first, second = asyncio.run(ask()), asyncio.run(ask())
        assert exterview.logins == 1
        assert first
        assert second
        api.detach()
        api.detach()
        asyncio.run(owner.aclose())
        gc.collect()
