"""The API key and the age of its file, a login, and what the API says to both."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

from exterview_auth import Token
from exterview_auth._environment import API_KEY
from exterview_auth._secret_file import unwrapped
from exterview_auth.errors import ApiError, CredentialsRejectedError, ForbiddenError

from ..account import FAILURES, EnvironmentAccount, opened_account, own_expiry
from ..advice import Advice, explained
from ..check import QUERY, life
from ..configuration import Configuration
from ..scrubber import Scrubber
from .report import Check, Status, failed, ok, warned

KEY_DAYS = 90
"""Days after which Exterview's documentation asks for a new key."""
LITTLE_LEFT = 60.0
"""Seconds that a token of the environment has left, at most, for a warning: nothing renews it."""

_DAY = 86_400
_NO_ANSWER = "not examined", "mend what stands above first"


def key_file_checks(configuration: Configuration) -> Iterator[Check]:
    """Yield how old the key's file is, if the key comes from one."""
    environ = configuration.environ
    path = unwrapped(environ.get(f"{API_KEY}_FILE", "")).strip()
    if not path or environ.get(API_KEY, "").strip():
        return
    try:
        # Of the file that a link leads to: orchestrators rotate by another link.
        days = int((time.time() - Path(path).stat().st_mtime) // _DAY)
    except (OSError, ValueError):
        return  # said of the variable
    if days < 0:
        yield warned("key-file", "its time lies in the future", "set this machine's clock, or touch the file")
    elif days > KEY_DAYS:
        yield warned(
            "key-file", f"the key is {days} days old", f"rotate it: Exterview asks for that every {KEY_DAYS} days"
        )
    else:
        yield ok("key-file", f"the key is {days} days old, and is to be rotated every {KEY_DAYS}")


async def credential_checks(
    configuration: Configuration, seconds: float, scrubber: Scrubber, *, usable: bool
) -> AsyncIterator[Check]:
    """Yield what a login and the API say, unless something before has failed (*usable* is false)."""
    if not usable:
        for name in ("login", "key", "token"):
            yield warned(name, *_NO_ANSWER)
        return
    try:
        async with opened_account(configuration, seconds, scrubber) as account:
            began = time.monotonic()
            token = await account.auth.token()
            yield _login(configuration, time.monotonic() - began)
            for check in await _asked(account, token, configuration, scrubber):
                yield check
    except FAILURES as error:
        for check in _login_failed(error, explained(error, configuration, scrubber)):
            yield check


def _login(configuration: Configuration, seconds: float) -> Check:
    source = configuration.source
    if source is not None and not source.logs_in:
        return ok("login", f"none: the token comes from {source}")
    return ok("login", f"a login with {source} took {seconds * 1000:.0f} ms")


def _login_failed(error: Exception, advised: Advice) -> Iterator[Check]:
    blames_key = isinstance(error, CredentialsRejectedError) and error.reason == "api_key"
    if blames_key:
        yield warned("login", "refused because of the key", "mend key first")
        yield failed("key", advised.message, advised.hint)
    else:
        yield failed("login", advised.message, advised.hint)
        yield warned("key", *_NO_ANSWER)
    yield warned("token", *_NO_ANSWER)


async def _asked(
    account: EnvironmentAccount, token: Token, configuration: Configuration, scrubber: Scrubber
) -> list[Check]:
    """Return what the API says to the documented smoke test."""
    try:
        await account.api.graphql(QUERY)
    except FAILURES as error:
        advised = explained(error, configuration, scrubber)
        refusal = advised.message, advised.hint
        of_token = _token(token, configuration)
        if isinstance(error, ForbiddenError) or "x-api-key is not accepted" in advised.message:
            return [failed("key", *refusal), of_token]
        if isinstance(error, ApiError):
            return [warned("key", *_NO_ANSWER), failed("token", *refusal)]
        return [failed("key", *refusal), of_token]
    # A new token, if the first one was refused.
    return [ok("key", "the API accepts it"), _token(await account.auth.token(), configuration)]


def _token(token: Token, configuration: Configuration) -> Check:
    source = configuration.source
    renews = source is not None and source.logs_in
    expires = token.expires_at if renews else own_expiry(token.value) or token.expires_at
    left = None if expires is None else (expires - datetime.now(UTC)).total_seconds()
    if not renews and left is not None and left <= LITTLE_LEFT:
        state = "has expired by its own words" if left <= 0 else life(left)
        return Check("token", Status.WARN, state, f"put a new token into {source}")
    return ok("token", life(left))
