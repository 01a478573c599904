"""Each error as one sentence: what is wrong, which header, and what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import singledispatch

import aiohttp

from exterview_auth.errors import (
    ApiError,
    BadRequestError,
    ConfigurationError,
    CredentialsRejectedError,
    ForbiddenError,
    GraphQLError,
    LoginBudgetExceededError,
    LoginError,
    LoginUnavailableError,
    UnauthorizedError,
)

from ._exit_code import ExitCode
from ._scrubber import Scrubber


class Credentials(StrEnum):
    """Where the bearer token comes from, by the environment."""

    PASSWORD = "EXTERVIEW_EMAIL and EXTERVIEW_PASSWORD"  # noqa: S105 - names of variables
    FIXED_TOKEN = "EXTERVIEW_BEARER_TOKEN"  # noqa: S105 - the name of a variable
    TOKEN_FILE = "EXTERVIEW_BEARER_TOKEN_FILE"  # noqa: S105 - the name of a variable


@dataclass(frozen=True, slots=True)
class Situation:
    """
    In which an error came up.

    The *credentials* in use, a *scrubber* for what a server wrote, and when a token from the environment *expired* by
    its own words.
    """

    credentials: Credentials
    scrubber: Scrubber
    expired: datetime | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """What is wrong (*message*) and what to do (*hint*)."""

    message: str
    hint: str = ""
    exit_code: ExitCode = ExitCode.FAILED

    @property
    def sentence(self) -> str:
        """Both as one."""
        return "; ".join(part for part in (self.message, self.hint) if part)


_KEY = "put a key that is in force into EXTERVIEW_API_KEY (keys are rotated every 90 days)"
_ENDPOINT = "check EXTERVIEW_ENDPOINT or EXTERVIEW_ENVIRONMENT, the network and any proxy"

_OWN_WORDS = "the API answered"
"""How the library's sentence begins where the server had none."""
_MISSING = re.compile(r"\b(?:missing|required)\b", re.IGNORECASE)
_SENT_WITH_A_LOGIN = {
    "x-api-key": re.compile(r"\bapi[\s_-]?key\b", re.IGNORECASE),
    "Content-Type": re.compile(r"\bcontent-type\b", re.IGNORECASE),
}


@singledispatch
def advice(error: Exception, _situation: Situation) -> Advice:
    """What to tell about *error*."""
    return Advice(f"the endpoint's answer cannot be understood ({type(error).__name__})", _ENDPOINT)


@advice.register
def _(error: ConfigurationError, _situation: Situation) -> Advice:
    message, _, hint = str(error).partition("; ")
    return Advice(message, hint, ExitCode.WRONG_USE)


@advice.register
def _(error: BadRequestError, situation: Situation) -> Advice:
    return Advice(
        f"the API answered 400{_said(error, situation)}: a header is missing or has the wrong format",
        "x-api-key, Authorization and Content-Type were sent, so look for a proxy that drops or changes them, "
        "and check EXTERVIEW_ENDPOINT",
    )


@advice.register
def _(error: UnauthorizedError, situation: Situation) -> Advice:
    words = error.message.lower()
    if "key" in words and "token" not in words:
        return Advice(f"the API answered 401{_said(error, situation)}: the header x-api-key is not accepted", _KEY)
    what = "the header Authorization" if "token" in words and "key" not in words else "x-api-key or Authorization"
    return Advice(
        f"the API answered 401{_said(error, situation)}: {what} is not accepted{_expired(situation)}",
        _new_token(situation.credentials),
    )


@advice.register
def _(error: ForbiddenError, situation: Situation) -> Advice:
    return Advice(
        f"the API answered 403{_said(error, situation)}: the key in the header x-api-key lacks the permission for this",
        "ask an administrator of your organization for a key that has it",
    )


@advice.register
def _(error: GraphQLError, situation: Situation) -> Advice:
    return Advice(
        f"the API took the credentials and then failed with a GraphQL error{_said(error, situation)}",
        "check that EXTERVIEW_ENDPOINT is the /graphql URL of the API",
    )


