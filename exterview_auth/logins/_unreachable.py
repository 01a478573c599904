"""A login request without a response: why, whose fault it is, and what to do."""

from __future__ import annotations

import ssl

from aiohttp import (
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientHttpProxyError,
    ClientPayloadError,
    ClientResponseError,
    ConnectionTimeoutError,
    ServerDisconnectedError,
    ServerFingerprintMismatch,
)
from yarl import URL

from .._proxies import failure_of
from ..errors import LoginError, LoginUnavailableError
from ._statuses import meaning_of

PRIVATE_CA = "for a private CA set SSL_CERT_FILE to its certificates"
"""What to do about a certificate that is not trusted."""
PRIVATE_CA_IN_CODE = f"{PRIVATE_CA}, or pass login_session= with a session that trusts it"

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


def unreachable(origin: URL, error: BaseException) -> LoginError:
    """Return *error* as the library's own, with a cause that holds neither request headers nor the server's text."""
    of_proxy = failure_of(error, origin)
    if isinstance(error, ClientHttpProxyError) and of_proxy is not None:
        return _refused_by_proxy(origin, error, *of_proxy)
    reason = next((reason for kinds, reason in _UNREACHABLE_BECAUSE if isinstance(error, kinds)), "the request failed")
    detail = getattr(getattr(error, "certificate_error", None), "verify_message", "")
    named = f"{type(error).__name__}: {detail}" if detail else type(error).__name__
    remedy = f"; {PRIVATE_CA_IN_CODE}" if isinstance(error, ssl.CertificateError) else ""
    if of_proxy is not None:
        reason, remedy = of_proxy.problem, f"; {of_proxy.remedy}"
    unavailable = LoginUnavailableError(f"the login endpoint {origin} cannot be reached: {reason} ({named}){remedy}")
    unavailable.__cause__ = without_secrets(error)
    return unavailable


def _refused_by_proxy(origin: URL, error: ClientHttpProxyError, problem: str, remedy: str) -> LoginError:
    says = f"the login endpoint {origin} cannot be reached: {problem}"
    refused: LoginError = LoginError(f"{says}; {remedy}")
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
