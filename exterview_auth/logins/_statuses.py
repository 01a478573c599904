"""What an HTTP status says about a login: one table for all logins, and for statuses that answers carry inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import CredentialsRejectedError, LoginError, LoginUnavailableError

TOO_MANY = 429
"""The status of a rate limit (RFC 6585)."""
RETRYABLE = frozenset({408, 425, TOO_MANY, *range(500, 1000)})
"""Statuses after which the same login may succeed later (RFC 9110, sections 15.5.9 and 15.6; RFC 8470; RFC 6585)."""
REJECTED = frozenset({400, 401, 403})
"""Statuses that refuse the credentials: the API answers 400 to a missing key, 401 to a wrong one, 403 to one without permission."""

_NAMES = ("status", "status_code", "code")


def meaning_of(status: int) -> type[LoginError]:
    """Return the kind of failure that *status* stands for."""
    if status in RETRYABLE:
        return LoginUnavailableError
    return CredentialsRejectedError if status in REJECTED else LoginError


def status_of(failure: BaseException) -> int | None:
    """Return the status that *failure* reports, whichever HTTP library raised it, or ``None``."""
    # aiohttp and urllib have it on the error, requests and httpx on its response.
    for holder in (failure, getattr(failure, "response", None)):
        for name in _NAMES:
            status = failing_status(getattr(holder, name, None))
            if status is not None:
                return status
    return None


def headers_of(failure: BaseException) -> Mapping[str, str]:
    """Return the headers that came with the status of *failure*."""
    for holder in (failure, getattr(failure, "response", None)):
        headers: Any = getattr(holder, "headers", None)
        if callable(getattr(headers, "get", None)):
            found: Mapping[str, str] = headers
            return found
    return {}


def is_of_httpx_transport(failure: BaseException) -> bool:
    """Whether *failure* is httpx's own for a request without an answer. Unlike those of other libraries, it is no ``OSError``."""
    return any(
        kind.__name__ == "TransportError" and kind.__module__.startswith("httpx") for kind in type(failure).__mro__
    )


def failing_status(value: object) -> int | None:
    """Return *value*, a number or its digits, if it is an HTTP status of failure."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if len(text) == 3 and text.isascii() and text.isdecimal() and "400" <= text < "600" else None  # noqa: PLR2004
