"""``exterview-auth check``: prove the environment's credentials with the documented smoke test."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

from exterview_auth import Token
from exterview_auth._endpoint import shown_url
from exterview_auth._environment import CredentialSource

from .account import FAILURES, opened_account
from .advice import explained
from .configuration import Configuration, configured
from .output import ExitCode, complain, sign_of_life
from .scrubber import Scrubber

QUERY = "query { __typename }"
_TEN_MINUTES = 600


@dataclass(slots=True)
class CheckResult:
    """What the check has found so far; at its end, one of *token* and *error* is set."""

    source: CredentialSource | None
    endpoint: str | None = None
    token: Token | None = None
    error: Exception | None = None


def run_check(*, as_json: bool, timeout: float, password_stdin: bool = False) -> ExitCode:
    """Check, print the result, and return the exit code."""
    configuration = configured(password_stdin=password_stdin)
    scrubber = Scrubber(configuration.environ)
    result = CheckResult(configuration.source)
    try:
        asyncio.run(_check(result, configuration, timeout, scrubber))
    except FAILURES as error:
        # What was found before the error, the endpoint for one, is part of the answer in JSON.
        result.error = error
    answer: dict[str, object] = {
        "ok": result.error is None,
        "endpoint": result.endpoint,
        "credentials": result.source,
    }
    if result.error is None:
        lifetime = result.token.expires_in if result.token else None
        sentence = configuration.said(_sentence(result, lifetime))
        print(json.dumps({**answer, "token_lifetime": lifetime}) if as_json else sentence)
        return ExitCode.FINE
    advised = explained(result.error, configuration, scrubber)
    if as_json:
        reason = {"error": type(result.error).__name__, "message": advised.message, "hint": advised.hint}
        print(json.dumps({**answer, **reason}))
    complain(advised.sentence)
    return advised.exit_code


async def _check(result: CheckResult, configuration: Configuration, seconds: float, scrubber: Scrubber) -> None:
    # Not through the store: the token that others hold there would not prove the password.
    async with opened_account(configuration, seconds, scrubber) as account:
        result.endpoint = shown_url(account.auth.endpoint)
        with sign_of_life(f"waiting for the login, then for the API's answer: each takes at most {seconds:g} s"):
            data = await account.api.graphql(QUERY)
        if not isinstance(data.get("__typename"), str):
            raise ValueError("the answer has no __typename")  # noqa: TRY004 - a server's mistake, not a programmer's
        # Not another login: this is the token that the API has just accepted.
        result.token = await account.auth.token()


def _sentence(result: CheckResult, lifetime: float | None) -> str:
    return f"{result.endpoint} accepts the API key and the token from {result.source}; the token {life(lifetime)}"


def life(seconds: float | None) -> str:
    """Return for how long a token lives, as the end of a sentence; a short life is in seconds, because minutes would say nothing."""
    if seconds is None:
        return "does not say how long it lives"
    return f"lives {seconds:.0f} s" if seconds < _TEN_MINUTES else f"lives {seconds / 60:.0f} min"
