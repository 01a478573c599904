"""
One login request, and what its response means.

1. No redirect is followed, because the request holds credentials.
2. At most `MAX_RESPONSE` bytes of a body are read; then the connection is closed.
3. Whatever comes back, only `LoginError` and its subclasses are raised, with no secret in a message or a cause.
"""

from __future__ import annotations

import codecs
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import (
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientHttpProxyError,
    ClientPayloadError,
    ClientResponseError,
    ClientSession,
    ConnectionTimeoutError,
    ServerDisconnectedError,
    ServerFingerprintMismatch,
)
from multidict import CIMultiDict
from yarl import URL

from .._endpoint import require_safe_transport, secrets_in, secrets_in_headers
from .._json import json_object
from .._redaction import MAX_SENTENCE, redacted
from .._secret import SecretBytes, concealed, is_encodable, read_pieces
from .._token import Token, without_bearer
from ..errors import ConfigurationError, CredentialsRejectedError, ExterviewAuthError, LoginError, LoginUnavailableError
from ._context import MAX_RESPONSE, PossibleRejectionError
from ._http_dates import retry_after, server_time
from ._statuses import meaning_of
from ._words import words_in

_UNREACHABLE_BECAUSE: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((ssl.SSLError, ssl.CertificateError, ServerFingerprintMismatch), "the TLS handshake failed"),
    ((ClientConnectorDNSError, UnicodeError), "its host name was not found"),
    ((ConnectionTimeoutError,), "it did not accept the connection in time"),
    ((TimeoutError,), "it did not answer in time"),
    ((ClientConnectorError,), "the connection was refused, or there is no route to it"),
    ((ClientPayloadError,), "the response ended too early"),
    ((ClientResponseError,), "it does not speak HTTP"),
    ((ServerDisconnectedError, OSError), "the connection was lost"),
)
"""The first match counts: aiohttp's classes derive from each other."""


