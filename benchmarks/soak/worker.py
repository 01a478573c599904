"""
One process of the soak: ``python -m benchmarks.soak.worker NAME API_PORT REDIS_PORT KEY_FILE SEED PACE``.

It keeps requests in flight until it is ordered to rest. It does not judge failures: it reports when and how they happened, and
what it did to its owners.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import ClientSession, DummyCookieJar, TCPConnector

from exterview_auth import AuthSession, RedisStore

from ..harness.process import serve_orders
from . import gauges
from .owners import ACCOUNTS, MAIN, Owners
from .requests import KINDS, LONGEST_REQUEST, ask_for, send

for _name in (
    "tenacity",
    "exterview_auth._core.login",
    "exterview_auth._aiohttp.graphql",
    "exterview_auth._core.saving",
    "exterview_auth.stores._access",
    "exterview_auth.logins._http_dates",
    "exterview_auth.logins._oauth2",
):
    # Otherwise they load on first use, after the first rest, and look like growth.
    import_module(_name)

CALLERS = 80
CONNECTIONS = 60
"""Fewer than there are callers, so that some requests queue."""
KEEPALIVE = 1.0
THREADS = 4
_QUIET, _RESTLESS = 0.3, 40.0
"""Seconds without activity after which a process is at rest, and how long that may take."""
_NAMES, _WEIGHTS = list(KINDS), [often for often, _ in KINDS.values()]
_LONGEST_TEXT = 500


class SoakWorker:
    """The traffic, and what is reported of it."""

    def __init__(self, name: str, ports: tuple[int, int], key_file: Path, draw: Random, pace: float) -> None:
        self._name, self._ports, self._key_file, self._draw, self._pace = name, ports, key_file, draw, pace
        self._numbers = itertools.count(1)
        self._opened = AsyncExitStack()
        self._outcomes = Counter[str]()
        self._events: list[dict[str, Any]] = []
        self._going = asyncio.Event()
        self._at_work = 0
        self._loops: list[asyncio.Task[None]] = []
        self._http: ClientSession
        self._store: RedisStore
        self._owners: Owners

    # -- orders -----------------------------------------------------------------------------------------------------

    async def do_open(self) -> None:
        """Make the owners, and the traffic, which waits for `do_go`."""
        self._watch_for_noise()
        asyncio.get_running_loop().set_default_executor(_all_threads())
        connector = TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEPALIVE)
        session = ClientSession(
            connector=connector, cookie_jar=DummyCookieJar()
        )  # the accounts share it, and no cookies
        self._http = await self._opened.enter_async_context(session)
        self._store = await self._opened.enter_async_context(RedisStore(f"redis://127.0.0.1:{self._ports[1]}/0"))
        self._owners = Owners(f"http://127.0.0.1:{self._ports[0]}/graphql", self._store, self._key_file, self._pace)
        work = [*(self._ask_on() for _ in range(CALLERS)), self._meddle()]
        self._loops = [asyncio.create_task(one) for one in work]

    async def do_go(self) -> None:
        """Start the traffic, or continue it."""
        self._going.set()

    async def do_sample(self, *, objects: bool) -> dict[str, Any]:
        """Return what is held now, and what happened since the last time."""
        figures = gauges.held(*self._ports)
        figures["owners in the pool"] = len(self._owners.pool)
        figures["requests in flight"], figures["of these waiting"] = self._at_work, self._owners.waiting
        if objects:
            figures["objects"] = gauges.object_count()
        outcomes, events = self._outcomes, self._events
        self._outcomes, self._events = Counter(), []
        return {"gauges": figures, "outcomes": outcomes, "events": events}

    async def do_rest(self) -> dict[str, Any]:
        """Pause the traffic, wait until nothing changes any more, and return what is held, also by type."""
        # Requests in flight end first, then what they caused: renewals, saves, connections kept for later.
        self._going.clear()
        await self._settled()
        await self._store.aclose()  # otherwise its client keeps as many connections as were needed at once
        await self._settled()
        self._owners.fill_pool()
        objects = gauges.objects()
        figures = {**gauges.held(*self._ports), "objects": objects.total(), "blocks": sys.getallocatedblocks()}
        figures["owners"], figures["requests waiting"] = len(self._owners.alive), self._owners.waiting
        return {"gauges": figures, "types": objects}

    async def do_close(self) -> dict[str, Any]:
        """Close everything; return what the main account's owners counted, and what is left."""
        counted = self._owners.counted()
        for task in self._loops:
            task.cancel()
        await asyncio.wait(self._loops)
        await self._owners.aclose()
        await self._opened.aclose()
        del self._owners
        gc.collect()
        await self._settled()
        figures = gauges.held(*self._ports)
        left = {name: figures[name] for name in ("tasks", "API connections", "Redis connections")}
        left["tasks"] -= 1  # this one
        return {"events": self._events, "counted": counted, "left": left}

    async def _settled(self) -> None:
        """Wait until nothing is active or due: no request, no renewal, no save, no connection that is kept for later."""
        since = time.monotonic()
        until = since + _RESTLESS
        while time.monotonic() < min(until, since + _QUIET):
            await asyncio.sleep(0.1)
            if self._at_work or gauges.busy():
                since = time.monotonic()

    # -- traffic ----------------------------------------------------------------------------------------------------

    async def _ask_on(self) -> None:
        while await self._going.wait():
            self._at_work += 1
            try:
                calm = await self._ask()
            finally:
                self._at_work -= 1
            # While the API is down, callers that did not pause would only fail, thousands of times.
            await asyncio.sleep(self._draw.uniform(0.0, 0.15) if calm else 0.25)

    async def _ask(self) -> bool:
        """Send one request; return whether it ended as most do."""
        # Half of all requests share one account, so that each of its logins has many waiters.
        account = self._draw.choice(ACCOUNTS) if self._draw.random() < 0.5 else MAIN
        kind = self._draw.choices(_NAMES, _WEIGHTS)[0]
        interruption = self._draw.choices(("", CANCELLED, TIMED_OUT), (85, 8, 7))[0]
        seconds = self._draw.uniform(0.002, 0.2)
        client = AuthSession(self._http, self._owners.of(account))
        number = f"{self._name}-{next(self._numbers)}"
        patience = seconds if interruption == TIMED_OUT else LONGEST_REQUEST
        sent, began = send(kind, ask_for(client, number, account, self._draw, patience)), time.monotonic()
        outcome = await (_cancelled_after(seconds, sent) if interruption == CANCELLED else _outcome(sent))
        if outcome is None or outcome == interruption:
            self._outcomes[f"200, {kind}" if outcome is None else str(outcome)] += 1
            return True
        self._note("failed", account, began, kind=kind, number=number, **_described(outcome))
        return False

    async def _meddle(self) -> None:
        """Do something to the owners from time to time."""
        while True:
            acts = self._owners.acts
            for act in self._draw.sample(acts, len(acts)):
                await asyncio.sleep(self._draw.uniform(2, 6) * self._pace)
                await self._going.wait()
                began = time.monotonic()
                account = await act(self._draw.choice(ACCOUNTS))
                self._note(act.__name__, account, began)

    def _note(self, what: str, account: str, began: float, **more: str) -> None:
        ended = time.monotonic()
        self._events.append(
            {"what": what, "account": account, "began": began, "ended": ended, "by": self._name, **more}
        )

    def _watch_for_noise(self) -> None:
        """Report errors that nobody retrieved, and what was not closed: they are wrong too."""
        warnings.simplefilter("always", ResourceWarning)
        warnings.showwarning = lambda message, *_args, **_options: self._noise(str(message))
        sys.unraisablehook = lambda unraisable: self._noise(repr(unraisable.exc_value))
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: self._noise(f"{context['message']}: {context.get('exception')!r}")
        )

    def _noise(self, text: str) -> None:
        self._note("failed", "", time.monotonic(), kind="", number="", error="noise", text=text[:_LONGEST_TEXT])


