"""Trouble on demand: refused, failing, slow and silent answers."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ._arguments import http_error_status, seconds, whole_number
from ._pauses import Pauses
from ._responses import Refusal


@dataclass(slots=True)
class _Series:
    """The next *times* answers are refused likewise."""

    times: int = 0
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)

    def next(self, message: str) -> Refusal | None:
        if self.times == 0:
            return None
        self.times -= 1
        return Refusal(self.status, message, headers=self.headers)


class Faults:
    """What goes wrong at the moment; every change counts from the next answer on, also for requests that wait."""

    def __init__(self) -> None:
        self.delays = Pauses()
        self._silent = Pauses()
        self._silent_until = 0.0
        self._logins = _Series()
        self._requests = _Series()

    def open(self) -> None:
        """Let requests wait."""
        self.delays.open()
        self._silent.open()

    def stop(self) -> None:
        """End every wait at once."""
        self.delays.stop()
        self._silent.stop()

    def fail_logins(self, times: int, status: int, retry_after: float | str | None) -> None:
        """Answer the next *times* logins with *status*."""
        headers = {} if retry_after is None else {"Retry-After": _retry_after(retry_after)}
        self._logins = _Series(whole_number(times, "times"), http_error_status(status), headers)

    def refuse(self, times: int, status: int) -> None:
        """Answer the next *times* requests that are no logins, and that nothing else is wrong with, with *status*."""
        self._requests = _Series(whole_number(times, "times"), http_error_status(status))

    def silence(self, duration: float) -> None:
        """Answer no login for *duration* seconds from now; zero ends the silence."""
        self._silent_until = time.monotonic() + seconds(duration, "silence")
        self._silent.wake()

    async def wait_out_silence(self) -> None:
        """Return as soon as logins are answered again."""
        while (remaining := self._silent_until - time.monotonic()) > 0:
            await self._silent.sleep(remaining)

    def login_refusal(self) -> Refusal | None:
        """The answer that this login gets instead of a token, if `fail_logins` says so."""
        return self._logins.next("Logins fail for the moment")

    def request_refusal(self) -> Refusal | None:
        """The answer that this request gets, if `refuse` says so."""
        return self._requests.next("Requests are refused for the moment")


def _retry_after(value: float | str) -> str:
    """Seconds, or an HTTP date as it is (RFC 9110, section 10.2.3)."""
    return value if isinstance(value, str) else f"{seconds(value, 'retry_after'):g}"
