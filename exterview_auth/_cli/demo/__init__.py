"""
``exterview-auth demo``: many requests at once, every token revoked in the middle, and a picture of what happened.

`run_demo` checks the options into a `Plan` and prints the first line at once; then `scenario` starts the emulator in
this process and lets a sender send. A `Sender` (module `sender`) is one owner of a token and one session, which send the
requests of a `WorkerConfig` in the mix of `workload`, and count.

With ``--processes`` or ``--store``, the sender is a `Fleet`: `store` starts a redis-server, or makes a directory, and
`fleet` starts processes of the module `worker`. Each gets a `WorkerConfig` on its standard input, opens the shared
store, and runs a `Sender`; its `Counts` come back on its standard output, many times a second. A process that dies, or
is silent for too long, has failed its share of the requests.

When enough answers have arrived, the scenario revokes every token. Meanwhile a `Recorder` adds a `Sample` of the
counters to the `Timeline` fifty times a second, which a terminal shows as it grows. At the end there is a `DemoResult`,
counted by the clients and by the server; `report` prints it with the picture that `picture` draws of the timeline, or
as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys

from ..output import ExitCode, console
from .plan import checked_plan


def run_demo(requests: int, *, processes: int = 1, store: str | None = None, as_json: bool = False) -> ExitCode:
    """Run the demo and print the picture and the summary, or one line of JSON."""
    plan = checked_plan(requests, processes, store)
    from .report import Screen, as_dict, summary  # noqa: PLC0415 - the fleet's processes load this package, but not rich

    screen = Screen(console(sys.stderr if as_json else sys.stdout), plan, quiet=as_json)
    screen.begin()
    from .scenario import run_scenario  # noqa: PLC0415 - the first line is printed before the emulator is loaded

    try:
        with screen.live():
            result = asyncio.run(run_scenario(plan, screen.show))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None  # SIGTERM or SIGHUP has cancelled it
    if as_json:
        print(json.dumps(as_dict(result)), flush=True)
    else:
        screen.end(result.timeline, summary(result))
    return ExitCode.FAILED if result.failed else ExitCode.FINE
