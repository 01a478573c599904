"""The commands, their options and help texts. What a command does is in the module with its name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from . import require_extra
from .completion import NAME, SHELLS, completions, run_completion
from .output import ExitCode, complain
from .token_formats import FORMATS as TOKEN_FORMATS

F = TypeVar("F", bound=Callable[..., Any])


def run(arguments: Sequence[str]) -> int:
    """Run the command that *arguments* name, and return its exit code."""
    try:
        code = completions(app)
        if code is None:
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
    except UnicodeEncodeError as error:
        complain(f"the output cannot show all characters in {error.encoding}; set PYTHONUTF8=1")
        return ExitCode.FAILED
    return code


def _run(arguments: Sequence[str]) -> int:
    try:
        # Not `app.main`, which turns Ctrl-C and a closed pipe into other exceptions.
        with app.make_context(NAME, list(arguments)) as context:
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
    elif isinstance(error, click.MissingParameter) and error.param:
        words = f"missing {_shown(error.param)}, {_rule(error.param.type).removeprefix('not ')}"
    elif isinstance(error, click.BadParameter) and error.param:
        words = f"invalid value for '{_shown(error.param)}': {_rule(error.param.type)}"
    elif error.message.startswith("No such command"):
        words = "no such command"  # which may be an ``EXTERVIEW_PASSWORD=...`` that stands in the wrong place
    else:
        words = error.message.partition(" (")[0].rstrip(". ")
    # click does not say whose option it is that has no value.
    named = [argument for argument in arguments if argument in app.commands][:1]
    command = error.ctx.command_path if error.ctx else " ".join([NAME, *named])
    return f"{words[:1].lower()}{words[1:]}; see '{command} --help'"


def _shown(parameter: click.Parameter) -> str:
    return parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name


def _rule(kind: click.ParamType[Any]) -> str:
    if isinstance(kind, click.Choice):
        return f"not one of {', '.join(kind.choices)}"
    return "not a valid integer" if kind is click.INT else "not a valid number"


def _print_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - how click calls it
    if not wanted:
        return
    try:
        print(f"exterview-auth {version('exterview-auth')}")
    except PackageNotFoundError:
        from exterview_auth.errors import ConfigurationError  # noqa: PLC0415 - loads aiohttp

        raise ConfigurationError(
            "this copy is not installed and has no version; install exterview_auth from the place that this copy came from"
        ) from None
    context.exit()


def _directories(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    return [CompletionItem(begun, type="dir")]


def _seconds(option: str, default: float, text: str) -> Callable[[F], F]:
    return click.option(option, default=default, metavar="SECONDS", help=text)


# Options of several commands.
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one line of JSON.")
_timeout = _seconds("--timeout", 10.0, "How long to wait for the login, and for the answer.")
_password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input, not from EXTERVIEW_PASSWORD."
)


@click.group(
    no_args_is_help=False,  # no command is wrong use
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="""\b
Examples:
  exterview-auth demo                                see what the library does
  exterview-auth emulator                            start a server to try it with
  exterview-auth doctor                              find out what is wrong""",
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
    """
    Authenticate with the Exterview API: see how it works, check credentials, get a token.

    Credentials come from environment variables whose names begin with EXTERVIEW_. A variable with _FILE at the end names a file
    that holds the value. The README has the table of all variables. Exit codes: 0 fine, 1 failed, 2 wrong use or configuration,
    4 no token is held, 130 after Ctrl-C.
    """


# Each command imports its module when it runs. `--help` and wrong use load nothing that they do not need, and `check`, `token`
# and `doctor` work without graphql-core.


@app.command(
    epilog="""\b
Example, four processes that share one token through a directory:
  exterview-auth demo --processes 4 --store file"""
)
@click.option("--requests", default=1000, metavar="N", help="How many requests to send, 1 to 100000.")
@click.option("--processes", default=1, metavar="N", help="How many processes send them, 1 to 64.")
@click.option("--store", metavar="redis|file", help="Where the processes share the token.")
@_json
def demo(*, requests: int, processes: int, store: str | None, as_json: bool) -> int:
    """
    See a storm of requests survive a revoked token.

    The command sends the requests at once to the embedded emulator, revokes every token in mid-flight, and shows what
    happened. Several processes share one account through a redis-server that the command starts, or through a directory.
    The exit code is 1 if any request failed.
    """
    require_extra("emulator")
    from .demo import run_demo  # noqa: PLC0415 - loaded when it runs

    return run_demo(requests, processes=processes, store=store, as_json=as_json)


@app.command(
    epilog="""\b
Examples:
  exterview-auth check
  pass exterview | exterview-auth check --password-stdin"""
)
@_json
@_timeout
@_password_stdin
def check(*, as_json: bool, timeout: float, password_stdin: bool) -> int:
    """
    Check that the API accepts the environment's credentials.

    The command sends `query { __typename }` to EXTERVIEW_ENDPOINT or EXTERVIEW_ENVIRONMENT. The API key is in EXTERVIEW_API_KEY.
    The token comes from EXTERVIEW_EMAIL and EXTERVIEW_PASSWORD, from an OAuth 2.0 client, or from EXTERVIEW_BEARER_TOKEN. The
    command does not use EXTERVIEW_STORE, because a stored token would not prove the password. The exit code is 1 if the API
    refuses the credentials.
    """
    from .check import run_check  # noqa: PLC0415 - loaded when it runs

    return run_check(as_json=as_json, timeout=timeout, password_stdin=password_stdin)


@app.command(
    epilog="""\b
Examples:
  exterview-auth token --format json --store /run/tokens --min-lifetime 60
  curl -K <(exterview-auth token --format curl) --json '{"query": "{ __typename }"}' "$EXTERVIEW_ENDPOINT"

