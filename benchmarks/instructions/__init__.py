"""
The instructions that a request costs the client, counted by valgrind's tool callgrind.

A count repeats within a few thousandths, also on a busy machine, where times of the same code differ by tenths. ``scenario``
starts the API and the clients that are counted; ``client`` is the process that runs under valgrind; ``contestants`` are the
ways to send the request; ``callgrind`` controls the counter and reads what it has counted.
"""

from __future__ import annotations

from .. import peers
from ..harness.report import Report


def require() -> None:
    """Raise `SystemExit` with what to install if the counter or a peer is missing."""
    from . import callgrind  # noqa: PLC0415 - what other scenarios need not load

    peers.require("instructions", ("aiohttp_oauth2_client", "google"))
    callgrind.require()


def report(*, quick: bool) -> Report:
    """Return one table for each event loop."""
    from . import scenario  # noqa: PLC0415 - as above

    return scenario.report(quick=quick)
