"""
Trouble on demand: refused, failing, slow and silent responses.

This module decides what goes wrong. `_state` applies it: to each request, each login, or each request with valid
credentials. `_controls` has the control that asks for it, as a method of the emulator (`_emulator`), as a path and as a button
of the page (`_page.html`). A new fault needs these five files alone; one that damages responses also needs `_app`, where they
are sent.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Self

from ._arguments import http_date, http_error_status, seconds, whole_number
from ._responses import Refusal


class StoppingError(Exception):
    """The emulator stops while a request is delayed; the request gets no response."""


class InjectedRefusal(Refusal):
    """A refusal that a control asked for, although nothing is wrong with the request."""


@dataclass(slots=True)
class _Series:
    """The next *times* responses are the same refusal."""

    times: int = 0
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, times: int, status: int, retry_after: float | str | None) -> Self:
        """Return the series that a control asks for."""
        headers = {}
        if isinstance(retry_after, str):  # sent as it is (RFC 9110, section 10.2.3)
            headers = {"Retry-After": http_date(retry_after)}
        elif retry_after is not None:
            headers = {"Retry-After": f"{seconds(retry_after, 'retry_after'):g}"}
        return cls(whole_number(times, "times"), http_error_status(status), headers)

    def raise_next(self, message: str) -> None:
        if self.times:
            self.times -= 1
            raise InjectedRefusal(self.status, message, headers=self.headers)


class Faults:
    """What goes wrong at the moment. Every change takes effect at once, for delayed requests too."""

    def __init__(self) -> None:
        # Separate, because a change of the silence wakes its waiters, and must not cut other delays short.
        self.delays = Delays()
        self._silence = Delays()
        self._silent_until = 0.0
        self._logins = _Series()
        self._requests = _Series()

    def start(self) -> None:
        """Allow delays again, after a stop."""
        self.delays.start()
        self._silence.start()

    def stop(self) -> None:
        """End every delay at once."""
        self.delays.stop()
        self._silence.stop()

    @property
    def are_stopped(self) -> bool:
        """Whether the emulator stops, or has stopped."""
        return self.delays.are_stopped

    def successor(self) -> Faults:
        """Return what is to go wrong from now on, which is nothing, and let no request that is in progress wait any longer."""
        self._silent_until = 0.0
        self._silence.end()
        self.delays.end()
        successor = Faults()
        if self.are_stopped:
            successor.stop()
        return successor

    def pending(self) -> dict[str, float]:
        """Return how many logins and requests will be refused, and for how many seconds logins will be silent."""
        silent = max(0.0, self._silent_until - time.monotonic())
        return {"fail_logins": self._logins.times, "refuse": self._requests.times, "silence": round(silent, 3)}

    def fail_logins(self, times: int, status: int, retry_after: float | str | None) -> None:
        """Refuse the next *times* logins with *status* and a ``Retry-After`` header."""
        self._logins = _Series.of(times, status, retry_after)

    def refuse(self, times: int, status: int, retry_after: float | str | None) -> None:
        """Refuse the next *times* requests that are not logins and have valid credentials, in the same way."""
        self._requests = _Series.of(times, status, retry_after)

    def silence(self, duration: float) -> None:
        """Leave logins without a response for *duration* seconds from now; zero ends the silence."""
        self._silent_until = time.monotonic() + seconds(duration, "silence")
        self._silence.wake()

    async def wait_out_silence(self) -> None:
        """Return as soon as logins get responses again."""
        # A loop, because the silence may be extended or shortened while a login waits for its end.
        while (remaining := self._silent_until - time.monotonic()) > 0:
            await self._silence.sleep(remaining)

    def check_login(self) -> None:
        """Raise the refusal that `fail_logins` asked for."""
        self._logins.raise_next("Logins fail for the moment")

    def check_request(self) -> None:
        """Raise the refusal that `refuse` asked for."""
        self._requests.raise_next("Requests are refused for the moment")


class Delays:
    """Delays of any number of requests, which a control or the end of the emulator can cut short."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()
        self._stopping = False
        self._ended = False

    @property
    def are_stopped(self) -> bool:
        """Whether every delay ends at once."""
        return self._stopping

    def start(self) -> None:
        """Allow delays again."""
        self._stopping = False

    def stop(self) -> None:
        """End every delay, now and later, with `StoppingError`."""
        self._stopping = True
        self.wake()

    def end(self) -> None:
        """End every delay, now and later."""
        self._ended = True
        self.wake()

    def wake(self) -> None:
        """End every delay that has begun."""
        for waiter in self._waiters:
            _finish(waiter)

    async def sleep(self, duration: float) -> None:
        """Return after *duration* seconds, at `wake` or `end`; raise `StoppingError` once the emulator stops."""
        if duration <= 0 or self._ended:
            return
        # `asyncio.sleep` would do for the time, but nothing else could end it: a login in an hour of silence has to end
        # with the silence, and with the emulator.
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(duration, _finish, waiter)
        self._waiters.add(waiter)
        try:
            if not self._stopping:
                await waiter
        finally:
            timer.cancel()
            self._waiters.discard(waiter)
        if self._stopping:
            raise StoppingError


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
