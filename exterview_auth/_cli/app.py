"""The commands, their options and help texts. What a command does is in the module with its name."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import click

from exterview_auth.errors import ConfigurationError

from . import require_extra
from .output import ExitCode, complain

# Options of several commands.
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one line of JSON.")
_timeout = click.option(
    "--timeout", default=10.0, metavar="SECONDS", help="How long to wait for the login, and for the answer."
)


def run(arguments: Sequence[str]) -> int:
    """Run the command that *arguments* name, and return its exit code."""
    try:
        code = _run(arguments)
        if sys.stdout is not None:  # as after `exterview-auth check >&-`
            sys.stdout.flush()
    except OSError as error:
        # As after `exterview-auth demo | head -1`, which is no error, or `exterview-auth token >/dev/full`.
        if not isinstance(error, BrokenPipeError):
            why = error.strerror or type(error).__name__
            complain(f"the command could not go on ({why}); look at where its output goes")
        # The interpreter flushes standard output once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    return code


def _run(arguments: Sequence[str]) -> int:
    try:
        # Not `app.main`, which turns Ctrl-C and a closed pipe into other exceptions.
        with app.make_context("exterview-auth", list(arguments)) as context:
            return int(app.invoke(context))
    except click.exceptions.Exit as done:  # --help and --version
        return done.exit_code
    except click.UsageError as error:
        complain(_usage_sentence(error, arguments))
        return ExitCode.WRONG_USE


def _usage_sentence(error: click.UsageError, arguments: Sequence[str]) -> str:
    """Return what is wrong and where to read more, without the values that click repeats: they may be secrets."""
    if isinstance(error, click.NoSuchOption):
        words = f"no such option: {error.option_name}"
    elif isinstance(error, click.BadParameter) and error.param:
        kind = "integer" if error.param.type is click.INT else "number"
        words = f"invalid value for '{error.param.opts[0]}': not a valid {kind}"
    elif error.message.startswith("No such command"):
        words = "no such command"  # which may be an ``EXTERVIEW_PASSWORD=...`` that stands in the wrong place
    else:
        words = error.message.partition(" (")[0].rstrip(". ")
    # click does not say whose option it is that has no value.
    named = [argument for argument in arguments if argument in app.commands][:1]
    command = error.ctx.command_path if error.ctx else " ".join(["exterview-auth", *named])
    return f"{words[:1].lower()}{words[1:]}; see '{command} --help'"


def _print_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - how click calls it
    if not wanted:
        return
    try:
        print(f"exterview-auth {version('exterview-auth')}")
    except PackageNotFoundError:
        raise ConfigurationError(
            "this copy is not installed and has no version; install exterview_auth from the place that this copy came from"
        ) from None
    context.exit()


@click.group(
    no_args_is_help=False,  # no command is wrong use
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option(
    "--version",
    is_flag=True,
    callback=_print_version,
    is_eager=True,
    expose_value=False,
    help="Print the version and exit.",
)
def app() -> None:
    """Authenticate with the Exterview API: see how it works, prove credentials, get a token."""


# Each command imports its module when it runs. `--help` and wrong use load nothing that they do not need, and `check` and
# `token` work without graphql-core.


@app.command()
@click.option("--requests", default=1000, metavar="N", help="How many requests to send, 1 to 100000.")
@click.option("--processes", default=1, metavar="N", help="How many processes send them, 1 to 64.")
@click.option("--store", metavar="redis|file", help="Where the processes share the token.")
@_json
def demo(*, requests: int, processes: int, store: str | None, as_json: bool) -> int:
    """
    See a storm of requests survive a revoked token.

    Sends the requests at once to the embedded emulator, revokes every token in mid-flight, and shows what happened.
    Several processes share one account through a redis-server that is started for them, or through a directory.
    The exit code is 1 if any request failed.
    """
    require_extra("emulator")
    from .demo import run_demo  # noqa: PLC0415 - loaded when it runs

    return run_demo(requests, processes=processes, store=store, as_json=as_json)


@app.command()
@_json
@_timeout
def check(*, as_json: bool, timeout: float) -> int:
    """
    Prove the environment's credentials.

    Sends `query { __typename }` with EXTERVIEW_API_KEY, and EXTERVIEW_EMAIL and EXTERVIEW_PASSWORD or
    EXTERVIEW_BEARER_TOKEN, to EXTERVIEW_ENDPOINT or EXTERVIEW_ENVIRONMENT. Key, password and token may be in files that
    the variables with _FILE at their end name. The exit code is 1 if the API refuses them.
    """
    from .check import run_check  # noqa: PLC0415 - loaded when it runs

    return run_check(as_json=as_json, timeout=timeout)


@app.command()
@click.option("--header", is_flag=True, help="Print the complete Authorization header.")
@_timeout
def token(*, header: bool, timeout: float) -> int:
    """Log in and print the bearer token."""
    from .token import run_token  # noqa: PLC0415 - loaded when it runs

    return run_token(as_header=header, timeout=timeout)


@app.command()
@click.option("--port", default=0, metavar="N", help="Port to serve on; 0 takes any free one.")
def emulator(*, port: int) -> int:
    """
    Serve the embedded emulator until Ctrl-C.

    Prints the environment variables that the other commands need, one to a line and ready for `export`.
    """
    require_extra("emulator")
    from .emulator import run_emulator  # noqa: PLC0415 - loaded when it runs

    return run_emulator(port)
