"""A port for a server that is to come back on it."""

from __future__ import annotations

import random
import socket

_PORTS = range(20_000, 32_000)
"""Below those that a system lends to outgoing connections: while the server is down, one of them could take its port."""
_TRIES = 50


def loopback_port() -> int:
    """One that is free now."""
    for port in random.sample(_PORTS, _TRIES):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port for the soak's API")
