"""`expect`: a check of what an emulator sees while a block runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, Self

from .._clock import boot_time
from .._options import named, number, whole_number
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..emulator import Emulator

TIMEOUT = 5.0
"""Seconds that the end of ``async with`` waits."""

_LOOK_AGAIN = 0.005
_TURNS_TO_READ = 50
"""Turns of the loop after the last answer. An owner on it takes ten to read one that waits in its socket, and to begin a pause."""


def expect(
    exterview: Emulator,
    *,
    logins: int | None = None,
    requests: int | None = None,
    refused: int | None = None,
    timeout: float | None = None,
) -> Expectation:
    """
    Check how many requests *exterview* gets while the block runs. Raises ``AssertionError`` if a number differs.

    - *logins*: login requests with a valid API key, accepted or refused. With a wrong key, a login request counts as refused.
    - *requests*: all requests, logins among them, also those on paths that the API does not have.
    - *refused*: requests that were answered 401.

    ``with`` counts at the block's end. ``async with`` first waits until so many have come and all are answered, for at most
    *timeout* seconds (by default 5). So it sees what the block has caused in the background, such as a renewal ahead of expiry::

        async with expect(exterview, logins=1, refused=0):
            exterview_clock.advance(3500)

    An owner on the test's event loop has then read the answers, and a login that failed has begun its pause.

    A number that is not given is not checked, and no number is checked if the block raises. A ``reset`` in the block fails the
    test. Raises `ConfigurationError` for a wrong number, if no number is given, and if *exterview* is not an emulator.
    """
    given = {"logins": logins, "requests": requests, "refused requests": refused}
    expected = {
        what: whole_number(count, f"expect counts {what} by a whole number", 0)
        for what, count in given.items()
        if count is not None
    }
    if not expected:
        raise ConfigurationError("expect needs a number to check: logins=, requests= or refused=")
    if timeout is not None:
        number(timeout, "the timeout of expect must be a number of seconds, zero or more")
    if not hasattr(type(exterview), "journal"):
        raise ConfigurationError(f"expect takes the emulator, such as the fixture exterview, not {named(exterview)}")
    return Expectation(exterview, expected, timeout)


expect.__module__ = "exterview_auth.testing"


class _Seen(NamedTuple):
    counts: dict[str, int]
    running: int


class Expectation:
    """What `expect` returns: a context manager, ``with`` and ``async with``."""

    __slots__ = ("_before", "_expected", "_exterview", "_run", "_timeout")

    def __init__(self, exterview: Emulator, expected: dict[str, int], timeout: float | None) -> None:
        self._exterview = exterview
        self._expected = expected
        self._timeout = timeout

    def __enter__(self) -> Self:
        if self._timeout is not None:
            raise ConfigurationError(
                "expect waits in an async test alone: use 'async with expect(...)', or leave out its timeout"
            )
        return self._begin()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        __tracebackhide__ = True
        if kind is None:
            self._judge()

    async def __aenter__(self) -> Self:
        return self._begin()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        __tracebackhide__ = True
        if kind is not None:
            return
        # The machine's own clock: the test may have patched Python's time.
        end = boot_time() + (TIMEOUT if self._timeout is None else self._timeout)
        while not self._is_reached() and boot_time() < end:  # noqa: ASYNC110 - an emulator on another loop sets no event here
            await asyncio.sleep(_LOOK_AGAIN)
        self._judge()
        for _turn in range(_TURNS_TO_READ):
            await asyncio.sleep(0)

    def _begin(self) -> Self:
        self._before = self._look().counts
        self._run = self._exterview._state.journal.run  # noqa: SLF001 - only it tells one reset from the next
        return self

    def _look(self) -> _Seen:
        stats = self._exterview.stats()
        refused = stats.statuses.get(401, 0)
        counts = {"logins": stats.logins, "requests": stats.requests, "refused requests": refused}
        return _Seen(counts, stats.requests_running)

    def _is_reached(self) -> bool:
        """Whether waiting on changes nothing for the better."""
        seen = self._look()
        few = any(seen.counts[what] - self._before[what] < count for what, count in self._expected.items())
        return self._is_reset or not (few or seen.running)

    @property
    def _is_reset(self) -> bool:
        return self._exterview._state.journal.run != self._run  # noqa: SLF001 - as above

    def _judge(self) -> None:
        __tracebackhide__ = True
        if self._is_reset:
            raise AssertionError("the emulator was reset in the block of expect, which cannot count across a reset")
        after = self._look().counts
        wrong = [
            f"expected {_counted(count, what)}, the emulator saw {after[what] - self._before[what]}"
            for what, count in self._expected.items()
            if after[what] - self._before[what] != count
        ]
        if wrong:
            raise AssertionError("; ".join(wrong))


_WORDS = {
    "logins": ("login with a valid API key", "logins with a valid API key"),
    "requests": ("request", "requests"),
    "refused requests": ("request answered 401", "requests answered 401"),
}


def _counted(count: int, what: str) -> str:
    one, more = _WORDS[what]
    return f"{count} {one if count == 1 else more}"
