"""``exterview-auth check``: prove the environment's credentials with the documented smoke test."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass

import aiohttp

from exterview_auth import Token

from ._account import Account, credentials_of, expiry_of, opened_account
from ._advice import Advice, Credentials, Situation, advice
from ._complain import complain
from ._exit_code import ExitCode
from ._scrubber import Scrubber

QUERY = "query { __typename }"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the check found; one of *token* and *error* is set."""

    endpoint: str | None
    credentials: Credentials
    token: Token | None = None
    error: Exception | None = None


def run_check(*, as_json: bool, timeout: float) -> ExitCode:
    """Check and tell; the exit code says how it went."""
    scrubber = Scrubber(os.environ)
    outcome = asyncio.run(_checked(timeout, scrubber))
    told = None
    if outcome.error:
        told = advice(outcome.error, Situation(outcome.credentials, scrubber, expiry_of(os.environ)))
    if as_json:
        print(json.dumps(_as_json(outcome, told)))
    elif told is None:
        print(_success(outcome))
    if told is None:
        return ExitCode.FINE
    complain(told.sentence)
    return told.exit_code


async def _checked(seconds: float, scrubber: Scrubber) -> Outcome:
    endpoint, credentials = None, credentials_of(os.environ)
    try:
        async with opened_account(seconds, scrubber) as account:
            endpoint = str(account.auth.endpoint)
            return Outcome(endpoint, credentials, token=await _proven(account))
    except (aiohttp.ClientError, OSError, ValueError) as error:  # OSError has TimeoutError in it
        return Outcome(endpoint, credentials, error=error)


async def _proven(account: Account) -> Token:
    """The token, after the API has accepted it."""
    data = await account.api.graphql(QUERY)
    if not isinstance(data.get("__typename"), str):
        raise ValueError("the answer has no __typename")  # noqa: TRY004 - what a server sends is no programmer's type
    return await account.auth.token()


def _success(outcome: Outcome) -> str:
    return (
        f"{outcome.endpoint} accepts the API key and the token from {outcome.credentials}; {_lifetime(outcome.token)}"
    )


def _lifetime(token: Token | None) -> str:
    seconds = token.expires_in if token else None
    if seconds is None:
        return "the token does not say how long it lives"
    return f"the token lives {seconds:.0f} s" if seconds < 600 else f"the token lives {seconds / 60:.0f} min"  # noqa: PLR2004 - ten minutes


def _as_json(outcome: Outcome, told: Advice | None) -> dict[str, object]:
    answer: dict[str, object] = {"ok": told is None, "endpoint": outcome.endpoint, "credentials": outcome.credentials}
    if told is None:
        return {**answer, "token_lifetime": outcome.token.expires_in if outcome.token else None}
    return {**answer, "error": type(outcome.error).__name__, "message": told.message, "hint": told.hint}