_FORM_TYPES = ("application/x-www-form-urlencoded", "text/plain", "")
_MAX_FIELDS = 100
"""Fields of a form that is read as an answer."""
# Codecs of text alone: others take long, or are for something else. Python looks for the module of a name that it does not know.
_CHARSET = re.compile(
    r"""charset\s*=\s*["']?((?:ascii|big5|cp|euc|gb|iso|koi8|latin|mac|shift|us-ascii|utf-?(?:8|16|32)|windows)[\w-]*)""",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class LoginResponse:
    """A login endpoint's response; ``body`` is ``None`` if it was longer than `MAX_RESPONSE`."""

    origin: URL
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status claims success."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the class of success, RFC 9110, section 15.3

    @property
    def retryable(self) -> bool:
        """Whether the status says that the same request may succeed later."""
        return meaning_of(self.status) is LoginUnavailableError

    @property
    def served_at(self) -> float:
        """Seconds since the epoch, by the server's clock if it sent the time."""
        return server_time(self.headers)

    def payload(self) -> dict[str, Any] | None:
        """
        Return the body's JSON object, or ``None`` if it is not one.

        It may hold a token: what reads it returns its errors, which are raised where it is no local variable.
        """
        # JSON is UTF-8 (RFC 8259, section 8.1), whatever charset is declared; what is not is read as it is declared.
        found = json_object(self.body or b"")
        return json_object(self.text()) if found is None and self._charset else found

    def form(self) -> dict[str, Any]:
        """Return the body's fields if it may be a form; empty if it is none. As for `payload`, it may hold a token."""
        if self.kind not in _FORM_TYPES:
            return {}
        try:
            return dict(parse_qsl(self.text(), max_num_fields=_MAX_FIELDS))
        except ValueError:
            return {}

    def text(self) -> str:
        """Return the body in its declared charset, or in UTF-8."""
        body = self.body or b""
        try:
            return body.decode(self._charset or "utf-8")
        except UnicodeError:
            return body.decode(errors="replace")

    @property
    def kind(self) -> str:
        """The body's media type in lower case, or ``""``."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def words(self, payload: Mapping[str, Any] | None) -> str:
        """Return what the response says for people: an error's text in its JSON *payload*, or a body of plain text."""
        is_sentence = payload is None and self.kind == "text/plain" and len(self.body or b"") <= MAX_SENTENCE
        return self.text() if is_sentence else words_in(payload)

    def redact(self, text: object) -> str:
        """Return *text* from this response, fit for a message."""
        return redacted(text, self.secrets)

    def unavailable(self, text: object = None) -> LoginUnavailableError:
        """Return the error for an endpoint that may answer later."""
        return LoginUnavailableError(
            f"the login endpoint {self.origin} is not available: {self._quoted(text)}",
            retry_after=retry_after(self.headers),
            status=self.status,
        )

    def rejected(self, text: object = None, *, reason: str | None) -> CredentialsRejectedError:
        """Return the error for credentials that must change."""
        return CredentialsRejectedError(
            f"the login endpoint {self.origin} rejected the credentials: {self._quoted(text)}", reason=reason
        )

    def perhaps_rejected(self, text: object = None, *, reason: str | None) -> PossibleRejectionError:
        """Return the error for a failure that wrong credentials may cause as well as a server in trouble."""
        rejected = CredentialsRejectedError(
            f"the login endpoint {self.origin} fails for these credentials, which counts as a rejection: {self._quoted(text)}",
            reason=reason,
        )
        unavailable = self.unavailable(text)
        return PossibleRejectionError(
            str(unavailable), rejected, retry_after=unavailable.retry_after, status=unavailable.status
        )

    def misconfigured(self, text: object, advice: str) -> LoginError:
        """Return the error for a login that does not fit the endpoint; *advice* says what to change."""
        return LoginError(
            f"the login endpoint {self.origin} does not accept this login: {self._quoted(text)}; {advice}"
        )

    def refused(self, text: object = None, *, reason: str | None) -> LoginError:
        """Return the error that the status alone stands for."""
        meaning = meaning_of(self.status)
        if meaning is LoginUnavailableError:
            return self.unavailable(text)
        if meaning is CredentialsRejectedError:
            return self.rejected(text, reason=reason)
        return self.misconfigured(text, "check its URL")

    def unreadable(self) -> LoginError:
        """Return the error for a success without a JSON object in it."""
        if self.body is None:
            return LoginError(
                f"the login endpoint {self.origin} answered with more than {MAX_RESPONSE} bytes; check its URL"
            )
        kind = self.redact(self.kind) or "no content type"
        what = f"{kind} instead of JSON" if "json" not in kind else "JSON that is not an object"
        return LoginError(f"the login endpoint {self.origin} answered with {what}; check its URL")

    def token(self, value: str, *, expires_in: float | None, refresh_token: str | None) -> Token | LoginError:
        """Return the token found in this response, without a refresh token that could never be sent; or why it is not one."""
        presentable = refresh_token if refresh_token and is_encodable(refresh_token) else None
        try:
            return Token(without_bearer(value), expires_in=expires_in, refresh_token=presentable)
        except ConfigurationError as error:
            why = str(error)
        return LoginError(f"the login endpoint {self.origin} answered with a token that cannot be sent: {why}")

    def without_token(self, where: str, text: str, advice: str) -> LoginError:
        """Return the error for a success without a token; *where* it was looked for, and *advice* says what to do."""
        quote = self.redact(text)
        said = f", {quote!r}" if quote else ""
        return LoginError(f"the login endpoint {self.origin} answered without {where}{said}; {advice}")

    @property
    def _charset(self) -> str:
        """The declared charset, if it is one of text."""
        declared = _CHARSET.search(self.headers.get("Content-Type", ""))
        try:
            return codecs.lookup(declared[1]).name if declared else ""
        except LookupError:
            return ""

    def _quoted(self, text: object) -> str:
        quote = self.redact(text)
        return f"it answered {self.status}, {quote!r}" if quote else f"it answered {self.status}"


def headers_of(given: Mapping[str, str], needed: Mapping[str, str]) -> CIMultiDict[str]:
    """Return a login's headers: those *given* by the caller may replace ``Accept``, but not what is *needed*."""
    headers = CIMultiDict({"Accept": "application/json"})
    headers.update(given)
    headers.update(needed)
    return headers


async def post(
    session: ClientSession, url: URL, *, headers: Mapping[str, str], body: bytes, secrets: Iterable[str | None]
) -> LoginResponse:
    """
    Send *body* once and return the response; *secrets* are the texts that no message may repeat.

    Raises `InsecureTransportError`, `LoginUnavailableError` if no response arrives, `LoginError` for a redirect.
    """
    require_safe_transport(url, "the login endpoint")
    known = concealed((*(secret for secret in secrets if secret), *secrets_in(url)))
    outcome = await _exchange(session, url, headers, body, tuple(known))
    # Raised here: in the frames of the exchange are aiohttp's response, whose repr shows its headers, and aiohttp's error, whose
    # repr shows the request's.
    if isinstance(outcome, LoginError):
        raise outcome
    return outcome


async def _exchange(
    session: ClientSession, url: URL, headers: Mapping[str, str], body: bytes, secrets: tuple[str, ...]
) -> LoginResponse | LoginError:
    pieces: list[SecretBytes] = []
    try:
        # raise_for_status=False: a login_session of the application may raise by itself, with our headers in its error.
        async with session.post(
            url, data=body, headers=headers, allow_redirects=False, raise_for_status=False
        ) as received:
            # In pieces, because Content-Length may be missing or wrong.
            whole = await read_pieces(received.content, MAX_RESPONSE, pieces)
            if not whole:
                received.close()
    except ExterviewAuthError:
        raise  # from a middleware of the login's session, such as its guard: not a network failure
    except (ClientError, OSError, TimeoutError, UnicodeError) as error:
        return unreachable(url.origin(), error)
    # As it was sent: the application's login session, or a middleware of it, may add credentials of its own.
    sent = concealed(tuple(secrets_in_headers(received.request_info.headers)))
    content = SecretBytes(b"".join(pieces)) if whole else None
    response = LoginResponse(url.origin(), received.status, received.headers, content, (*secrets, *sent))
    if 300 <= response.status < 400:  # noqa: PLR2004 - RFC 9110, section 15.4
        return _redirected(response, url)
    return response


def unreachable(origin: URL, error: BaseException) -> LoginError:
    """Return *error* as the library's own, with a cause that holds neither request headers nor the server's text."""
    if isinstance(error, ClientHttpProxyError):
        return _refused_by_proxy(origin, error)
    reason = next((reason for kinds, reason in _UNREACHABLE_BECAUSE if isinstance(error, kinds)), "the request failed")
    detail = getattr(getattr(error, "certificate_error", None), "verify_message", "")
    named = f"{type(error).__name__}: {detail}" if detail else type(error).__name__
    what = f"the login endpoint {origin}"
    # The name of a proxy that is not found has the error of any name, and its own host.
    if isinstance(error, ClientConnectorError) and error.host != origin.raw_host:
        what = f"the proxy on the way to {what}"
    unavailable = LoginUnavailableError(f"{what} cannot be reached: {reason} ({named})")
    unavailable.__cause__ = without_secrets(error)
    return unavailable


def _refused_by_proxy(origin: URL, error: ClientHttpProxyError) -> LoginError:
    says = f"the proxy on the way to the login endpoint {origin} answered {error.status}"
    refused: LoginError = LoginError(f"{says}; check its URL, user and password")
    if meaning_of(error.status) is LoginUnavailableError:
        refused = LoginUnavailableError(says, status=error.status)
    refused.__cause__ = without_secrets(error)
    return refused


def without_secrets(error: BaseException) -> BaseException:
    """
    Return what can be chained of a network *error*: the system's own error, or else the class alone.

    aiohttp's connector errors name proxies and their passwords, its timeouts name whole URLs, and its protocol errors quote
    requests and responses. Its frames hold all of that too.
    """
    if isinstance(error, ClientConnectorError):
        error = error.os_error
    if isinstance(error, TimeoutError):
        return TimeoutError(type(error).__name__)
    if isinstance(error, OSError) and not isinstance(error, ClientError):
        error.__context__ = None
        return error.with_traceback(None)
    return ClientError(type(error).__name__)


def _redirected(response: LoginResponse, url: URL) -> LoginError:
    try:
        target = str(url.join(URL(response.headers.get("Location", ""))).origin())
    except (ValueError, IndexError):  # the last is yarl's, for a "//[]@"
        target = "no usable address"
    return LoginError(
        f"the login endpoint {response.origin} redirects ({response.status}) to {response.redact(target)};"
        " credentials are not sent there: give its final URL"
    )