With curl, both secrets come from a file that only curl reads, and no list of processes shows them."""
)
@click.option("--format", "form", type=click.Choice(tuple(TOKEN_FORMATS)), default="text", help="What to print.")
@click.option("--header", is_flag=True, help="The same as --format header: the complete Authorization header.")
@click.option(
    "--store",
    metavar="PLACE",
    shell_complete=_directories,
    help="Where the token is shared: a directory, redis:// or rediss://. Instead of EXTERVIEW_STORE.",
)
@click.option(
    "--account",
    metavar="NAME",
    help="The account's name in the store, the workers' account=. Instead of EXTERVIEW_ACCOUNT.",
)
@click.option("--verify", is_flag=True, help="Ask the API first, and replace the token if it was revoked.")
@_seconds("--min-lifetime", 0.0, "How long the token must live; a shorter one is replaced.")
@click.option("--no-login", is_flag=True, help="Do not log in. If no token is held, print nothing and exit with 4.")
@_timeout
@_password_stdin
def token(
    *,
    form: str,
    header: bool,
    store: str | None,
    account: str | None,
    verify: bool,
    min_lifetime: float,
    no_login: bool,
    timeout: float,
    password_stdin: bool,
) -> int:
    """
    Print a bearer token for other programs.

    The command prints a token that is held, or else logs in. With a store, it prints the token that the workers hold, and saves
    the token of a login for them. Without a store, each call logs in. A token in EXTERVIEW_BEARER_TOKEN counts as held. Whether
    the API still accepts a held token is checked only with --verify. The formats are the token alone (text), the header, JSON
    with the token's expiry, a configuration for curl -K with both headers, and an ExecCredential for kubectl.
    """
    if header and form not in {"text", "header"}:
        raise click.UsageError("--header and --format exclude each other")
    if verify and no_login:
        raise click.UsageError("--verify may log in, so it and --no-login exclude each other")
    from .token import TokenOptions, run_token  # noqa: PLC0415 - loaded when it runs

    options = TokenOptions(
        "header" if header else form, min_lifetime, verify=verify, may_log_in=not no_login, timeout=timeout
    )
    return run_token(options, store=store, account=account, password_stdin=password_stdin)


@app.command(
    epilog="""\b
Examples:
  exterview-auth doctor
  exterview-auth doctor --json | jq '.checks[] | select(.status != "ok")'"""
)
@_json
@_timeout
@_password_stdin
def doctor(*, as_json: bool, timeout: float, password_stdin: bool) -> int:
    """
    Find out what is wrong, and what to do.

    The command examines the installation, each variable, the proxy, DNS, TLS, the clock, the key, the login, the token and the
    store. It prints one line for each: ok, warn, or fail with the remedy. It really logs in, also if EXTERVIEW_STORE is set, and
    shows no value of any variable. The exit code is 1 if anything fails, and 2 if nothing is configured.
    """
    from .doctor import run_doctor  # noqa: PLC0415 - loaded when it runs

    return run_doctor(as_json=as_json, timeout=timeout, password_stdin=password_stdin)


@app.command(
    epilog="""\b
Example, for programs that are started in the same shell:
  eval "$(exterview-auth emulator --token-lifetime 60 --background)"
  exterview-auth check
  kill $EMULATOR_PID

This query finds the ids for your own requests: { organization { _id } jobs { _id title }
interviewers { _id name } getCandidates(input: {}) { candidate { _id fullName } } }"""
)
@click.option("--port", default=0, metavar="N", help="Port to serve on; 0 for any free port.")
@_seconds("--token-lifetime", 3600.0, "How long each token is valid.")
@_seconds("--login-delay", 0.0, "How long each login takes.")
@_seconds("--latency", 0.0, "How long each request waits before it is answered.")
@click.option("--seed", default=2025, metavar="N", help="Seed of the made-up data.")
@click.option("--api-key", metavar="KEY", help="A made-up key of your own, instead of a random one.")
@click.option("--email", metavar="EMAIL", help="The user's e-mail address.")
@click.option("--password-stdin", is_flag=True, help="Read the user's made-up password from standard input.")
@click.option("--background", is_flag=True, help="Return when the emulator listens; `kill $EMULATOR_PID` ends it.")
@click.option("--schema", is_flag=True, help="Print the emulator's GraphQL schema, and exit.")
def emulator(*, background: bool, schema: bool, **options: Any) -> int:
    """
    Serve the embedded emulator until Ctrl-C.

    The command prints the environment variables that the other commands need, one to a line and ready for `export`, and on
    standard error the address of the emulator's page. It prints them when the emulator listens, so a program that has read the
    first line may connect. With --background, it prints commands for a shell, which also set EMULATOR_PID: `kill $EMULATOR_PID`
    ends the emulator. The emulator has one user and one API key.
    """
    require_extra("emulator")
    from .emulator import EmulatorOptions, print_schema, run_emulator, start_emulator  # noqa: PLC0415 - loaded when it runs

    if schema:
        return print_schema()
    run = start_emulator if background else run_emulator
    return run(EmulatorOptions(**options))


@app.command(
    epilog="""\b
Examples, for one session and for all:
  source <(exterview-auth completion bash)
  exterview-auth completion bash > ~/.local/share/bash-completion/completions/exterview-auth
  exterview-auth completion zsh > "${fpath[1]}/_exterview-auth"
  exterview-auth completion fish > ~/.config/fish/completions/exterview-auth.fish"""
)
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL")
def completion(*, shell: str) -> int:
    """
    Let a shell complete this command.

    The command prints the script for SHELL: bash (4.4 or later), zsh or fish. The script completes commands, options and the
    values of options.
    """
    return run_completion(shell, app)
