"""``exterview-auth completion``: the script by which a shell completes commands, options and their values."""

from __future__ import annotations

import os

import click
from click.shell_completion import BashComplete, ShellComplete, get_completion_class, shell_complete

from .output import ExitCode

SHELLS = ("bash", "zsh", "fish")
NAME = "exterview-auth"
_VARIABLE = "_EXTERVIEW_AUTH_COMPLETE"
"""What the script sets when it asks for completions. The command line then stands in other variables."""


def run_completion(shell: str, app: click.Command) -> ExitCode:
    """Print the script for *shell*."""
    kind = get_completion_class(shell)
    assert kind is not None
    completion = kind(app, {}, NAME, _VARIABLE)
    # Not bash's own method, which asks the bash of this process for its version: the script may be for another one.
    source = ShellComplete.source(completion) if kind is BashComplete else completion.source()
    print(source)
    return ExitCode.FINE


def completions(app: click.Command) -> int | None:
    """Print what the shell asks for, and return the exit code; ``None`` if no shell asks."""
    instruction = os.environ.get(_VARIABLE)
    return None if not instruction else int(shell_complete(app, {}, NAME, _VARIABLE, instruction))
