"""The account that the environment describes, opened for one command."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import ClientSession, ClientTimeout

from exterview_auth import AuthSession, ExterviewAuth
from exterview_auth.errors import ConfigurationError

from ._advice import Credentials
from ._scrubber import Scrubber


@dataclass(frozen=True, slots=True)
class Account:
    """An owner of a token, and a session that it guards."""

    auth: ExterviewAuth
    api: AuthSession


def credentials_of(environ: Mapping[str, str]) -> Credentials:
    """Which of the variables `ExterviewAuth.from_env` takes the token from."""
    if environ.get("EXTERVIEW_EMAIL", "").strip():
        return Credentials.PASSWORD
    has_token = environ.get("EXTERVIEW_BEARER_TOKEN", "").strip()
    return Credentials.FIXED_TOKEN if has_token else Credentials.TOKEN_FILE


@asynccontextmanager
async def opened_account(seconds: float, scrubber: Scrubber) -> AsyncIterator[Account]:
    """The environment's account; each token that it gets is told to *scrubber*, each wait takes *seconds* at most."""
    if not 0 < seconds < float("inf"):
        raise ConfigurationError(f"--timeout is a positive number of seconds, not {seconds:g}")
    auth = ExterviewAuth.from_env(
        os.environ, login_timeout=seconds, on_token=lambda new, _old, _reason: scrubber.hide(new.value)
    )
    async with auth, ClientSession(timeout=ClientTimeout(total=seconds)) as http:
        yield Account(auth, AuthSession(http, auth))
