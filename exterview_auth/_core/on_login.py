"""The application's ``on_login``: called after every login, failed ones too. Nobody waits for it, and nothing is left of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING

from .._calls import CANCEL_GRACE, awaited, bounded, kind_of, place_of
from .._events import emit
from .._records import Listener
from .account import Account

if TYPE_CHECKING:
    from .._login_record import LoginRecord

TIMEOUT = 30.0
"""Seconds after which a call is cancelled: one that never returns must not cost memory with every login."""
ENDED_WITH_THE_LOOP = "CancelledError"
"""The error of a login that ended because everything on its loop did."""

OnLogin = Callable[["LoginRecord"], object]

# The task of the call that the running code is part of: an ``on_login`` may close its owner, which must not wait for it.
_inside: ContextVar[asyncio.Task[None]] = ContextVar("exterview_auth_inside_on_login")


class OnLoginHook(Listener):
    """Calls *on_login* with each record, in a separate task and context."""

    __slots__ = ("_account", "_on_login", "_running")

    def __init__(self, on_login: OnLogin, account: Account) -> None:
        self._account = account
        self._on_login = on_login
        # Invariant: the calls that have not ended.
        self._running: set[asyncio.Task[None]] = set()

    def login_ended(self, flight: object, record: LoginRecord | None) -> None:  # noqa: ARG002 - what each listener gets
        """Begin to call the hook."""
        if record is None or record.error == ENDED_WITH_THE_LOOP:
            return
        call, loop = self._call(record), asyncio.get_running_loop()
        task = loop.create_task(call, context=Context(), name="exterview_auth on_login")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def aclose(self) -> None:
        """Let the calls that run end within a moment, or cancel them."""
        loop, own = asyncio.get_running_loop(), _inside.get(None)
        running = [task for task in self._running if task.get_loop() is loop and task is not own]
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=CANCEL_GRACE)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)  # each is bounded

    async def _call(self, record: LoginRecord) -> None:
        task = asyncio.current_task()
        assert task is not None
        _inside.set(task)
        account = self._account.label
        try:
            await bounded(self._called(record), TIMEOUT)
        except TimeoutError:
            emit(logging.WARNING, "on_login.timeout", account=account, seconds=TIMEOUT)
        except Exception as failure:  # noqa: BLE001 - the application's own mistakes do not break its requests
            emit(logging.ERROR, "on_login.failed", account=account, error=kind_of(failure), where=place_of(failure))

    async def _called(self, record: LoginRecord) -> None:
        await awaited(self._on_login(record))