CANCELLED, TIMED_OUT = "cancelled by the caller", "the caller's own timeout"

Outcome = Exception | str | None


async def _outcome(sent: Coroutine[Any, Any, None] | asyncio.Task[None]) -> Outcome:
    try:
        await sent
    except TimeoutError:
        return TIMED_OUT
    except Exception as failure:  # noqa: BLE001 - whatever it is, it is judged
        return failure
    return None


async def _cancelled_after(seconds: float, sent: Coroutine[Any, Any, None]) -> Outcome:
    task = asyncio.create_task(sent)
    timer = asyncio.get_running_loop().call_later(seconds, task.cancel)
    await asyncio.wait([task])
    timer.cancel()
    return CANCELLED if task.cancelled() else await _outcome(task)


def _described(outcome: Exception | str) -> dict[str, str]:
    if isinstance(outcome, str):
        return {"error": "hangs", "text": outcome}
    lineage = ", ".join(kind.__name__ for kind in type(outcome).__mro__[:-3])
    return {"error": type(outcome).__name__, "lineage": lineage, "text": str(outcome)[:_LONGEST_TEXT]}


def _all_threads() -> ThreadPoolExecutor:
    """Return an executor whose threads all run: from now on, one more is a leak."""
    executor = ThreadPoolExecutor(THREADS)
    together = threading.Barrier(THREADS)
    for _ in range(THREADS):
        executor.submit(together.wait)
    return executor


async def _main() -> None:
    name, api_port, redis_port, key_file, seed, pace = sys.argv[1:]
    draw = Random(f"{seed} {name}")
    await serve_orders(SoakWorker(name, (int(api_port), int(redis_port)), Path(key_file), draw, float(pace)))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
