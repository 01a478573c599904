"""
Home Assistant's set-up of an integration, called as its core calls it.

Home Assistant pins another aiohttp and a newer Python, so that it cannot be installed here. The modules that the recipe imports
stand in for it: two exceptions and a session. How Home Assistant reacts to them is not tested.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from types import ModuleType
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from exterview_auth.testing import ThreadedEmulator
from tests.recipes.running import REQUESTS, fresh, hides_secrets


class ConfigEntryAuthFailed(Exception):  # noqa: N818 - Home Assistant's name
    """Home Assistant's, by name."""


class ConfigEntryNotReady(Exception):  # noqa: N818 - as above
    """As above."""


class Entry:
    """What the recipe uses of a config entry."""

    def __init__(self, exterview: ThreadedEmulator, **data: str) -> None:
        given = {"email": exterview.email, "password": exterview.password, "api_key": exterview.api_key}
        self.data = {"endpoint": exterview.endpoint, **given, **data}
        self.runtime_data: Any = None
        self._on_unload: list[Callable[[], Coroutine[Any, Any, None]]] = []

    def async_on_unload(self, func: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._on_unload.append(func)

    async def unload(self) -> None:
        """Do what Home Assistant does after an unload, and after a set-up that has failed."""
        for func in self._on_unload:
            await func()


@pytest_asyncio.fixture
async def recipe(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModuleType]:
    """The integration, with stand-ins for Home Assistant's modules."""
    async with aiohttp.ClientSession() as shared:
        exceptions: Any = ModuleType("homeassistant.exceptions")
        exceptions.ConfigEntryAuthFailed, exceptions.ConfigEntryNotReady = ConfigEntryAuthFailed, ConfigEntryNotReady
        client: Any = ModuleType("homeassistant.helpers.aiohttp_client")
        client.async_get_clientsession = lambda hass: shared
        for module in (exceptions, client, ModuleType("homeassistant"), ModuleType("homeassistant.helpers")):
            monkeypatch.setitem(sys.modules, module.__name__, module)
        yield fresh("with_home_assistant")
        assert not shared.closed


async def test_a_set_up_costs_one_login(recipe: ModuleType, exterview: ThreadedEmulator) -> None:
    """Requests at once, and again after a revocation, which none notices; unloading closes the owner and not the session."""
    entry = Entry(exterview)
    assert await recipe.async_setup_entry(None, entry)
    for logins in (1, 2):
        await asyncio.gather(*(entry.runtime_data.graphql("{ __typename }") for _ in range(REQUESTS)))
        assert exterview.logins == logins
        exterview.revoke()
    assert await recipe.async_unload_entry(None, entry)
    await entry.unload()


async def test_rejected_credentials_ask_for_new_ones(recipe: ModuleType, exterview: ThreadedEmulator) -> None:
    """The dialog shows the error's text, which holds no secret."""
    entry = Entry(exterview, password="not-the-password")
    with pytest.raises(ConfigEntryAuthFailed) as caught:
        await recipe.async_setup_entry(None, entry)
    await entry.unload()
    assert hides_secrets(str(caught.value), exterview)
    assert "not-the-password" not in str(caught.value)
    assert exterview.logins == 1


async def test_a_rejected_key_asks_for_a_new_one(recipe: ModuleType, exterview: ThreadedEmulator) -> None:
    """A key that was rotated needs a person, too."""
    entry = Entry(exterview, api_key="exv_rotated_away")
    with pytest.raises(ConfigEntryAuthFailed) as caught:
        await recipe.async_setup_entry(None, entry)
    await entry.unload()
    assert caught.value.__cause__ is not None
    assert getattr(caught.value.__cause__, "reason", None) == "api_key"
    assert "exv_rotated_away" not in str(caught.value)


async def test_a_login_that_is_down_is_tried_again_later(recipe: ModuleType, exterview: ThreadedEmulator) -> None:
    """Nobody is asked for a password because a server is down."""
    exterview.fail_logins(1, retry_after=60)
    entry = Entry(exterview)
    with pytest.raises(ConfigEntryNotReady) as caught:
        await recipe.async_setup_entry(None, entry)
    await entry.unload()
    assert hides_secrets(str(caught.value), exterview)
    assert exterview.logins == 1
