"""The account that the environment describes, opened for one command."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from exterview_auth import AuthSession, ExterviewAuth, Token
from exterview_auth._environment import CredentialSource, source_of
from exterview_auth._options import ABOVE_ZERO, LONGEST, number
from exterview_auth._secret_file import unwrapped
from exterview_auth._token import jwt_claims, numeric_date, without_bearer

from .output import Scrubber

FAILURES = (aiohttp.ClientError, OSError, ValueError)
"""What an account's requests raise; `TimeoutError` is an `OSError`."""


@dataclass(frozen=True, slots=True)
class EnvironmentAccount:
    """An owner of a token, and a session that signs requests with it."""

    auth: ExterviewAuth
    api: AuthSession


def expiry_of(environ: Mapping[str, str]) -> datetime | None:
    """Return when the JWT in ``EXTERVIEW_BEARER_TOKEN`` expired, or ``None`` if it has not, or is not in use."""
    if source_of(environ) is not CredentialSource.FIXED_TOKEN:
        return None
    token = without_bearer(unwrapped(environ["EXTERVIEW_BEARER_TOKEN"]).strip())
    # Not `Token.expires_at`: for a token that arrives expired, it assumes that this machine's clock is wrong.
    expires = numeric_date(jwt_claims(token).get("exp"))
    return None if expires is None or expires > time.time() else datetime.fromtimestamp(expires, UTC)


@asynccontextmanager
async def opened_account(seconds: float, scrubber: Scrubber) -> AsyncIterator[EnvironmentAccount]:
    """Open the environment's account; *scrubber* learns each token it gets, and each wait takes at most *seconds*."""
    number(seconds, f"--timeout must be a positive number of seconds, at most {LONGEST:.0f}", ABOVE_ZERO)

    # The scrubber knows the environment's secrets from the start; a token it can learn only when a login gives one.
    def learn(new: Token, _old: Token | None, _reason: str) -> None:
        scrubber.hide(new.value)
        scrubber.hide(new.refresh_token)

    auth = ExterviewAuth.from_env(os.environ, login_timeout=seconds, on_token=learn)
    async with auth, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds)) as http:
        yield EnvironmentAccount(auth, AuthSession(http, auth))
