"""``exterview-auth demo``: a storm of requests, a revocation in the middle, and the picture of what happened."""

from __future__ import annotations

import asyncio
import json
import sys

from ..output import ExitCode
from ._plan import checked_plan


def run_demo(requests: int, *, processes: int = 1, store: str | None = None, as_json: bool = False) -> ExitCode:
    """Play the demo and tell; standard output gets the picture and the summary, or the one line of JSON."""
    plan = checked_plan(requests, processes, store)
    from ..output import console  # noqa: PLC0415 - the fleet's processes load this package and show nothing
    from ._screen import Screen  # noqa: PLC0415 - likewise

    screen = Screen(console(sys.stderr if as_json else sys.stdout), plan, quiet=as_json)
    screen.begin()
    from ._scenario import play  # noqa: PLC0415 - the first line is out before the emulator is loaded
    from ._summary import as_dict, summary  # noqa: PLC0415 - likewise

    try:
        with screen.live():
            story = asyncio.run(play(plan, screen.show))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None  # another signal has ended it
    if as_json:
        print(json.dumps(as_dict(story)), flush=True)
    else:
        screen.end(story.timeline, summary(story))
    return ExitCode.FAILED if story.failed else ExitCode.FINE
