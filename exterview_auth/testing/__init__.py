"""
For tests of applications: a clock that a test can move, a check of how often an application logs in, an emulator on a thread.

The fixtures of the pytest plugin use these. They work without pytest, such as with `unittest`::

    with ThreadedEmulator() as exterview, expect(exterview, logins=1):
        asyncio.run(application(exterview.endpoint, exterview.api_key))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._expect import expect
from ._movable_clock import Clock

if TYPE_CHECKING:
    from ._threaded_emulator import ThreadedEmulator

__all__ = ["Clock", "ThreadedEmulator", "expect"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load the emulator on first use: `Clock` needs nothing of it, and it is an extra."""
        if name != "ThreadedEmulator":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from ._threaded_emulator import ThreadedEmulator  # noqa: PLC0415 - an extra

        return ThreadedEmulator


def __dir__() -> list[str]:
    """Return the public names, loaded or not: ``help`` shows these, and without the extra those that need none."""
    from importlib.util import find_spec  # noqa: PLC0415 - for ``dir`` and ``help`` alone

    return [name for name in __all__ if name != "ThreadedEmulator" or find_spec("graphql")]
