"""
The one place that sends a login request and reads its answer.

1. No redirect is followed: what was sent holds credentials.
2. At most `MAX_ANSWER` bytes are read; whoever sends more is disconnected.
3. Whatever comes back, only `LoginError` and its kinds are raised, with no secret in the message or its causes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientError, ClientResponse, ClientSession
from yarl import URL

from .._endpoint import require_safe_transport
from .._json import json_object
from .._secret import is_encodable
from .._token import Token, without_bearer
from ..errors import ConfigurationError, CredentialsRejectedError, ExterviewAuthError, LoginError, LoginUnavailableError
from ._context import MAX_ANSWER
from ._http_dates import retry_after, server_time
from ._redaction import quoted
from ._unreachable import unreachable

RETRYABLE = frozenset({408, 425, 429, *range(500, 1000)})
"""Statuses after which the same login may succeed later (RFC 9110, sections 15.5.9 and 15.6; RFC 8470; RFC 6585)."""
REJECTED = frozenset({400, 401, 403})
"""Statuses that refuse the credentials: the API answers 400 to a missing key, 401 to a wrong one, 403 to one without the permission."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a login endpoint said; ``body`` is ``None`` where it was longer than `MAX_ANSWER`."""

    origin: URL
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    @property
    def fine(self) -> bool:
        """Whether the status claims success."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the class of success, RFC 9110, section 15.3

    @property
    def ask_later(self) -> bool:
        """Whether the status says that the same request may succeed later."""
        return self.status in RETRYABLE

    @property
    def served_at(self) -> float:
        """Seconds since the epoch, by the server's own clock where it tells."""
        return server_time(self.headers)

    def payload(self) -> dict[str, Any] | None:
        """Return the body's JSON object, or ``None`` if it is not one."""
        return json_object(self.body or b"")

    def quote(self, text: object) -> str:
        """*text* from this answer, fit for a message."""
        return quoted(text, self.secrets)

    def unavailable(self, text: object = None) -> LoginUnavailableError:
        """The endpoint is to be asked later."""
        return LoginUnavailableError(
            f"the login endpoint {self.origin} is not available: {self._said(text)}",
            retry_after=retry_after(self.headers),
        )

    def rejected(self, text: object = None, *, reason: str | None) -> CredentialsRejectedError:
        """The credentials are to be changed."""
        return CredentialsRejectedError(
            f"the login endpoint {self.origin} refused the credentials: {self._said(text)}", reason=reason
        )

    def misfit(self, text: object, advice: str) -> LoginError:
        """Login and endpoint do not fit each other; *advice* says what to change."""
        return LoginError(f"the login endpoint {self.origin} does not accept this login: {self._said(text)}; {advice}")

    def refused(self, text: object = None, *, reason: str | None) -> LoginError:
        """What the status alone says."""
        if self.ask_later:
            return self.unavailable(text)
        if self.status in REJECTED:
            return self.rejected(text, reason=reason)
        return self.misfit(text, "check its URL")

    def unreadable(self) -> LoginError:
        """Why a success has no JSON object in it."""
        if self.body is None:
            return LoginError(f"the login endpoint {self.origin} answered with more than {MAX_ANSWER} bytes")
        kind = self.quote(self.headers.get("Content-Type", "").partition(";")[0]) or "no content type"
        what = f"{kind} instead of JSON" if "json" not in kind.lower() else "something that is no JSON object"
        return LoginError(f"the login endpoint {self.origin} answered with {what}; check its URL")

    def token(self, value: str, *, expires_in: float | None, refresh_token: str | None) -> Token:
        """The token that was found in this answer; a refresh token that could never be presented is left out."""
        presentable = refresh_token if refresh_token and is_encodable(refresh_token) else None
        try:
            return Token(without_bearer(value), expires_in=expires_in, refresh_token=presentable)
        except ConfigurationError as error:
            why = str(error)
        raise LoginError(f"the login endpoint {self.origin} answered with a token that cannot be sent: {why}")

    def _said(self, text: object) -> str:
        quote = self.quote(text)
        return f"it answered {self.status}, {quote!r}" if quote else f"it answered {self.status}"


async def ask(
    session: ClientSession, url: URL, *, headers: Mapping[str, str], body: bytes, secrets: Iterable[str | None]
) -> Answer:
    """
    The answer to one POST of *body*; *secrets* are what no message may repeat.

    Raises `InsecureTransportError`, `LoginUnavailableError` where no answer comes, `LoginError` for a redirect.
    """
    require_safe_transport(url, "the login endpoint")
    known = tuple(secret for secret in secrets if secret)
    try:
        answer = await _exchange(session, url, headers, body, known)
    except ExterviewAuthError:
        raise  # a middleware of the login's session has its say
    except (ClientError, OSError, TimeoutError, UnicodeError) as error:
        failure = unreachable(url.origin(), error)
    else:
        _refuse_redirect(answer, url)
        return answer
    raise failure


async def _exchange(
    session: ClientSession, url: URL, headers: Mapping[str, str], body: bytes, secrets: tuple[str, ...]
) -> Answer:
    async with session.post(url, data=body, headers=headers, allow_redirects=False, raise_for_status=False) as response:
        content = await _bounded_body(response)
        return Answer(url.origin(), response.status, response.headers, content, secrets)


async def _bounded_body(response: ClientResponse) -> bytes | None:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > MAX_ANSWER:
            response.close()
            return None
    return bytes(content)


def _refuse_redirect(answer: Answer, url: URL) -> None:
    if not 300 <= answer.status < 400:  # noqa: PLR2004 - RFC 9110, section 15.4
        return
    try:
        target = str(url.join(URL(answer.headers.get("Location", ""))).origin())
    except (ValueError, IndexError):  # yarl's, for a "//[]@"
        target = "no usable address"
    raise LoginError(
        f"the login endpoint {answer.origin} redirects ({answer.status}) to {answer.quote(target)};"
        " credentials do not follow: give its final URL"
    )
