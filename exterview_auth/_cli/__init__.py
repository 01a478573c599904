"""The command ``exterview-auth``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from exterview_auth.errors import ConfigurationError

from ._complain import complain
from ._exit_code import ExitCode
from ._extras import require_extra


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with *arguments* (by default the process's) and return its exit code."""
    try:
        require_extra("cli")
        from ._app import run  # noqa: PLC0415 - needs the extra

        return run(sys.argv[1:] if arguments is None else arguments)
    except ConfigurationError as error:
        complain(str(error))
        return ExitCode.WRONG_USE
    except KeyboardInterrupt:
        complain("interrupted, so it stopped here; run it again when you like")
        return ExitCode.INTERRUPTED
