"""The commands and their options; what they do is in the modules beside this one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from exterview_auth.errors import ConfigurationError

from ._complain import complain
from ._exit_code import ExitCode

app = typer.Typer(
    name="exterview-auth",
    help="Authentication for the Exterview API: see it work, prove credentials, get a token.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # typer has it, under no name of its own

Json = Annotated[bool, typer.Option("--json", help="End with one line of JSON.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for the login, and for the answer.")]


def run(arguments: Sequence[str]) -> int:
    """Run the command that *arguments* name; every wrong use ends here, as one sentence."""
    try:
        code = int(app(list(arguments), prog_name="exterview-auth", standalone_mode=False) or 0)
    except _UsageError as error:
        complain(_usage_sentence(error))
        return ExitCode.WRONG_USE
    except ConfigurationError as error:
        complain(str(error))
        return ExitCode.WRONG_USE
    except typer.Abort:
        raise KeyboardInterrupt from None
    except (BrokenPipeError, SystemExit):  # typer makes the second of the first
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes it once more
        return ExitCode.FAILED
    if code == ExitCode.INTERRUPTED:
        raise KeyboardInterrupt  # which typer has turned into this code
    return code


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - how typer calls it
    if not wanted:
        return
    try:
        print(f"exterview-auth {version('exterview-auth')}")
    except PackageNotFoundError:
        raise ConfigurationError(
            "this copy is not installed and has no version; run: pip install exterview-auth"
        ) from None
    raise typer.Exit


@app.callback()
def common(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What every command has in common."""


@app.command()
def demo(
    requests: Annotated[int, typer.Option(help="How many, 1 to 100000.")] = 1000,
    processes: Annotated[int, typer.Option(help="How many send them, 1 to 64.")] = 1,
    store: Annotated[str | None, typer.Option(help="Where they share the token: redis or file.")] = None,
    as_json: Json = False,  # noqa: FBT002 - how typer declares a flag
) -> int:
    """
    See a storm of requests survive a revoked token.

    Sends them at once to the embedded emulator, revokes every token in mid-flight, and shows what happened.
    Several processes share one account: by a redis-server that is started for them, or by a directory.
    Exits with 1 where any request failed.
    """
    from .demo import run_demo  # noqa: PLC0415 - each command loads what it needs

    return run_demo(requests, processes=processes, store=store, as_json=as_json)


@app.command()
def check(as_json: Json = False, timeout: Timeout = 10.0) -> int:  # noqa: FBT002 - how typer declares a flag
    """
    Prove the environment's credentials.

    Sends `query { __typename }` with EXTERVIEW_API_KEY, and EXTERVIEW_EMAIL and EXTERVIEW_PASSWORD or
    EXTERVIEW_BEARER_TOKEN, to EXTERVIEW_ENDPOINT or EXTERVIEW_ENVIRONMENT. Exits with 1 where the API refuses.
    """
    from ._check import run_check  # noqa: PLC0415 - each command loads what it needs

    return run_check(as_json=as_json, timeout=timeout)


@app.command()
def token(
    header: Annotated[bool, typer.Option("--header", help="Print the whole Authorization header.")] = False,  # noqa: FBT002 - how typer declares a flag
    timeout: Timeout = 10.0,
) -> int:
    """Log in and print the bearer token."""
    from ._print_token import run_token  # noqa: PLC0415 - each command loads what it needs

    return run_token(as_header=header, timeout=timeout)


@app.command()
def emulator(port: Annotated[int, typer.Option(help="0 takes any free one.")] = 0) -> int:
    """
    Serve the embedded emulator until Ctrl-C.

    Prints, one to a line and ready for `export`, the environment that the other commands need for it.
    """
    from ._serve_emulator import run_emulator  # noqa: PLC0415 - each command loads what it needs

    return run_emulator(port)


def _usage_sentence(error: Exception) -> str:
    """Typer's own words without the arguments that it repeats (they may be secrets), and where to read more."""
    message: str = error.format_message()  # type: ignore[attr-defined]
    words = message.partition(" (")[0].rstrip(". ")
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "exterview-auth"
    return f"{words[:1].lower()}{words[1:]}; see '{command} --help'"
