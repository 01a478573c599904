"""Every error as one sentence: what is wrong, which header is concerned, and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import singledispatch

import aiohttp
from yarl import URL

from exterview_auth._aiohttp.graphql import ANSWERED, is_success, refuses_token
from exterview_auth._environment import CredentialSource, endpoint_from, in_quotes
from exterview_auth._proxies import failure_of
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
    StoreError,
    UnauthorizedError,
)
from exterview_auth.logins._statuses import TOO_MANY
from exterview_auth.logins._unreachable import PRIVATE_CA, PRIVATE_CA_IN_CODE

from .account import expiry_of
from .configuration import Configuration
from .output import ExitCode
from .scrubber import Scrubber


@dataclass(frozen=True, slots=True)
class ErrorContext:
    """
    What is known when an error is explained.

    The *source* of the token, a *scrubber* for what a server wrote, and when a token from the environment *expired*
    by its own claim.
    """

    source: CredentialSource | None
    scrubber: Scrubber
    expired: datetime | None = None
    endpoint: URL | None = None
    """The API's URL, if it is known: what a proxy says is told from what stands behind it."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What is wrong (*message*) and what to do (*hint*)."""

    message: str
    hint: str = ""
    exit_code: ExitCode = ExitCode.FAILED

    @property
    def sentence(self) -> str:
        """Message and hint in one sentence."""
        return "; ".join(part for part in (self.message, self.hint) if part)


_KEY = "put a valid key into EXTERVIEW_API_KEY (keys are rotated every 90 days)"
_CLOSED = "if the account is locked or disabled, ask an administrator of your organization to open it"
_ENDPOINT = "check EXTERVIEW_ENDPOINT or EXTERVIEW_ENVIRONMENT, the network and any proxy"
_CLIENTS_ENDPOINT = "check EXTERVIEW_TOKEN_URL, the network and any proxy"

_IN_VARIABLES = {
    "its document or variables do not fit the API; set document= and variables= (with from_env EXTERVIEW_LOGIN_DOCUMENT)": (
        "the default login mutation is a guess that does not fit this API: set EXTERVIEW_LOGIN_DOCUMENT to the API's own"
    ),
    "set token_field= (with from_env EXTERVIEW_TOKEN_FIELD) to the name or dotted path of the token": (
        "set EXTERVIEW_TOKEN_FIELD to the name or dotted path of the token"
    ),
    "check its URL": "check that EXTERVIEW_ENDPOINT is the /graphql URL of the API",
    "give its final URL": "set EXTERVIEW_ENDPOINT to its final URL",
}
"""The logins' own advice for code, and what to do about the same by variables."""
_IN_VARIABLES_OF_A_CLIENT = {
    "check its URL": "check that EXTERVIEW_TOKEN_URL is the token endpoint's",
    "give its final URL": "set EXTERVIEW_TOKEN_URL to its final URL",
}

_OWN_ADVICE = (
    "correct ",
    "too many logins: ",
    "look for ",
    "does the account ",
    "for a private CA ",
    "check its URL, user",
    "check HTTPS_PROXY, ",
    "check https_proxy, ",
)
"""How the advice in a login's sentence begins that is for whoever calls a command, too."""

_BY_A_PROXY = re.compile(r"the proxy \S+ from https?_proxy\b", re.IGNORECASE)
"""How a sentence blames the proxy that a variable names."""
NOT_A_PROGRAMS = "a program uses that proxy only with ClientSession(trust_env=True)"
"""What to know beside a sentence about a proxy: the command's own sessions always use it."""

_REFUSALS = (ConfigurationError, BadRequestError, UnauthorizedError, ForbiddenError, LoginError)
"""What a value that is wrong may end in."""

# How servers say that a header did not arrive, and the headers that every login sends.
_MISSING = re.compile(r"\b(?:missing|required)\b", re.IGNORECASE)
_SENT_WITH_A_LOGIN = {
    "x-api-key": re.compile(r"\bapi[\s_-]?key\b", re.IGNORECASE),
    "Content-Type": re.compile(r"\bcontent-type\b", re.IGNORECASE),
}


def explained(error: Exception, configuration: Configuration, scrubber: Scrubber) -> Advice:
    """Return what to say about *error* under *configuration*."""
    environ = configuration.environ
    advised = advice(error, ErrorContext(configuration.source, scrubber, expiry_of(environ), endpoint_in(environ)))
    quoted = in_quotes(environ)
    # Not if a server cannot be reached: nothing was refused.
    if quoted and isinstance(error, _REFUSALS) and not isinstance(error, LoginUnavailableError):
        names = f"{' and '.join(quoted)} {'stands' if len(quoted) == 1 else 'stand'}"
        hint = f"{names} in quotation marks, which docker's --env-file does not remove; remove them"
        advised = replace(advised, hint=hint)
    if _BY_A_PROXY.search(advised.message):
        advised = replace(advised, hint="; ".join(filter(None, (advised.hint, NOT_A_PROGRAMS))))
    return replace(advised, message=configuration.said(advised.message), hint=configuration.said(advised.hint))


