"""Reads what clients send to Redis from its own MONITOR."""

from __future__ import annotations

import asyncio
import re
import uuid
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exterview_auth._cli.demo.redis_server import HOST

from ..harness.process import DEADLINE

# +1700000000.000000 [0 127.0.0.1:50000] "get" "key", or [0 lua] if a script calls it.
_LINE = re.compile(rb"\+[0-9.]+ \[\d+ (?:lua|\S+:(?P<port>\d+))\] \"")


class Monitor:
    """Reads along at one Redis. A second connection marks where to stop."""

    def __init__(self, lines: StreamReader, marks: tuple[StreamReader, StreamWriter]) -> None:
        self._lines = lines
        self._answers, self._marking = marks
        self._own: int = self._marking.get_extra_info("sockname")[1]

    async def commands(self) -> Counter[int]:
        """Count the commands since the last time by the client's port, without those of scripts and of this object."""
        mark = uuid.uuid4().hex.encode()
        # MONITOR is a stream without an end: a command of our own shows up in it after all commands sent before.
        self._marking.write(b"ECHO %s\r\n" % mark)
        found = Counter[int]()
        async with asyncio.timeout(DEADLINE):
            while mark not in (line := await self._lines.readuntil(b"\r\n")):
                command = _LINE.match(line)
                assert command is not None, line
                if command["port"] is not None:
                    found[int(command["port"])] += 1
            await self._answers.readuntil(mark + b"\r\n")
        del found[self._own]
        return found


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
