"""The API's addresses, the header of its key, and which URLs may get credentials."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from yarl import URL

from ._secret import Secret, plain_kind
from .errors import ConfigurationError, InsecureTransportError

Origin = tuple[str, str, int | None]
"""Scheme, host and port."""

PRODUCTION = "https://api.exterview.ai/graphql"
"""The production endpoint."""

SANDBOX = "https://sandbox-api.exterview.ai/graphql"
"""Exterview's own sandbox, its test environment on the internet."""

API_KEY_HEADER = "x-api-key"
"""The request header with the organization's API key."""

_SHORTEST_IN_QUERY = 8
"""Characters of a query's value: a shorter one is a version or a flag."""

_SHORTEST_IN_HEADER = 8
"""Characters of a cookie or an unknown header: a shorter one is no session, and part of many words."""
_WITH_CREDENTIALS = frozenset({"authorization", "proxy-authorization", API_KEY_HEADER})
_PUBLIC_HEADERS = frozenset({
    "accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "connection", "content-disposition",
    "content-encoding", "content-language", "content-length", "content-type", "date", "expect", "forwarded", "from", "host",
    "if-match", "if-modified-since", "if-none-match", "if-unmodified-since", "keep-alive", "origin", "pragma", "prefer", "range",
    "te", "traceparent", "tracestate", "trailer", "transfer-encoding", "upgrade", "user-agent", "via", "x-correlation-id",
    "x-request-id", "x-requested-with",
})  # fmt: skip
"""What servers repeat that is no secret. Of any other header, only the application knows."""

_NAMED = {"production": PRODUCTION, "sandbox": SANDBOX}

# What a resolver can be asked for, and no wildcard: an address is read by `ipaddress` instead.
_IN_A_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_LONGEST_LABEL = 63
_LONGEST_NAME = 254

_WITH_TLS = {"https": "https", "wss": "https", "http": "http", "ws": "http"}


def endpoint_url(endpoint: str | URL) -> URL:
    """Return *endpoint* (``"production"``, ``"sandbox"`` or a URL) as a URL to which credentials may be sent."""
    if not isinstance(endpoint, str | URL):
        raise ConfigurationError(f"endpoint must be 'production', 'sandbox' or a URL, not {plain_kind(endpoint)}")
    return checked_url(_NAMED.get(str(endpoint).lower(), endpoint), "endpoint", or_else=", 'production' or 'sandbox'")


def checked_url(url: str | URL, what: str, *, example: str = PRODUCTION, or_else: str = "") -> URL:
    """Return *url* if it is absolute, HTTPS or loopback, and contains no credentials. Errors name it as *what*."""
    try:
        parsed = URL(url)
        usable = parsed.absolute and parsed.scheme in _WITH_TLS and bool(parsed.raw_host) and parsed.port is not None
    except (TypeError, ValueError, IndexError):  # the last is yarl's, for a "//[]@"
        usable = False
    if not usable:
        raise ConfigurationError(f"{what} must be an absolute http(s) URL{or_else}; for example {example}")
    # aiohttp would send them as Basic authentication, and every message that shows the URL would show them.
    if parsed.user is not None or parsed.password is not None:
        raise ConfigurationError(f"{what} has a user name or password in it; remove them from the URL")
    if not _can_be_a_host(parsed.raw_host or ""):
        raise ConfigurationError(f"{what} has a host name that cannot exist; write one host in full, without wildcards")
    require_safe_transport(parsed, what)
    return parsed


def shown_url(url: URL) -> str:
    """Return *url* as messages and ``repr`` show it: its query or fragment may hold a key or a signature."""
    bare = url.with_fragment(None).with_query(None)
    return f"{bare}{'?***' if url.raw_query_string else ''}{'#***' if url.raw_fragment else ''}"


def secrets_in(url: URL) -> Iterator[str]:
    """Yield what `shown_url` hides and a server may repeat, such as ``POST /graphql?sig=... not found``."""
    yield from (text for text in (url.raw_query_string, *url.query.values()) if len(text) >= _SHORTEST_IN_QUERY)


