"""
For tests of applications: a clock that a test can move, a check of how often an application logs in, an emulator on a thread.

The pytest plugin's fixtures (`_pytest_plugin`) are made of these. They need no pytest, so that `unittest` can use them too::

    with ThreadedEmulator() as exterview, expect(exterview, logins=1):
        asyncio.run(application(exterview.endpoint, exterview.api_key))
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .._options import named, whole_number
from ..errors import ConfigurationError
from ._movable_clock import Clock

if TYPE_CHECKING:
    from ..emulator import Emulator
    from ._threaded_emulator import ThreadedEmulator

__all__ = ["Clock", "ThreadedEmulator", "expect"]


@contextmanager
def expect(
    exterview: Emulator, *, logins: int | None = None, requests: int | None = None, refused: int | None = None
) -> Iterator[None]:
    """
    Check what *exterview* sees while the block runs; raise ``AssertionError`` if it is not exactly so many.

    - *logins*: login requests with a valid API key, accepted or refused.
    - *requests*: all requests, logins among them.
    - *refused*: requests that were answered 401.

    What is not given is not checked, and nothing is if the block raises. A ``reset`` in the block fails the test. Raises
    `ConfigurationError` for a wrong number, if none is given, and for what is no emulator.
    """
    __tracebackhide__ = True
    given = {"login": logins, "request": requests, "refused request": refused}
    expected = {
        what: whole_number(count, f"expect counts {what}s by a whole number", 0)
        for what, count in given.items()
        if count is not None
    }
    if not expected:
        raise ConfigurationError("expect needs a number to check: logins=, requests= or refused=")
    if not hasattr(type(exterview), "journal"):
        raise ConfigurationError(f"expect takes the emulator, such as the fixture exterview, not {named(exterview)}")
    before, run = _seen(exterview), exterview._state.journal.run  # noqa: SLF001 - only it tells one reset from the next
    yield
    if exterview._state.journal.run != run:  # noqa: SLF001 - as above
        raise AssertionError("the emulator was reset in the block of expect, which cannot count across a reset")
    after = _seen(exterview)
    wrong = [
        f"expected {_counted(count, what)}, the emulator saw {after[what] - before[what]}"
        for what, count in expected.items()
        if after[what] - before[what] != count
    ]
    if wrong:
        raise AssertionError("; ".join(wrong))


def _seen(exterview: Emulator) -> dict[str, int]:
    stats = exterview.stats()
    return {"login": stats.logins, "request": stats.requests, "refused request": stats.statuses.get(401, 0)}


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load the emulator on first use: `Clock` needs nothing of it, and it is an extra."""
        if name != "ThreadedEmulator":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from ._threaded_emulator import ThreadedEmulator  # noqa: PLC0415 - an extra

        return ThreadedEmulator
