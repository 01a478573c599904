"""
Home Assistant: the set-up of an integration, with the errors that start a new login dialog or another try.

It is the ``__init__.py`` of a custom component whose ``manifest.json`` names this library in ``requirements``, for a Home Assistant
with an aiohttp that this library supports. Rejected credentials make Home Assistant ask for new ones (`ConfigEntryAuthFailed`); a
login that is down makes it try the set-up again (`ConfigEntryNotReady`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeassistant.exceptions import ConfigEntryAuthFailed, ConfigEntryNotReady
from homeassistant.helpers.aiohttp_client import async_get_clientsession

from exterview_auth import (
    PRODUCTION,
    AuthSession,
    CredentialsRejectedError,
    ExterviewAuth,
    LoginBudgetExceededError,
    LoginUnavailableError,
    PasswordLogin,
)

if TYPE_CHECKING:
    from homeassistant.config_entries import ConfigEntry
    from homeassistant.core import HomeAssistant


async def async_setup_entry(hass: HomeAssistant, entry: ConfigEntry[AuthSession]) -> bool:
    login = PasswordLogin(entry.data["email"], entry.data["password"])
    auth = ExterviewAuth(login, api_key=entry.data["api_key"], endpoint=entry.data.get("endpoint", PRODUCTION))
    entry.async_on_unload(auth.aclose)  # also after a set-up that has failed
    try:
        await auth.token()
    # A coordinator's `_async_update_data` needs this clause alone: it takes any other `aiohttp.ClientError` for a failed update.
    except CredentialsRejectedError as error:
        raise ConfigEntryAuthFailed(str(error)) from error
    except (LoginUnavailableError, LoginBudgetExceededError) as error:
        raise ConfigEntryNotReady(str(error)) from error
    entry.runtime_data = AuthSession(async_get_clientsession(hass), auth)  # their session, which nobody may close
    return True


async def async_unload_entry(hass: HomeAssistant, entry: ConfigEntry[AuthSession]) -> bool:
    return True