def secrets_in_headers(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield what a request's *headers* hold that a server may repeat and no message may show, with and without a scheme."""
    for name, value in headers.items():
        named = name.lower()
        if isinstance(value, Secret) or named in _WITH_CREDENTIALS:
            scheme, _, rest = value.partition(" ")
            yield from (value, rest)
            yield from _basic(rest) if scheme.lower() == "basic" else ()
        elif named == "cookie":
            pairs = (pair.partition("=")[2].strip() for pair in value.split(";"))
            yield from (text for text in pairs if len(text) >= _SHORTEST_IN_HEADER)
        elif named not in _PUBLIC_HEADERS and len(value) >= _SHORTEST_IN_HEADER:
            yield from (value, value.partition(" ")[2])


def _basic(credentials: str) -> Iterator[str]:
    """Yield the password in the header of Basic authentication, and what stands there as it is before it is encoded."""
    with contextlib.suppress(ValueError):
        plain = base64.b64decode(credentials).decode(errors="replace")
        yield from (plain, plain.partition(":")[2])


def require_safe_transport(url: URL, what: str, *, proxy: URL | None = None) -> None:
    """Raise `InsecureTransportError` unless *url* is HTTPS, or its host is loopback and so is its *proxy*'s, if it has one."""
    if is_encrypted(url):
        return
    if not is_loopback(url.raw_host or ""):
        raise InsecureTransportError(
            f"{what} {url.origin()} is not HTTPS; credentials are only sent over https:// or to loopback"
        )
    if proxy is not None and not is_loopback(proxy.raw_host or ""):
        raise InsecureTransportError(
            f"{what} {url.origin()} is not HTTPS and would pass the proxy {proxy.raw_host} in clear; "
            "leave this machine out of the proxy (NO_PROXY), or use https://"
        )


def is_encrypted(url: URL) -> bool:
    """Whether requests to *url* use TLS, whatever stands on the way."""
    return _WITH_TLS.get(url.scheme) == "https"


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine: a name of RFC 6761 (section 6.3), 127.0.0.0/8, also mapped to IPv6, or ::1."""
    host = host.lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    # Python's own answer for a mapped address depends on its version.
    return address is not None and (getattr(address, "ipv4_mapped", None) or address).is_loopback


def origin_of(url: URL) -> Origin:
    """Return scheme, host and port (RFC 6454, section 4). A WebSocket has the origin of its handshake."""
    # `raw_host` is what aiohttp connects to; `host` may be spelled in another way, and may raise.
    host = (url.raw_host or "").lower()
    if ":" in host:
        # yarl keeps an encoded URL as it is written, and an IPv6 address has many spellings (RFC 5952 has one).
        address = _address(host)
        host = host if address is None else address.compressed
    elif host.endswith(".") and _address(host.rstrip(".")) is None:  # after an address, a dot makes it a name for DNS
        host = host.rstrip(".")
    return _WITH_TLS.get(url.scheme, url.scheme), host, url.port


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host)
    return None


def _can_be_a_host(host: str) -> bool:
    if ":" in host:
        return _address(host) is not None
    labels = host.lower().removesuffix(".").split(".")
    return len(host) <= _LONGEST_NAME and all(
        0 < len(label) <= _LONGEST_LABEL and _IN_A_LABEL.issuperset(label) for label in labels
    )


def checked_origins(endpoint: URL, origins: Iterable[str | URL]) -> frozenset[Origin]:
    """Return the origins to which credentials are sent: that of the endpoint, and *origins*."""
    if isinstance(origins, str | URL) or not isinstance(origins, Iterable):
        raise ConfigurationError("origins must be a list of URLs; put a single URL in brackets")
    return _together(origin_of(endpoint), *(origin_of(checked_url(origin, "origins")) for origin in origins))


@lru_cache
def _together(*origins: Origin) -> frozenset[Origin]:
    """Return the same set for the same origins: ten thousand owners of one endpoint share it."""
    return frozenset(origins)
