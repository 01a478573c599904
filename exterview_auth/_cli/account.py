"""The account that the environment describes, opened for one command."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from exterview_auth import AuthSession, ExterviewAuth, Token
from exterview_auth._environment import CredentialSource, arguments_from, endpoint_from, source_of
from exterview_auth._options import ABOVE_ZERO, LONGEST, number
from exterview_auth._overrides import Overrides
from exterview_auth._secret_file import unwrapped
from exterview_auth._token import jwt_claims, numeric_date, without_bearer
from exterview_auth.logins._identity import store_key

from .configuration import Configuration
from .scrubber import Scrubber

FAILURES = (aiohttp.ClientError, OSError, ValueError)
"""What an account's requests raise; `TimeoutError` is an `OSError`."""


@dataclass(frozen=True, slots=True)
class EnvironmentAccount:
    """An owner of a token, and a session that signs requests with it."""

    auth: ExterviewAuth
    api: AuthSession


def own_expiry(token: str) -> datetime | None:
    """Return when the JWT *token* expires or has expired by its own words, or ``None`` if it does not say so."""
    # Not `Token.expires_at`: for a token that arrives expired, it assumes that this machine's clock is wrong.
    expires = numeric_date(jwt_claims(token).get("exp"))
    try:
        return None if expires is None else datetime.fromtimestamp(expires, UTC)
    except (OverflowError, ValueError, OSError):  # no date that there is, such as one in milliseconds
        return None


def expiry_of(environ: Mapping[str, str]) -> datetime | None:
    """Return when the JWT in ``EXTERVIEW_BEARER_TOKEN`` expired, or ``None`` if it has not, or is not in use."""
    if source_of(environ) is not CredentialSource.FIXED_TOKEN:
        return None
    expires = own_expiry(without_bearer(unwrapped(environ["EXTERVIEW_BEARER_TOKEN"]).strip()))
    return None if expires is None or expires.timestamp() > time.time() else expires


def stored_as(environ: Mapping[str, str]) -> tuple[str, str | None] | None:
    """Return the account's name in the store, and its issuer; ``None`` if the configuration names no account."""
    found = arguments_from(environ, {"store": None})
    login = found["login"]
    account = found.get("account") or login.identity
    return store_key(endpoint_from(environ), account, login) if account else None


def checked_timeout(seconds: float) -> float:
    """Return *seconds* if ``--timeout`` can be so long."""
    return number(seconds, f"--timeout must be a positive number of seconds, at most {LONGEST:.0f}", ABOVE_ZERO)


@asynccontextmanager
async def opened_account(
    configuration: Configuration, seconds: float, scrubber: Scrubber, *, shares: bool = False
) -> AsyncIterator[EnvironmentAccount]:
    """
    Open the environment's account; *scrubber* learns each token it gets, and each wait takes at most *seconds*.

    With *shares*, it uses the store that the configuration names; otherwise each login is its own.
    """
    checked_timeout(seconds)

    # The scrubber knows the environment's secrets from the start; a token it can learn only when a login gives one.
    def learn(new: Token, _old: Token | None, _reason: str) -> None:
        scrubber.hide(new.value)
        scrubber.hide(new.refresh_token)

    # A bearer token is nothing to share: it does not say whose it is.
    source = configuration.source
    overrides: Overrides = {} if shares and source is not None and source.logs_in else {"store": None}
    limit = aiohttp.ClientTimeout(total=seconds)
    # `trust_env` for the proxy. Logins get a session with it too: the first token comes before any request.
    async with (
        aiohttp.ClientSession(timeout=limit, trust_env=True) as http,
        aiohttp.ClientSession(timeout=limit, trust_env=True) as login_http,
    ):
        overrides |= {"login_timeout": seconds, "on_token": learn, "login_session": login_http}
        auth = ExterviewAuth.from_env(configuration.environ, **overrides)
        async with auth:
            yield EnvironmentAccount(auth, AuthSession(http, auth))
