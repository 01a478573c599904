"""The API's addresses, and which URLs may get credentials."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from yarl import URL

from .errors import ConfigurationError, InsecureTransportError

Origin = tuple[str, str, int | None]
"""Scheme, host and port."""

PRODUCTION = "https://api.exterview.ai/graphql"
"""The production endpoint."""

SANDBOX = "https://sandbox-api.exterview.ai/graphql"
"""Exterview's own sandbox, its test environment on the internet."""

_EXAMPLES = {"token_endpoint": "https://login.example.com/oauth/token"}

_NAMED = {"production": PRODUCTION, "sandbox": SANDBOX}

_WITH_TLS = {"https": "https", "wss": "https", "http": "http", "ws": "http"}


def endpoint_url(endpoint: str | URL) -> URL:
    """*endpoint* (``"production"``, ``"sandbox"`` or a URL) as a URL that credentials may be sent to."""
    if not isinstance(endpoint, str | URL):
        raise ConfigurationError(f"endpoint is 'production', 'sandbox' or a URL, not {type(endpoint).__name__}")
    return checked_url(_NAMED.get(str(endpoint).lower(), endpoint), "endpoint", or_else=", 'production' or 'sandbox'")


def checked_url(url: str | URL, what: str, *, or_else: str = "") -> URL:
    """*url*, absolute, without credentials in it, and HTTPS or loopback; errors name it as *what*."""
    try:
        parsed = URL(url)
        usable = parsed.absolute and parsed.scheme in _WITH_TLS and bool(parsed.host) and parsed.port is not None
    except (TypeError, ValueError, IndexError):  # the last is yarl's, for a "//[]@"
        usable = False
    if not usable:
        raise ConfigurationError(
            f"{what} is not an absolute http(s) URL{or_else}; give one like {_EXAMPLES.get(what, PRODUCTION)}"
        )
    if parsed.user is not None or parsed.password is not None:
        raise ConfigurationError(f"{what} has a user name or password in it; take them out of the URL")
    require_safe_transport(parsed, what)
    return parsed


def require_safe_transport(url: URL, what: str) -> None:
    """Raise `InsecureTransportError` unless *url* is HTTPS or its host is loopback."""
    if _WITH_TLS.get(url.scheme) != "https" and not is_loopback(url.host or ""):
        raise InsecureTransportError(f"{what} {url.origin()} is not HTTPS; credentials go over https:// or to loopback")


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine: RFC 6761 (section 6.3) names, 127.0.0.0/8 and ::1."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin_of(url: URL) -> tuple[str, str, int | None]:
    """Scheme, host and port (RFC 6454, section 4); a WebSocket belongs to the origin of its handshake."""
    scheme = _WITH_TLS.get(url.scheme, url.scheme)
    host = (url.host or "").lower().rstrip(".")
    return scheme, _canonical(host) if ":" in host else host, url.port


def _canonical(address: str) -> str:
    """An IPv6 address in its one form (RFC 5952); a URL that was taken as it is written may have it in another."""
    try:
        return ipaddress.ip_address(address).compressed
    except ValueError:
        return address


def checked_origins(endpoint: URL, origins: Iterable[str | URL]) -> frozenset[tuple[str, str, int | None]]:
    """The origins that credentials go to: the endpoint's own and *origins*."""
    if isinstance(origins, str | URL) or not isinstance(origins, Iterable):
        raise ConfigurationError("origins is a list of URLs; put the one that you have into brackets")
    return _together(origin_of(endpoint), *(origin_of(checked_url(origin, "origins")) for origin in origins))


@lru_cache
def _together(*origins: tuple[str, str, int | None]) -> frozenset[tuple[str, str, int | None]]:
    """One set for the ten thousand owners of one endpoint."""
    return frozenset(origins)


def origin_after(url: URL, location: str) -> Origin | None:
    """The origin that a redirect from *url* to *location* leads to; ``None`` where that is no URL."""
    try:
        return origin_of(url.join(URL(location)))
    except (ValueError, IndexError):  # the last is yarl's, for a "//[]@"
        return None
