"""``exterview-auth emulator``: serve the emulator, and print the environment that leads to it."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
import sys
from dataclasses import dataclass, field
from urllib.parse import urljoin

from exterview_auth._options import checked_api_key, number, whole_number
from exterview_auth._secret import Secret
from exterview_auth.emulator import Emulator
from exterview_auth.errors import ConfigurationError

from .configuration import password_from_stdin
from .output import ExitCode

_HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class EmulatorOptions:
    """The command line. A port of zero is any free one, and credentials that are not given are random, or the data's."""

    port: int
    token_lifetime: float
    login_delay: float
    latency: float
    seed: int
    api_key: str | None = field(repr=False)
    email: str | None
    password_stdin: bool


def run_emulator(options: EmulatorOptions) -> ExitCode:
    """Serve until SIGINT or SIGTERM, or until the terminal is closed."""
    _check(options)
    password = password_from_stdin() if options.password_stdin else None
    asyncio.run(_serve(options, password))
    return ExitCode.FINE


def _check(options: EmulatorOptions) -> None:
    """Raise `ConfigurationError` that names the option. Those of the emulator itself name its arguments."""
    whole_number(options.port, f"--port must be a number from 0 (any free port) to {_HIGHEST_PORT}", 0, _HIGHEST_PORT)
    for option in ("token_lifetime", "login_delay", "latency"):
        name = option.replace("_", "-")
        number(getattr(options, option), f"--{name} must be a number of seconds, zero or more")
    if options.email is not None and not options.email.strip():
        raise ConfigurationError("--email is empty; give it a made-up address")
    if options.api_key is not None:
        with contextlib.suppress(ConfigurationError):
            checked_api_key(options.api_key)
            return
        raise ConfigurationError("--api-key must be visible ASCII text without spaces, not empty; make one up")


async def _serve(options: EmulatorOptions, password: Secret | None) -> None:
    stopped = asyncio.Event()
    # Before the first line is printed: its reader may send a signal at once.
    _stop_at_signals(stopped)
    emulator = Emulator(
        port=options.port,
        token_lifetime=options.token_lifetime,
        login_delay=options.login_delay,
        latency=options.latency,
        seed=options.seed,
        api_key=options.api_key,
        email=options.email,
        password=password,
    )
    async with emulator:
        variables = {
            "EXTERVIEW_ENDPOINT": emulator.endpoint,
            "EXTERVIEW_API_KEY": emulator.api_key,
            "EXTERVIEW_EMAIL": emulator.email,
            "EXTERVIEW_PASSWORD": emulator.password,
        }
        # Quoted where a shell needs it, so that each line can follow `export`. In one piece, so that who has read the first
        # line may read the others.
        print("\n".join(f"{name}={shlex.quote(value)}" for name, value in variables.items()), flush=True)
        _point_to(urljoin(emulator.endpoint, "/"))
        await stopped.wait()


def _stop_at_signals(stopped: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    numbers = [signal.SIGINT, signal.SIGTERM]
    # A terminal that is closed ends it as well, unless it was started by nohup.
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        numbers.append(hangup)
    for each in numbers:
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C ends `asyncio.run` instead
            loop.add_signal_handler(each, stopped.set)


def _point_to(page: str) -> None:
    if sys.stderr is None:
        return
    how_to_end = "; Ctrl-C ends it" if sys.stderr.isatty() else ""
    with contextlib.suppress(OSError):  # nobody reads it, and the emulator serves all the same
        print(f"The emulator's page is at {page}{how_to_end}", file=sys.stderr, flush=True)