def endpoint_in(environ: Mapping[str, str]) -> URL | None:
    """Return the API's URL, or ``None`` if it is not one."""
    try:
        return endpoint_from(environ)
    except ConfigurationError:
        return None


# One function for each kind of error; for an error of several kinds, the most specific one answers.
@singledispatch
def advice(error: Exception, _context: ErrorContext) -> Advice:
    """Return what to say about *error*."""
    return Advice(f"the endpoint's answer cannot be understood ({type(error).__name__})", _ENDPOINT)


@advice.register
def _(error: ConfigurationError, _context: ErrorContext) -> Advice:
    message, _, hint = str(error).partition("; ")
    return Advice(message, hint, ExitCode.WRONG_USE)


@advice.register
def _(error: BadRequestError, context: ErrorContext) -> Advice:
    return Advice(
        f"the API answered 400{_said(error, context)}: a header is missing or has the wrong format",
        "x-api-key, Authorization and Content-Type were sent, so look for a proxy that drops or changes them, "
        "and check EXTERVIEW_ENDPOINT",
    )


@advice.register
def _(error: UnauthorizedError, context: ErrorContext) -> Advice:
    # The status says that one of the two headers is wrong; which one, only the server's words say, if anything does.
    words = error.message.lower()
    if "key" in words and "token" not in words:
        return Advice(f"the API answered 401{_said(error, context)}: the header x-api-key is not accepted", _KEY)
    what = "the header Authorization" if "token" in words and "key" not in words else "x-api-key or Authorization"
    return _not_accepted(f"the API answered 401{_said(error, context)}", context, what)


@advice.register
def _(error: ForbiddenError, context: ErrorContext) -> Advice:
    return Advice(
        f"the API answered 403{_said(error, context)}: the key in the header x-api-key lacks the permission for this",
        "ask an administrator of your organization for a key that has it",
    )


@advice.register
def _(error: GraphQLError, context: ErrorContext) -> Advice:
    if refuses_token(error.errors):
        return _not_accepted(f"the API answered UNAUTHENTICATED{_said(error, context)}", context)
    return Advice(
        f"the API accepted the credentials and then failed with a GraphQL error{_said(error, context)}",
        "check that EXTERVIEW_ENDPOINT is the /graphql URL of the API",
    )


@advice.register
def _(error: ApiError, context: ErrorContext) -> Advice:
    is_for_time = error.status == TOO_MANY or error.status >= 500  # noqa: PLR2004 - the server's own failures
    hint = _try_again(error.retry_after) if is_for_time else _ENDPOINT
    if is_success(error.status):  # the library's own sentence; what follows in it is advice for code
        return Advice(_words(error, context).partition("; ")[0], hint)
    return Advice(f"the API answered {error.status}{_said(error, context)}", hint)


@advice.register
def _(error: CredentialsRejectedError, context: ErrorContext) -> Advice:
    # A login's 400 about a header that was sent: something on the way has dropped it, and the key may well be right.
    header = _lost_header(str(error))
    if header:
        return Advice(
            f"the login answered 400: the header {header} did not arrive",
            "it was sent, so look for a proxy that drops it, and check EXTERVIEW_ENDPOINT",
        )
    words, own = _parted(error, context)
    answer = "".join(words.partition("it answered ")[1:]) or words
    if error.reason == "client" and _is_client(context):
        return Advice(
            f"the login was refused: the client or its secret is wrong ({answer})", f"correct {context.source}"
        )
    if error.reason in {"api_key", "client"}:
        return Advice(f"the login was refused: the header x-api-key is not accepted ({answer})", _KEY)
    if error.reason == "user":
        # Only the server knows whether it is the password, and says so in words of its own.
        return Advice(f"the login was refused for this user: {answer}", f"correct {context.source}; {_CLOSED}")
    also = "" if _is_client(context) else ", and EXTERVIEW_API_KEY (header x-api-key)"
    return Advice(f"the login was refused ({words})", own or f"check {context.source}{also}")


@advice.register
def _(error: LoginUnavailableError, context: ErrorContext) -> Advice:
    words, own = _parted(error, context)
    message = f"no login was possible ({words})"
    if not own and error.status is not None:  # it has answered, so that the way to it is right
        return Advice(message, _try_again(error.retry_after))
    when = "" if error.retry_after is None else f", and {_try_again(error.retry_after)}"
    where = _CLIENTS_ENDPOINT if _is_client(context) else _ENDPOINT
    return Advice(message, f"{own or where}{when}")


@advice.register
def _(_error: LoginBudgetExceededError, context: ErrorContext) -> Advice:
    return _not_accepted("each new token is refused", context)


