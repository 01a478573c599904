"""``exterview-auth demo``: a storm of requests, a revocation in the middle, and the picture of what happened."""

from __future__ import annotations

import asyncio
import json
import sys

from exterview_auth.errors import ConfigurationError

from .._exit_code import ExitCode
from .._terminal import console
from ._screen import Screen

MOST_REQUESTS = 100_000


def run_demo(requests: int, *, as_json: bool) -> ExitCode:
    """Play the demo and tell; standard output gets the picture and the summary, or the one line of JSON."""
    if not 1 <= requests <= MOST_REQUESTS:
        raise ConfigurationError(f"--requests is a number from 1 to {MOST_REQUESTS}, not {requests}")
    screen = Screen(console(sys.stderr if as_json else sys.stdout), requests, quiet=as_json)
    screen.begin()
    from ._scenario import play  # noqa: PLC0415 - the first line is out before the sandbox is loaded
    from ._summary import as_dict, summary  # noqa: PLC0415 - likewise

    with screen.live():
        story = asyncio.run(play(requests, screen.show))
    if as_json:
        print(json.dumps(as_dict(story)), flush=True)
    else:
        screen.end(story.timeline, summary(story))
    return ExitCode.FAILED if story.failed else ExitCode.FINE
