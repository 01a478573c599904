"""Where the command writes."""

from __future__ import annotations

import os
from typing import TextIO

from rich.console import Console


def console(stream: TextIO) -> Console:
    """A console on *stream*: colours on a terminal only, and never where ``NO_COLOR`` is set (https://no-color.org)."""
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
