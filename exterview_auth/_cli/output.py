"""What the command prints and how it ends: exit codes, errors, a terminal. Loads neither click nor aiohttp."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console


PATIENCE = 1.0
"""Seconds after which a command says that it is still at work."""


class ExitCode(IntEnum):
    """What the shell sees."""

    FINE = 0
    FAILED = 1
    """The check failed, there is no token, or a request of the demo failed."""
    WRONG_USE = 2
    """The command line or the configuration must be changed; nothing was sent."""
    NOT_HELD = 4
    """There is no token without a login, and none was wanted."""
    INTERRUPTED = 130
    """Ctrl-C: 128 and the signal's number, as shells count."""


def complain(sentence: str) -> None:
    """Print on standard error what is wrong and what to do."""
    from exterview_auth._redaction import printable_line  # noqa: PLC0415 - most runs have nothing to complain about

    # Without a standard error, `print` would take standard output, which may be a token's place.
    if sys.stderr is not None:
        with suppress(OSError):  # nobody hears it, and the exit code says the same
            print(f"exterview-auth: {printable_line(sentence)}", file=sys.stderr, flush=True)


@contextmanager
def sign_of_life(what: str) -> Iterator[None]:
    """Say on standard error, if it is a terminal, *what* a running loop waits for, unless that is over within a second."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    import asyncio  # noqa: PLC0415 - loaded where a loop runs

    timer = asyncio.get_running_loop().call_later(PATIENCE, complain, f"still {what}")
    try:
        yield
    finally:
        timer.cancel()


def has_colours(stream: TextIO) -> bool:
    """Whether colours may be printed on *stream*: on a terminal only, and never if ``NO_COLOR`` is set (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def console(stream: TextIO) -> Console:
    """Return a console on *stream*."""
    from rich.console import Console  # noqa: PLC0415 - this module reports that the extra with rich is missing

    # rich's own detection would write control codes into a pipe if `FORCE_COLOR` or `TTY_COMPATIBLE` is set.
    is_terminal = stream.isatty()
    return Console(
        file=stream,
        force_terminal=is_terminal,
        color_system="auto" if has_colours(stream) else None,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not is_terminal,
    )
