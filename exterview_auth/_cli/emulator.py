"""``exterview-auth emulator``: serve the emulator, and print the environment that leads to it."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
import sys

from exterview_auth._options import whole_number
from exterview_auth.emulator import Emulator

from .output import ExitCode

_HIGHEST_PORT = 65_535


def run_emulator(port: int) -> ExitCode:
    """Serve on *port* (0: any free port) until SIGINT or SIGTERM."""
    whole_number(port, f"--port must be a number from 0 (any free port) to {_HIGHEST_PORT}", 0, _HIGHEST_PORT)
    asyncio.run(_serve(port))
    return ExitCode.FINE


async def _serve(port: int) -> None:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    # Before the first line is printed: its reader may send a signal at once.
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C ends `asyncio.run` instead
            loop.add_signal_handler(number, stopped.set)
    async with Emulator(port=port) as emulator:
        variables = {
            "EXTERVIEW_ENDPOINT": emulator.endpoint,
            "EXTERVIEW_API_KEY": emulator.api_key,
            "EXTERVIEW_EMAIL": emulator.email,
            "EXTERVIEW_PASSWORD": emulator.password,
        }
        # Quoted where a shell needs it, so that each line can follow `export`.
        print("\n".join(f"{name}={shlex.quote(value)}" for name, value in variables.items()), flush=True)
        if sys.stderr.isatty():
            print("The emulator is running; Ctrl-C ends it.", file=sys.stderr, flush=True)
        await stopped.wait()
