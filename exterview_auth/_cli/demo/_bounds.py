"""How much the demo does at once, at most."""

from __future__ import annotations

MOST_CONNECTIONS = 100
MOST_IN_FLIGHT = 5_000

_PER_CONNECTION = 2
"""Descriptors: client and server are one process."""
_APART = 40
"""Descriptors for everything else: modules, event loop, login."""


def connections_for(requests: int) -> int:
    """A quarter of the requests have one, so that there are some left to send when the tokens are revoked."""
    return max(1, min(MOST_CONNECTIONS, requests // 4, _affordable()))


def _affordable() -> int:
    """How many connections the process may open."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return MOST_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else (soft - _APART) // _PER_CONNECTION
