"""How much the demo does at once, at most."""

from __future__ import annotations

MOST_CONNECTIONS = 100
MOST_IN_FLIGHT = 5_000

_APART = 40
"""Descriptors for everything else: modules, event loop, login."""
_PER_WORKER = 4
"""Descriptors: both ends of talking to it, while it starts."""


def connections_for(requests: int, workers: int = 0) -> int:
    """
    A quarter of the requests have one, so that there are some left to send when the tokens are revoked.

    Each of the *workers*, where the requests come from these processes, has at least one.
    """
    return max(1, workers, min(MOST_CONNECTIONS, requests // 4, _affordable(workers)))


def in_flight_for(workers: int = 0) -> int:
    """How many requests a process has under way, this one or each of the *workers*."""
    return MOST_IN_FLIGHT // max(1, workers)


def _affordable(workers: int) -> int:
    """How many connections this process may have open: both ends, or the server's alone where others are the clients."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return MOST_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    ends = 1 if workers else 2
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else (soft - _APART - _PER_WORKER * workers) // ends
