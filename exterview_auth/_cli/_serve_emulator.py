"""``exterview-auth emulator``: serve it, and print the environment that leads to it."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
import sys
from collections.abc import Iterator

from exterview_auth.emulator import Emulator
from exterview_auth.errors import ConfigurationError

from ._exit_code import ExitCode

_HIGHEST_PORT = 65_535


def run_emulator(port: int) -> ExitCode:
    """Serve on *port* (0: any free one) until SIGINT or SIGTERM."""
    if not 0 <= port <= _HIGHEST_PORT:
        raise ConfigurationError(f"--port is a number from 0 (any free port) to {_HIGHEST_PORT}, not {port}")
    asyncio.run(_serve(port))
    return ExitCode.FINE


async def _serve(port: int) -> None:
    with _stopped_by_signals() as stopped:
        async with Emulator(port=port) as emulator:
            print("\n".join(_environment_of(emulator)), flush=True)
            if sys.stderr.isatty():
                print("The emulator is running; Ctrl-C ends it.", file=sys.stderr, flush=True)
            await stopped.wait()


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set, from before the first line is printed."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C ends `asyncio.run` instead
            loop.add_signal_handler(number, stopped.set)
    yield stopped


def _environment_of(emulator: Emulator) -> Iterator[str]:
    """One variable to a line, quoted where a shell needs it, so that each line can follow ``export``."""
    yield f"EXTERVIEW_ENDPOINT={shlex.quote(emulator.endpoint)}"
    yield f"EXTERVIEW_API_KEY={shlex.quote(emulator.api_key)}"
    yield f"EXTERVIEW_EMAIL={shlex.quote(emulator.email)}"
    yield f"EXTERVIEW_PASSWORD={shlex.quote(emulator.password)}"
