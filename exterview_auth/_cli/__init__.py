"""The command ``exterview-auth``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

from ._complain import complain
from ._exit_code import ExitCode

_EXTRA = ("typer", "rich", "graphql")
"""What the extra ``emulator`` brings."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with *arguments* (the process's own by default) and return its exit code."""
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        complain(f"the command needs {' and '.join(missing)}; run: pip install 'exterview-auth[emulator]'")
        return ExitCode.WRONG_USE
    try:
        from ._app import run  # noqa: PLC0415 - needs the extra

        return run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        complain("interrupted, so it stopped here; run it again when you like")
        return ExitCode.INTERRUPTED
