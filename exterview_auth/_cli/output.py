"""What the command prints and how it ends: exit codes, errors, clean text, a terminal."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, TextIO

from exterview_auth._redaction import masked_line, printable_line, redacted
from exterview_auth._secret import Secret
from exterview_auth._secret_file import read_secret_file, unwrapped
from exterview_auth.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

_SECRET_VARIABLE = re.compile(r"EXTERVIEW_(?:\w+_)?(?:KEY|PASSWORD|TOKEN|SECRET)(_FILE)?")


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
    with suppress(OSError):  # nobody hears it, and the exit code says the same
        print(f"exterview-auth: {printable_line(sentence)}", file=sys.stderr, flush=True)


class Scrubber:
    """Removes every secret of this run from text that others wrote: a server may echo what it was sent."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._secrets: set[Secret] = set()
        for name, text in environ.items():
            variable = _SECRET_VARIABLE.fullmatch(name)
            if variable is None or not text.strip():
                continue
            if not variable[1]:
                self.hide(unwrapped(text))
                continue
            # The command itself reports a file that cannot be read.
            with suppress(ConfigurationError):
                self.hide(read_secret_file(unwrapped(text).strip(), name))

    def hide(self, secret: str | None) -> None:
        """Replace *secret* too from now on."""
        if secret and secret.strip():
            self._secrets.update((Secret(secret), Secret(secret.strip())))

    def clean(self, sentence: str) -> str:
        """Return a *sentence* of the library on one printable line, with ``***`` in the place of secrets."""
        return masked_line(sentence, self._secrets)

    def quote(self, text: str) -> str:
        """Return *text* from a server likewise, and shortened."""
        return redacted(text, self._secrets)


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
