"""Endpoint, origins and credentials: checked before anything is sent."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TypeGuard

from yarl import URL

from ._login_runner import Policy
from ._secret import is_header_safe
from .errors import ConfigurationError, InsecureTransportError

PRODUCTION = "https://api.exterview.ai/graphql"
"""The production endpoint."""

SANDBOX = "https://sandbox-api.exterview.ai/graphql"
"""The platform's own sandbox endpoint (`exterview_auth.sandbox.Sandbox` is the embedded one)."""

LONGEST = 10.0**9
"""The largest number that a limit in seconds, or a count, can have."""

MAX_SECRET_FILE = 2**20
"""Characters of a file with a credential; whatever is longer holds something else."""

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


def checked_api_key(key: object) -> str:
    """*key*, if it can stand in a header."""
    if not isinstance(key, str) or not is_header_safe(key):
        raise ConfigurationError(
            "api_key must be the organization's key: visible ASCII text without spaces or line ends, and not empty"
        )
    return key


def checked_policy(login_timeout: object, refresh_ahead: object, max_logins: object) -> Policy:
    """The numbers of the contract, checked."""
    if not _is_number(refresh_ahead) or refresh_ahead < 0:
        raise ConfigurationError(f"refresh_ahead is a number of seconds, 0 for never, not {refresh_ahead!r}")
    return Policy(positive(login_timeout, "login_timeout"), float(refresh_ahead), _checked_budget(max_logins))


def positive(value: object, what: str) -> float:
    """*value*, if it is a number of seconds that a timeout can have."""
    if not _is_number(value) or value <= 0:
        raise ConfigurationError(f"{what} is a positive number of seconds, not {value!r}")
    return float(value)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LONGEST


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and _is_number(value) and value > 0


def _checked_budget(value: object) -> tuple[int, float]:
    if isinstance(value, tuple | list) and len(value) == 2:  # noqa: PLR2004 - a pair
        count, window = value
        if _is_count(count) and _is_number(window) and window > 0:
            return count, float(window)
    raise ConfigurationError(f"max_logins is a pair of a count and seconds such as (5, 60.0), not {value!r}")


def checked_account(account: object, login: object, *, shared: bool) -> str:
    """The account's name: as given, else the login's own identity; a shared store needs one."""
    if account is not None and (not isinstance(account, str) or not account):
        raise ConfigurationError("account is the name of the account as text, and not empty")
    name = account or getattr(login, "identity", None)
    if name is not None and not isinstance(name, str):
        raise ConfigurationError(f"a login's identity names the account as text, not {type(name).__name__}")
    if not name and shared:
        raise ConfigurationError("a store needs to know whose token it holds; give account= a name for the account")
    return str(name or "")


def read_secret_file(path: str | os.PathLike[str], what: str) -> str:
    """The stripped text of a credential's file; errors name *what* and the path, never the content."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(MAX_SECRET_FILE + 1)
    except (OSError, ValueError) as failure:
        reason = type(failure).__name__
    else:
        if len(text) <= MAX_SECRET_FILE and text.strip():
            return text.strip()
        reason = "it is empty" if len(text) <= MAX_SECRET_FILE else "it is too long for a credential"
    raise ConfigurationError(f"{what}'s file {os.fspath(path)} cannot be read ({reason})")


def named(value: object) -> str:
    """What *value* is, for the error about an argument of the wrong kind."""
    return f"the class {value.__name__}; make one" if isinstance(value, type) else type(value).__name__


def check_callables(login: object, **hooks: object) -> None:
    """Raise `ConfigurationError` where *login*, or one of the *hooks* that are given, cannot be called."""
    if not callable(login) or isinstance(login, type):
        raise ConfigurationError(
            f"login is an async callable such as PasswordLogin(email, password), not {named(login)}"
        )
    for name, hook in hooks.items():
        if hook is not None and not callable(hook):
            raise ConfigurationError(f"{name} is a callable, not {type(hook).__name__}")
