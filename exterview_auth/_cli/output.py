"""What the command prints and how it ends: exit codes, errors, clean text, a terminal."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_VARIABLES = ("EXTERVIEW_API_KEY", "EXTERVIEW_PASSWORD", "EXTERVIEW_BEARER_TOKEN")
_FILES = ("EXTERVIEW_API_KEY_FILE", "EXTERVIEW_BEARER_TOKEN_FILE")
_NOT_PRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_MAX_LENGTH = 200


class ExitCode(IntEnum):
    """What the shell sees."""

    FINE = 0
    FAILED = 1
    """The check failed, there is no token, or a request of the demo failed."""
    WRONG_USE = 2
    """The command line or the configuration must be changed; nothing was sent."""
    INTERRUPTED = 130
    """Ctrl-C: 128 and the signal's number, as shells count."""


def complain(sentence: str) -> None:
    """Print on standard error what is wrong and what to do."""
    print(f"exterview-auth: {sentence}", file=sys.stderr, flush=True)


class Scrubber:
    """Removes every secret of this run from text that others wrote: a server may echo what it was sent."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._secrets: set[str] = set()
        for name in _VARIABLES:
            self.hide(environ.get(name, ""))
        for name in _FILES:
            path = environ.get(name, "").strip()
            # The command itself reports a file that cannot be read.
            with suppress(OSError, UnicodeDecodeError):
                self.hide(Path(path).read_text(encoding="utf-8") if path else "")

    def hide(self, secret: str) -> None:
        """Replace *secret* too from now on."""
        if secret.strip():
            self._secrets.update((secret, secret.strip()))

    def clean(self, text: str) -> str:
        """Return *text* on one line, shortened, without control codes, and with ``***`` in the place of secrets."""
        # The longest first: a token that begins with the API key must not leave its rest behind.
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        line = _NOT_PRINTABLE.sub(" ", text).strip()
        return line if len(line) <= _MAX_LENGTH else f"{line[:_MAX_LENGTH]}..."


def console(stream: TextIO) -> Console:
    """Return a console on *stream*: colours on a terminal only, and never if ``NO_COLOR`` is set (https://no-color.org)."""
    from rich.console import Console  # noqa: PLC0415 - this module reports that the extra with rich is missing

    # rich's own detection would write control codes into a pipe if `FORCE_COLOR` or `TTY_COMPATIBLE` is set.
    is_terminal = stream.isatty()
    with_colours = is_terminal and not os.environ.get("NO_COLOR")
    return Console(
        file=stream,
        force_terminal=is_terminal,
        color_system="auto" if with_colours else None,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not is_terminal,
    )
