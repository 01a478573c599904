"""A login, and what the API says to the API key and the token."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

from exterview_auth import Token
from exterview_auth.errors import ApiError, CredentialsRejectedError, ForbiddenError

from ..account import FAILURES, EnvironmentAccount, opened_account, own_expiry
from ..advice import Advice, explained
from ..check import QUERY, life
from ..configuration import Configuration
from ..scrubber import Scrubber
from .report import Check, Status, failed, ok, warned

LITTLE_LEFT = 60.0
"""Seconds that a token of the environment has left, at most, for a warning: nothing renews it."""

_NO_ANSWER = "not examined", "mend what stands above first"


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
