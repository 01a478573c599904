"""
``GET /events``: what happens, as server-sent events, for the page and for anybody who listens.

=========== ==========================================================================================
event       data
=========== ==========================================================================================
``journal`` the *run* of the journal that follows (forget all of another run), and how many entries were *missed*
``request`` a `JournalRecord`
``control`` a `ControlRecord`
``state``   counters, times, faults, logins in flight and tokens: each second, and when something happened
=========== ==========================================================================================

Nothing waits for a stream, and nothing is kept for it: each one looks a few times a second at what is new in the journal. A
client that is slow, or was away for a while, continues after the last event that it has read, as far as the journal reaches.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict
from typing import Any

from aiohttp import hdrs, web

from exterview_auth._secret import fingerprint

from ._faults import Delays, StoppingError
from ._journal import Journal, JournalRecord
from ._local_only import OWN_HEADERS
from ._responses import Refusal
from ._state import EmulatorState
from ._stats import EmulatorStats

TICK = 0.1
"""Seconds between two looks. What has happened meanwhile goes out in one write."""

HEARTBEAT = 1.0
"""Seconds. A page that hears nothing for longer shows that its numbers are old."""

MOST_STREAMS = 32
MOST_SHOWN = 20
"""Logins in flight, and tokens."""

_NUMBER = re.compile(r"[0-9]{1,18}")
"""The number of an entry. Python refuses to read one of thousands of digits."""

_RETRY = "retry: 1000\n\n"


class EventStreams:
    """The open streams of one emulator."""

    def __init__(self, state: EmulatorState) -> None:
        self._state = state
        self._ticks = Delays()
        self._open = 0

    def stop(self) -> None:
        """End every stream at once."""
        self._ticks.stop()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Send events until the client goes or the emulator stops."""
        if self._open >= MOST_STREAMS:
            raise Refusal(503, f"There are {MOST_STREAMS} streams already; close a page", headers={"Retry-After": "5"})
        response = web.StreamResponse(headers={**OWN_HEADERS, hdrs.CACHE_CONTROL: "no-store"})
        response.content_type = "text/event-stream"
        # A new `EventSource` cannot set the header that a reconnecting one sends.
        last = request.headers.get("Last-Event-ID") or request.query.get("after", "")
        self._open += 1
        try:
            await response.prepare(request)
            await response.write(_RETRY.encode())
            reader = _Reader(self._state, last)
            while True:
                if news := reader.news():
                    await response.write(news.encode())
                await self._ticks.sleep(TICK)
        except (StoppingError, ConnectionError):
            return response
        finally:
            self._open -= 1


class _Reader:
    """What one stream has sent so far."""

    def __init__(self, state: EmulatorState, last_event_id: str) -> None:
        self._state = state
        self._journal: Journal | None = None
        self._number = 0
        self._stats: EmulatorStats | None = None
        self._stats_sent_at = 0.0
        run, _, number = last_event_id.partition("-")
        if run == state.journal.run and _NUMBER.fullmatch(number) and int(number) <= state.journal.last_number:
            self._journal, self._number = state.journal, int(number)

    def news(self) -> str:
        """Return the events that have not been sent yet."""
        journal, events, is_new = self._state.journal, [], self._journal is not self._state.journal
        if is_new:
            self._journal, self._number = journal, 0
        entries = journal.after(self._number)
        missed = journal.last_number - self._number - len(entries)
        if is_new or missed:
            events.append(_event("journal", {"run": journal.run, "missed": missed}))
        for entry in entries:
            kind = "request" if isinstance(entry, JournalRecord) else "control"
            events.append(_event(kind, entry.as_json(), f"{journal.run}-{entry.number}"))
        self._number = journal.last_number
        if self._is_state_due(something_happened=bool(events)):
            events.append(_event("state", described(self._state)))
        return "".join(events)

    def _is_state_due(self, *, something_happened: bool) -> bool:
        stats, now = self._state.stats(), time.monotonic()
        due = something_happened or stats != self._stats or now - self._stats_sent_at >= HEARTBEAT
        if due:
            self._stats, self._stats_sent_at = stats, now
        return due


def described(state: EmulatorState) -> dict[str, Any]:
    """Return what is the case now, with fingerprints in place of credentials."""
    return {
        "stats": asdict(state.stats()),
        "times": {name: getattr(state, name) for name in ("token_lifetime", "login_delay", "latency")},
        "faults": state.faults.pending(),
        "api_key": fingerprint(state.accounts.api_key),
        "logins": state.counters.login_ages(MOST_SHOWN),
        "tokens": state.accounts.newest_tokens(MOST_SHOWN),
        "tokens_known": state.accounts.tokens_known,
    }


def _event(kind: str, data: dict[str, Any], number: str = "") -> str:
    identity = f"id: {number}\n" if number else ""
    return f"event: {kind}\n{identity}data: {json.dumps(data, separators=(',', ':'))}\n\n"
