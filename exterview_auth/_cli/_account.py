"""The account that the environment describes, opened for one command."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import ClientSession, ClientTimeout

from exterview_auth import AuthSession, ExterviewAuth
from exterview_auth._options import LONGEST
from exterview_auth._token import jwt_claims, numeric_date, without_bearer
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


def expiry_of(environ: Mapping[str, str]) -> datetime | None:
    """When the token in ``EXTERVIEW_BEARER_TOKEN`` expired by its own words, or ``None`` if it did not or is not in use."""
    if credentials_of(environ) is not Credentials.FIXED_TOKEN:
        return None
    token = without_bearer(environ["EXTERVIEW_BEARER_TOKEN"].strip())
    expires = numeric_date(jwt_claims(token).get("exp"))  # `Token.expires_at` takes an expired one for a wrong clock's
    return None if expires is None or expires > time.time() else datetime.fromtimestamp(expires, UTC)


@asynccontextmanager
async def opened_account(seconds: float, scrubber: Scrubber) -> AsyncIterator[Account]:
    """The environment's account; each token that it gets is told to *scrubber*, each wait takes *seconds* at most."""
    if not 0 < seconds <= LONGEST:
        raise ConfigurationError(f"--timeout is a positive number of seconds, at most {LONGEST:.0f}, not {seconds:g}")
    auth = ExterviewAuth.from_env(
        os.environ, login_timeout=seconds, on_token=lambda new, _old, _reason: scrubber.hide(new.value)
    )
    async with auth, ClientSession(timeout=ClientTimeout(total=seconds)) as http:
        yield Account(auth, AuthSession(http, auth))