@advice.register
def _(error: LoginError, context: ErrorContext) -> Advice:
    words = _words(error, context)
    for in_code, in_variables in (_IN_VARIABLES_OF_A_CLIENT if _is_client(context) else _IN_VARIABLES).items():
        if words.endswith(in_code):  # the credentials are not to blame
            return Advice(f"the login failed ({words.removesuffix(in_code).rstrip('; :')})", in_variables)
    words, own = _parted(error, context)
    first = "" if _is_client(context) else "EXTERVIEW_ENDPOINT, then "
    return Advice(f"the login failed ({words})", own or f"check {first}{context.source}")


@advice.register
def _(error: StoreError, context: ErrorContext) -> Advice:
    message, _, hint = _words(error, context).partition("; ")
    return Advice(message, hint)


@advice.register
def _(error: aiohttp.ClientHttpProxyError, context: ErrorContext) -> Advice:
    found = failure_of(error, context.endpoint)
    assert found is not None  # the error is a proxy's by its kind
    return Advice(*found)


@advice.register
def _(error: aiohttp.ClientConnectorCertificateError, _context: ErrorContext) -> Advice:
    return Advice(f"the certificate of {error.host} is not trusted", f"check EXTERVIEW_ENDPOINT; {PRIVATE_CA}")


@advice.register
def _(error: aiohttp.ClientConnectorError, context: ErrorContext) -> Advice:
    found = failure_of(error, context.endpoint)
    return Advice(*found) if found else Advice(f"there is no connection to {error.host}:{error.port}", _ENDPOINT)


@advice.register(aiohttp.ServerTimeoutError)
@advice.register(TimeoutError)
def _(_error: Exception, _context: ErrorContext) -> Advice:
    return Advice("the endpoint did not answer in time", f"{_ENDPOINT}, or give it more time with --timeout")


@advice.register(aiohttp.RedirectClientError)
@advice.register(aiohttp.TooManyRedirects)
def _(_error: Exception, _context: ErrorContext) -> Advice:
    return Advice(
        "the endpoint redirects to no address that can be followed", "set EXTERVIEW_ENDPOINT to its final URL"
    )


@advice.register
def _(error: aiohttp.ClientError, _context: ErrorContext) -> Advice:
    return Advice(f"the endpoint does not answer as an HTTP server does ({type(error).__name__})", _ENDPOINT)


@advice.register
def _(error: OSError, _context: ErrorContext) -> Advice:
    return Advice(f"the connection broke ({error.strerror or type(error).__name__})", _ENDPOINT)


def _not_accepted(message: str, context: ErrorContext, what: str = "the header Authorization") -> Advice:
    return Advice(f"{message}: {what} is not accepted{_expired(context)}", _new_token(context.source))


def _try_again(seconds: float | None) -> str:
    return "try again later" if seconds is None else f"try again in {seconds:.0f} s"


def _said(error: ApiError, context: ErrorContext) -> str:
    """Return the server's words in quotes, if the error has any and not only the library's."""
    if error.message in {f"{ANSWERED} {error.status}", f"{ANSWERED} with errors"}:
        return ""
    words = context.scrubber.quote(error.message).rstrip(". ")
    return f' ("{words}")' if words else ""


def _lost_header(sentence: str) -> str | None:
    """Return the header that a login's 400 calls missing, although it was sent."""
    words = sentence.partition("answered 400")[2]
    if not _MISSING.search(words):
        return None
    return next((name for name, pattern in _SENT_WITH_A_LOGIN.items() if pattern.search(words)), None)


def _expired(context: ErrorContext) -> str:
    if context.expired is None:
        return ""
    return f", and the token itself says that it expired on {context.expired:%Y-%m-%d %H:%M:%S} UTC"


def _words(error: Exception, context: ErrorContext) -> str:
    return context.scrubber.clean(str(error)).rstrip(". ") or type(error).__name__


def _parted(error: Exception, context: ErrorContext) -> tuple[str, str]:
    """Return the sentence of a login's *error*, and its advice where that is also for whoever calls a command."""
    words = _words(error, context)
    head, _, tail = words.rpartition("; ")
    if not head or not tail.startswith(_OWN_ADVICE):
        return words, ""
    return head, tail.replace(PRIVATE_CA_IN_CODE, PRIVATE_CA)


def _is_client(context: ErrorContext) -> bool:
    return context.source in {CredentialSource.CLIENT, CredentialSource.CLIENT_FILE}


def _new_token(source: CredentialSource | None) -> str:
    if source is not None and source.logs_in:
        return (
            "the token came from a fresh login, so check that EXTERVIEW_ENDPOINT, EXTERVIEW_API_KEY and "
            f"{source} belong to the same organization and environment"
        )
    return f"put a new token into {source}, or set {CredentialSource.PASSWORD} for tokens that renew themselves"
