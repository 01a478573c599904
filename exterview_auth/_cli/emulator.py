"""``exterview-auth emulator``: serve the emulator, here or in the background, and print the environment that leads to it."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.resources import files
from urllib.parse import urljoin

from exterview_auth._options import checked_api_key, number, whole_number
from exterview_auth._secret import Secret
from exterview_auth.emulator import Emulator
from exterview_auth.errors import ConfigurationError

from .configuration import password_from_stdin
from .output import ExitCode

_HIGHEST_PORT = 65_535
_VARIABLES = ("EXTERVIEW_ENDPOINT", "EXTERVIEW_API_KEY", "EXTERVIEW_EMAIL", "EXTERVIEW_PASSWORD")


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


def start_emulator(options: EmulatorOptions) -> int:
    """Serve in a process of its own, and return once it listens, or with its exit code."""
    given = {
        "port": options.port,
        "token-lifetime": options.token_lifetime,
        "login-delay": options.login_delay,
        "latency": options.latency,
        "seed": options.seed,
        "api-key": options.api_key,
        "email": options.email,
    }
    arguments = [f"--{name}={value}" for name, value in given.items() if value is not None]
    arguments += ["--password-stdin"] * options.password_stdin
    process = subprocess.Popen(  # noqa: S603 - this program itself
        [sys.executable, "-m", "exterview_auth", "emulator", *arguments],
        stdin=None if options.password_stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        # Not ours: whoever reads all that this command says would wait until the emulator ends.
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    lines = [process.stdout.readline() for _ in _VARIABLES]
    # Where its page is, or why it has ended.
    _say(process.stderr.readline().rstrip("\n"))
    if not lines[-1]:
        return process.wait()
    print("".join(f"export {line}" for line in lines), end="")
    print(f"export EMULATOR_PID={process.pid}", flush=True)
    process.returncode = 0  # it goes on, and that is no leak to warn of
    return ExitCode.FINE


def print_schema() -> ExitCode:
    """Print the schema in GraphQL's own language."""
    print((files("exterview_auth.emulator") / "_graphql" / "schema.graphql").read_text(encoding="utf-8"), end="")
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
        values = (emulator.endpoint, emulator.api_key, emulator.email, emulator.password)
        # Quoted where a shell needs it, so that each line can follow `export`. In one piece, so that who has read the first
        # line may read the others.
        lines = (f"{name}={shlex.quote(value)}" for name, value in zip(_VARIABLES, values, strict=True))
        print("\n".join(lines), flush=True)
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
    how_to_end = "; Ctrl-C ends it" if sys.stderr is not None and sys.stderr.isatty() else ""
    _say(f"The emulator's page is at {page}{how_to_end}")


def _say(line: str) -> None:
    if sys.stderr is not None:
        with contextlib.suppress(OSError):  # nobody reads it, and the emulator serves all the same
            print(line, file=sys.stderr, flush=True)
