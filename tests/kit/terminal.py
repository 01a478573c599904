"""A terminal: a real pseudo-terminal of so many rows, and an emulator (pyte) that says what a person sees on it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Sequence

import pyte

HISTORY = 1000
"""Lines that have left the screen and can be scrolled back to."""


def seen_after(command: Sequence[str], *, rows: int, columns: int = 80, seconds: float = 120.0) -> list[str]:
    """Run *command* on a terminal; return all lines that are on it at the end, those that were scrolled away first."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    screen = pyte.HistoryScreen(columns, rows, history=HISTORY, ratio=1)
    stream = pyte.ByteStream(screen)
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env={**environ, "TERM": "xterm-256color"})
    os.close(its)
    try:
        while piece := _read(ours):
            stream.feed(piece)
        process.wait(seconds)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    gone = ["".join(line[column].data for column in range(columns)) for line in screen.history.top]
    return [line.rstrip() for line in (*gone, *screen.display)]


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the last program has left the terminal
        return b""
