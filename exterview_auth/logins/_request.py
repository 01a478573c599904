"""
One login request, and what its response means.

1. No redirect is followed, because the request holds credentials.
2. At most `MAX_RESPONSE` bytes of a body are read; then the connection is closed.
3. Whatever comes back, only `LoginError` and its subclasses are raised, with no secret in a message or a cause.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import ClientError, ClientSession
from multidict import CIMultiDict
from yarl import URL

from .._endpoint import require_safe_transport, secrets_in, secrets_in_headers
from .._json import json_object
from .._redaction import redacted
from .._secret import SecretBytes, concealed, is_encodable, read_pieces
from .._token import Token, without_bearer
from ..errors import ConfigurationError, CredentialsRejectedError, ExterviewAuthError, LoginError, LoginUnavailableError
from ._context import MAX_RESPONSE, PossibleRejectionError
from ._http_dates import retry_after, server_time
from ._statuses import TOO_MANY, meaning_of
from ._token_search import names_in
from ._unreachable import unreachable
from ._words import reason_in, words_of

_REJECTED = {
    "api_key": " (the API key)",
    "user": " (the email or the password)",
    "client": " (the client or its secret)",
    "refresh_token": " (the refresh token)",
}
"""What was refused, by `CredentialsRejectedError.reason`."""
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
        """Return what the response says for people: an error's text in its JSON *payload*, plain text, or a page's title."""
        return words_of(payload, self.kind, self.text())

    def redact(self, text: object) -> str:
        """Return *text* from this response, fit for a message."""
        return redacted(text, self.secrets)

    def unavailable(self, text: object = None, *, limited: bool = False) -> LoginUnavailableError:
        """Return the error for an endpoint that may answer later; *limited*: because it was asked too often."""
        asked = retry_after(self.headers)
        said = f"the login endpoint {self.origin} is not available: {self._quoted(text)}"
        if limited or self.status == TOO_MANY:
            # What was asked for is `retry_after` alone: how long an owner waits for it is the core's to say.
            wait = "wait a minute, and " if asked is None else ""
            said = f"{said}; too many logins: {wait}share the token through a store"
        return LoginUnavailableError(said, retry_after=asked, status=self.status)

    def rejected(self, text: object = None, *, reason: str | None) -> CredentialsRejectedError:
        """Return the error for credentials that must change."""
        return CredentialsRejectedError(
            f"the login endpoint {self.origin} rejected the credentials{_REJECTED.get(reason or '', '')}: {self._quoted(text)}",
            reason=reason,
            retry_after=retry_after(self.headers),
        )

    def perhaps_rejected(self, text: object = None, *, reason: str | None) -> PossibleRejectionError:
        """Return the error for a failure that wrong credentials may cause as well as a server in trouble."""
        rejected = CredentialsRejectedError(
            f"the login endpoint {self.origin} fails for these credentials, which counts as a rejection: {self._quoted(text)}",
            reason=reason,
            retry_after=retry_after(self.headers),
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
            return self._refused_by_a_stranger(text) if self._is_foreign else self.rejected(text, reason=reason)
        return self.misconfigured(text, "check its URL")

    def unreadable(self) -> LoginError:
        """Return the error for a success without a JSON object in it."""
        if self.body is None:
            return LoginError(
                f"the login endpoint {self.origin} answered with more than {MAX_RESPONSE} bytes; check its URL"
            )
        title = self.redact(self.words(None)) if self.kind != "text/plain" else ""
        titled = f", titled {title!r}" if title else ""
        return LoginError(f"the login endpoint {self.origin} answered with {self._kind_of_body}{titled}; check its URL")

    def token(self, value: str, *, expires_in: float | None, refresh_token: str | None) -> Token | LoginError:
        """Return the token found in this response, without a refresh token that could never be sent; or why it is not one."""
        presentable = refresh_token if refresh_token and is_encodable(refresh_token) else None
        try:
            return Token(without_bearer(value), expires_in=expires_in, refresh_token=presentable)
        except ConfigurationError as error:
            why = str(error)
        return LoginError(f"the login endpoint {self.origin} answered with a token that cannot be sent: {why}")

    def without_token(self, payload: Mapping[str, Any] | None, where: str, text: str, advice: str) -> LoginError:
        """
        Return the error for a success without a token; *where* it was looked for, and *advice* says what to do.

        It names the members of *payload*, if it was looked for there, and never their values.
        """
        quote = self.redact(text)
        said = f", {quote!r}" if quote else ""
        there, missing = names_in(payload or {})
        if missing:
            said += f": {self.redact(missing)} is null"
            advice = "does the account need a second factor, or is it locked?"
        elif payload is not None:
            said += f": it has {self.redact(', '.join(there)) or 'nothing in it'}"
        return LoginError(f"the login endpoint {self.origin} answered without {where}{said}; {advice}")

    @property
    def _is_foreign(self) -> bool:
        """Whether something else than a login may have answered: with a page, or with nothing that says what it refuses."""
        if self.payload() is not None or (self.kind == "text/plain" and reason_in(self.text())):
            return False
        return bool(self.body) or self.status == 403  # noqa: PLR2004 - what firewalls answer, also without a body

    def _refused_by_a_stranger(self, text: object) -> CredentialsRejectedError:
        return CredentialsRejectedError(
            f"the login endpoint {self.origin} refused the login: {self._quoted(text)}, with {self._kind_of_body};"
            " look for a firewall or proxy on the way that answers in its place",
            retry_after=retry_after(self.headers),
        )

    @property
    def _kind_of_body(self) -> str:
        kind = self.redact(self.kind) or "no content type"
        return f"{kind} instead of JSON" if "json" not in kind else "JSON that is not an object"

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


def _redirected(response: LoginResponse, url: URL) -> LoginError:
    try:
        target = str(url.join(URL(response.headers.get("Location", ""))).origin())
    except (ValueError, IndexError):  # the last is yarl's, for a "//[]@"
        target = "no usable address"
    return LoginError(
        f"the login endpoint {response.origin} redirects ({response.status}) to {response.redact(target)};"
        " credentials are not sent there: give its final URL"
    )
