"""
The command ``exterview-auth``.

`main` catches what may end any command: a missing extra, a wrong configuration, Ctrl-C. `app` declares the commands and
their options, and turns wrong use into one sentence. Each command is in the module with its name (`check`, `token`, `doctor`,
`emulator`, `demo`, `completion`), which `app` imports when the command runs: ``--version``, ``--help`` and a shell that completes
a word load neither aiohttp nor any of them, and `check`, `token` and `doctor` do without the emulator.

A command's function takes its options and returns an `ExitCode`. It prints its result on standard output. For an error
it raises `ConfigurationError` if the user must change something (exit code 2), or prints one sentence on standard error
with `complain`. These modules are for all commands: `configuration` is the environment with what the command line says beside it,
`account` opens the account that it describes, `advice` turns an error into what is wrong and what to do, `scrubber` removes
secrets from what a server wrote, and `output` has the exit codes and the terminal.

To add a command: a function in `app` with its options and help text, and a module with its name. `check` is the
example to follow.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec

from .output import ExitCode, complain

_LIBRARIES = {"cli": {"click": "click", "rich": "rich"}, "emulator": {"graphql": "graphql-core"}}
"""What each extra installs, by the names of imports."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with *arguments* (by default the process's) and return its exit code."""
    # Before `app` is imported: it imports click, and an installation without the extra has the command all the same.
    try:
        require_extra("cli")
        from .app import run  # noqa: PLC0415 - needs the extra

        return run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        complain("interrupted, so it stopped here; run it again when you like")
        return ExitCode.INTERRUPTED
    except Exception as error:
        from exterview_auth.errors import ConfigurationError  # noqa: PLC0415 - loads aiohttp

        if not isinstance(error, ConfigurationError):
            raise
        complain(str(error))
        return ExitCode.WRONG_USE


def require_extra(name: str) -> None:
    """Raise `ConfigurationError` unless everything is installed that the extra *name* installs."""
    missing = [library for module, library in _LIBRARIES[name].items() if find_spec(module) is None]
    if missing:
        from exterview_auth._options import needs_extra  # noqa: PLC0415 - loads aiohttp
        from exterview_auth.errors import ConfigurationError  # noqa: PLC0415 - as above

        how = needs_extra("this command", " and ".join(missing), name)
        if find_spec("pip") is not None:
            how += f", or run: {sys.executable} -m pip install {_requirements(name, missing)}"
        raise ConfigurationError(how)


def _requirements(extra: str, libraries: list[str]) -> str:
    """Return what to give pip, as the package's metadata have it: the package itself may come from anywhere."""
    try:
        lines = requires("exterview-auth") or []
    except PackageNotFoundError:  # a copy that was not installed
        lines = []
    found = [line.partition(";")[0].strip() for line in lines if f'extra == "{extra}"' in line.replace("'", '"')]
    return " ".join(shlex.quote(line) for line in found or libraries)