@advice.register
def _(error: ApiError, situation: Situation) -> Advice:
    hint = "try again later" if error.status >= 500 else _ENDPOINT  # noqa: PLR2004 - the server's own failures
    said = _said(error, situation)
    words = _words(error, situation)
    told_by_the_library = not said and words.startswith(_OWN_WORDS)
    return Advice(words if told_by_the_library else f"the API answered {error.status}{said}", hint)


@advice.register
def _(error: CredentialsRejectedError, situation: Situation) -> Advice:
    header = _lost_header(str(error))
    if header:
        return Advice(
            f"the login answered 400: the header {header} did not arrive",
            "it was sent, so look for a proxy that drops it, and check EXTERVIEW_ENDPOINT",
        )
    if error.reason in {"api_key", "client"}:
        return Advice("the login was refused: the header x-api-key is not accepted", _KEY)
    if error.reason == "user":
        return Advice(
            "the login was refused: the user is not known by these credentials", f"correct {situation.credentials}"
        )
    return Advice(
        f"the login was refused ({_words(error, situation)})",
        f"check {situation.credentials}, and EXTERVIEW_API_KEY (header x-api-key)",
    )


@advice.register
def _(error: LoginUnavailableError, situation: Situation) -> Advice:
    when = "" if error.retry_after is None else f", and try again in {error.retry_after:.0f} s"
    return Advice(f"no login was possible ({_words(error, situation)})", f"{_ENDPOINT}{when}")


@advice.register
def _(_error: LoginBudgetExceededError, situation: Situation) -> Advice:
    return Advice(
        f"each new token is refused: the header Authorization is not accepted{_expired(situation)}",
        _new_token(situation.credentials),
    )


@advice.register
def _(error: LoginError, situation: Situation) -> Advice:
    return Advice(
        f"the login failed ({_words(error, situation)})", f"check EXTERVIEW_ENDPOINT, then {situation.credentials}"
    )


@advice.register
def _(error: aiohttp.ClientConnectorCertificateError, _situation: Situation) -> Advice:
    return Advice(
        f"the certificate of {error.host} is not trusted", "check EXTERVIEW_ENDPOINT and the system's certificates"
    )


@advice.register
def _(error: aiohttp.ClientConnectorError, _situation: Situation) -> Advice:
    return Advice(f"there is no connection to {error.host}:{error.port}", _ENDPOINT)


@advice.register(aiohttp.ServerTimeoutError)
@advice.register(TimeoutError)
def _(_error: Exception, _situation: Situation) -> Advice:
    return Advice("the endpoint did not answer in time", f"{_ENDPOINT}, or give more with --timeout")


@advice.register
def _(error: aiohttp.ClientError, _situation: Situation) -> Advice:
    return Advice(f"the endpoint does not answer as an HTTP server does ({type(error).__name__})", _ENDPOINT)


@advice.register
def _(error: OSError, _situation: Situation) -> Advice:
    return Advice(f"the connection broke ({error.strerror or type(error).__name__})", _ENDPOINT)


def _said(error: ApiError, situation: Situation) -> str:
    """The server's words, if it had any: without them, the error has the library's own."""
    words = situation.scrubber.clean(error.message).rstrip(". ")
    return f' ("{words}")' if words and not words.startswith(_OWN_WORDS) else ""


def _lost_header(sentence: str) -> str | None:
    """The header that a login's 400 calls missing, though it was sent."""
    words = sentence.partition("answered 400")[2]
    if not _MISSING.search(words):
        return None
    return next((name for name, pattern in _SENT_WITH_A_LOGIN.items() if pattern.search(words)), None)


def _expired(situation: Situation) -> str:
    if situation.expired is None:
        return ""
    return f", and the token itself says that it expired on {situation.expired:%Y-%m-%d %H:%M:%S} UTC"


def _words(error: Exception, situation: Situation) -> str:
    return situation.scrubber.clean(str(error)).rstrip(". ") or type(error).__name__


def _new_token(credentials: Credentials) -> str:
    if credentials is Credentials.PASSWORD:
        return (
            "the token came from a fresh login, so check that EXTERVIEW_ENDPOINT, EXTERVIEW_API_KEY and "
            f"{credentials} belong to the same organization and environment"
        )
    return f"put a new token into {credentials}, or set {Credentials.PASSWORD} for tokens that renew themselves"
