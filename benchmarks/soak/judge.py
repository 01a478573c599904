"""
Which outcomes of a request are right, given what happened at that time.

Besides its own answer, a caller may get: aiohttp's connection error while the API is down; a typed error of the login while
its endpoint is down; an error of the owner if that was closed or logged out meanwhile; and a 401 if the body cannot be sent
twice, or if the token had just come from a login and was revoked again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from .disturbances import API, LOGINS, Window
from .owners import ALL, LOGIN_TIMEOUT, MAIN

MARGIN = 0.5
"""Seconds by which two processes may date the same moment differently."""
_CONNECTION_ERRORS = {"ClientConnectionError", "ClientPayloadError", "ConnectionError", "WSMessageTypeError"}
"""The last one: a WebSocket ended instead of sending a message."""
_ACTS_BEFORE = {
    "LoggedOutError": ("logout", "logout_in_pool"),
    "ClosedError": ("replace_owner", "replace_pool"),
}

Event = dict[str, Any]


class Judge:
    """Judges failures by what was out of order at the time, and by what the processes did to their owners."""

    def __init__(
        self, windows: Iterable[Window], events: Iterable[Event], *, login_timeout: float = LOGIN_TIMEOUT
    ) -> None:
        known = list(events)
        self._login_timeout = login_timeout
        self._windows = list(windows)
        self._failed = [event for event in known if event["what"] == "failed"]
        self._acts = [event for event in known if event["what"] != "failed"]
        self.acts = Counter(f"(the processes themselves) {event['what'].replace('_', ' ')}" for event in self._acts)

    def verdicts(self) -> tuple[Counter[str], list[Event]]:
        """Return how many failures were right, by reason, and all others."""
        right, wrong = Counter[str](), []
        for event in self._failed:
            reason = self._reason(event)
            if reason:
                right[reason] += 1
            else:
                wrong.append(event)
        return right, wrong

    def _reason(self, event: Event) -> str:
        error, lineage = event["error"], set(event.get("lineage", "").split(", "))
        if error == "RefusedError":
            return self._why_refused(event)
        if error == "LoginUnavailableError":
            return self._why_no_login(event)
        if error in _ACTS_BEFORE and self._was_done(_ACTS_BEFORE[error], event):
            return f"{error}, of an owner {'closed' if error == 'ClosedError' else 'logged out'} meanwhile"
        if lineage & _CONNECTION_ERRORS and "ExterviewAuthError" not in lineage and self._during(API, event):
            return "aiohttp's connection error, while the API is down"
        return ""

    def _why_refused(self, event: Event) -> str:
        seen = json.loads(event["text"])
        if event["kind"] == "once":
            return "401, a body that cannot be sent twice"
        if not seen or seen[-1][2] not in ("revoked", "key"):
            return ""
        if len(seen) > 1 and seen[-1][0] > seen[0][0]:
            return "401, the token fresh from a login was revoked again"
        return "401, refused before the API's restart too" if self._during(API, event) else ""

    def _why_no_login(self, event: Event) -> str:
        # A login repeats its attempts for so long, so it may fail after its endpoint has recovered.
        before = {**event, "began": event["ended"] - self._login_timeout}
        for what in (LOGINS, API):
            if self._during(what, before):
                return f"LoginUnavailableError, within a login's time after {what}"
        return ""

    def _during(self, what: str, event: Event) -> bool:
        return any(window.what == what and _overlap(window.began, window.ended, event) for window in self._windows)

    def _was_done(self, acts: tuple[str, ...], event: Event) -> bool:
        return any(
            act["what"] in acts
            and act["by"] == event["by"]
            and (act["account"] == event["account"] or (act["account"] == ALL and event["account"] != MAIN))
            and _overlap(act["began"], act["ended"], event)
            for act in self._acts
        )


def _overlap(began: float, ended: float, event: Event) -> bool:
    return bool(began - MARGIN <= event["ended"] and event["began"] <= ended + MARGIN)
