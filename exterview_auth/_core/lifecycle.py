"""One owner, one event loop at a time."""

from __future__ import annotations

import asyncio
import os

from ..errors import ConfigurationError


class LoopBond:
    """
    The loop that an owner's tasks, timers and futures belong to.

    `entered` is false where the caller runs in another loop than last time, the old one having ended (or the process
    having forked): what belonged to the old loop is then to be let go of, and never touched.
    """

    __slots__ = ("_pid", "loop")

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()

    def entered(self) -> bool:
        """Whether this is still the loop of last time; raises `ConfigurationError` where that one still runs elsewhere."""
        loop = asyncio.get_running_loop()
        if loop is self.loop:
            return True
        if self.loop is not None and self.loop.is_running() and self._pid == os.getpid():
            raise ConfigurationError(
                "this ExterviewAuth is in use by another event loop that still runs; make one owner for each loop"
                " and let them share a store"
            )
        self.loop, self._pid = loop, os.getpid()
        return False

    @property
    def alive(self) -> bool:
        """Whether the loop could still run what belongs to it."""
        return self.loop is not None and not self.loop.is_closed() and self._pid == os.getpid()
