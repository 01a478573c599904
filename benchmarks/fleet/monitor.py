"""What clients send to Redis, as its own MONITOR tells it."""

from __future__ import annotations

import asyncio
import re
import uuid
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from exterview_auth._cli.demo.redis_server import HOST

from ..harness.api import DEADLINE

# +1700000000.000000 [0 127.0.0.1:50000] "get" "key", or [0 lua] where a script calls it.
_LINE = re.compile(rb"\+[0-9.]+ \[\d+ (?:lua|\S+:(?P<port>\d+))\] \"")


@dataclass
class Commands:
    """Commands by the port that they came from, and those that scripts called."""

    by_port: Counter[int] = field(default_factory=Counter)
    by_scripts: int = 0


class Monitor:
    """Reads along at one Redis; a connection of its own marks where to stop."""

    def __init__(self, lines: StreamReader, marks: tuple[StreamReader, StreamWriter]) -> None:
        self._lines = lines
        self._answers, self._marking = marks
        self._own: int = self._marking.get_extra_info("sockname")[1]

    async def commands(self) -> Commands:
        """All that came since the last time, without what this object has sent."""
        mark = uuid.uuid4().hex.encode()
        self._marking.write(b"ECHO %s\r\n" % mark)
        found = Commands()
        async with asyncio.timeout(DEADLINE):
            while mark not in (line := await self._lines.readuntil(b"\r\n")):
                self._note(line, found)
            await self._answers.readuntil(mark + b"\r\n")
        return found

    def _note(self, line: bytes, found: Commands) -> None:
        told = _LINE.match(line)
        assert told is not None, line
        if told["port"] is None:
            found.by_scripts += 1
        elif int(told["port"]) != self._own:
            found.by_port[int(told["port"])] += 1


@asynccontextmanager
async def monitor(port: int) -> AsyncIterator[Monitor]:
    """Read along at the Redis on *port*."""
    lines, watching = await asyncio.open_connection(HOST, port)
    answers, marking = await asyncio.open_connection(HOST, port)
    try:
        watching.write(b"MONITOR\r\n")
        await lines.readuntil(b"+OK\r\n")
        yield Monitor(lines, (answers, marking))
    finally:
        for writer in (watching, marking):
            writer.close()
            await writer.wait_closed()
