"""The application's ``on_token``: called once per login, its errors logged, and waited for only once if it hangs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from .._calls import CANCEL_GRACE, awaited, bounded, kind_of, place_of
from .._events import Reason, emit
from .._token import Token
from .account import Account

TIMEOUT = 5.0
"""Seconds for which the hook may delay a login's waiters."""
TIMEOUT_ONCE_HUNG = 0.1
"""The same after it has used them up once, until it returns in time again."""

OnToken = Callable[[Token, Token | None, Reason], object]


class OnTokenHook:
    """Calls *on_token* with the new token, the one before, and the reason."""

    __slots__ = ("_account", "_on_token", "_running", "_timeout")

    def __init__(self, on_token: OnToken, account: Account) -> None:
        self._account = account
        self._on_token = on_token
        self._timeout = TIMEOUT
        # Invariant: the calls that have not ended, also such as were given up.
        self._running: set[asyncio.Task[None]] = set()

    async def notify(self, new: Token, old: Token | None, reason: Reason) -> None:
        """Await the hook. Its error is logged, and a hook that hangs is cancelled: no waiter waits for what it does then."""
        try:
            await bounded(self._call(new, old, reason), self._timeout, grace=0)
        except TimeoutError:
            emit(logging.WARNING, "on_token.timeout", account=self._account.label, seconds=self._timeout)
            self._timeout = TIMEOUT_ONCE_HUNG
        except Exception as failure:  # noqa: BLE001 - the application's own mistakes do not break its requests
            error, where = kind_of(failure), place_of(failure)
            emit(logging.ERROR, "on_token.failed", account=self._account.label, error=error, where=where)
        else:
            self._timeout = TIMEOUT

    async def aclose(self) -> None:
        """Give calls that were cancelled a moment to clean up."""
        loop = asyncio.get_running_loop()
        ending = [task for task in self._running if task.get_loop() is loop]
        if ending:
            await asyncio.wait(ending, timeout=CANCEL_GRACE)

    async def _call(self, new: Token, old: Token | None, reason: Reason) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await awaited(self._on_token(new, old, reason))
