"""Why a login endpoint could not be asked, without what the failed request carried."""

from __future__ import annotations

import ssl

from aiohttp import (
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
    ClientResponseError,
    ConnectionTimeoutError,
    ServerDisconnectedError,
    ServerFingerprintMismatch,
)
from yarl import URL

from ..errors import LoginUnavailableError

_REASONS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((ssl.SSLError, ssl.CertificateError, ServerFingerprintMismatch), "TLS was refused"),
    ((ClientConnectorDNSError, UnicodeError), "its name was not found"),
    ((ConnectionTimeoutError,), "no connection in time"),
    ((TimeoutError,), "no whole answer in time"),
    ((ClientConnectorError,), "the connection was refused or has no route"),
    ((ClientPayloadError,), "the answer broke off"),
    ((ClientResponseError,), "it does not speak HTTP"),
    ((ServerDisconnectedError, OSError), "the connection was lost"),
)


def unreachable(origin: URL, error: BaseException) -> LoginUnavailableError:
    """*error* as the library's own, with a cause that holds neither request headers nor what the server sent."""
    reason = next((reason for kinds, reason in _REASONS if isinstance(error, kinds)), "the request failed")
    detail = getattr(getattr(error, "certificate_error", None), "verify_message", "")
    named = f"{type(error).__name__}: {detail}" if detail else type(error).__name__
    unavailable = LoginUnavailableError(f"the login endpoint {origin} cannot be asked: {reason} ({named})")
    unavailable.__cause__ = _cause(error)
    return unavailable


def _cause(error: BaseException) -> BaseException:
    """
    The system's own error.

    aiohttp's connector errors name proxies, its timeouts name whole URLs, and its protocol errors quote requests and answers:
    of those only the class is kept.
    """
    if isinstance(error, ClientConnectorError):
        return error.os_error
    if isinstance(error, TimeoutError):
        return TimeoutError(type(error).__name__)
    if isinstance(error, OSError):
        return error
    return ClientError(type(error).__name__)
