"""When an owner may be used: one event loop at a time, until it is closed; and how it logs out, closes and is dropped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from .._calls import bounded
from .._events import emit
from ..errors import ClosedError, ConfigurationError, ExterviewAuthError, LoggedOutError
from .account import Account
from .renewal import Renewal
from .schedule import Scheduled
from .single_flight import Flight

CLOSE_GRACE = 3.0
"""Seconds that closing waits for the answer to a login that has been sent, if its token is to be saved; then for the store."""


class Lifecycle:
    """
    The event loop that an owner's tasks, timers and futures belong to, and the ways in which they end.

    A loop that has ended (or the parent's, after a fork) is never touched: what belonged to it is let go of.
    """

    __slots__ = ("_account", "_closed", "_closing", "_pid", "_renewal", "close_last", "loop", "on_busy")

    def __init__(self, account: Account, renewal: Renewal) -> None:
        self._account = account
        self._renewal = renewal
        self.loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._closed = False
        self._closing: asyncio.Task[None] | None = None
        self.on_busy: Callable[[Any], None] | None = None
        """Called with the owner when a login or a logout begins. A pool sets it on eviction, and keeps the owner while it is busy."""
        self.close_last: Callable[[], Awaitable[None]] | None = None
        """Closes a store that was opened for this owner alone."""

    def enter(self) -> None:
        """Check that the owner may be used here: raise `ClosedError`, or `ConfigurationError` on a second running loop."""
        self.ensure_open()
        self._move_to_running_loop()

    def ensure_open(self) -> None:
        """Raise `ClosedError` if the owner is closed."""
        if self._closed:
            raise ClosedError("this ExterviewAuth is closed; create a new one")

    def ensure_usable(self) -> None:
        """Raise what `enter` raises, also where no loop runs, as in a thread; the owner stays with its loop."""
        self.ensure_open()
        loop = None
        with contextlib.suppress(RuntimeError):
            loop = asyncio.get_running_loop()
        self._refuse_second_loop(loop)

    def _refuse_second_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        if self.loop is None or self.loop is loop:
            return
        if self.loop.is_running() and self._pid == os.getpid():
            raise ConfigurationError(
                "this ExterviewAuth is in use by another event loop that is still running; create one owner for each"
                " loop and let them share a store, or call it in that loop"
            )

    def _move_to_running_loop(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError(
                "ExterviewAuth needs asyncio, and none of its event loops runs here; await it in asyncio, not in trio"
            ) from None
        if loop is self.loop and self._pid == os.getpid():  # a forked child may go on with its parent's loop object
            return
        self._refuse_second_loop(loop)
        self.loop, self._pid = loop, _one_object(os.getpid())
        renewal = self._renewal
        renewal.single_flight.drop(None)
        renewal.state.close_fast_path()
        renewal.logout_task = self._closing = None
        renewal.leave_loop()
        renewal.limits.change_loop()
        if renewal.saver is not None and renewal.store is not None:
            renewal.store.leave_loop()
            renewal.saver.change_loop()
        if renewal.state.current is not None:
            renewal.arm(renewal.state.current.renew_at)

    async def logout(self) -> None:
        """
        Forget the token here at once and then in the store, also if the caller is cancelled.

        Waiters get `LoggedOutError`, and a login in flight is discarded. A request that still queues for a connection with
        the old token waits for a new login instead. One logout runs after another.
        """
        self.enter()
        renewal = self._renewal
        renewal.limits.forget_failures()
        emit(logging.INFO, "logged_out", account=self._account.label)
        current = renewal.state.current
        flight = self._detach(
            LoggedOutError("the owner was logged out while this request waited for a token; send it again")
        )
        renewal.keep_alive()  # a pool that evicted the owner keeps it until the store has heard of this
        abandoned = None if renewal.saver is None else renewal.saver.begin_logout(current)
        renewal.logout_task = asyncio.ensure_future(self._delete_last(flight, renewal.logout_task, abandoned))
        # Not awaited directly: that would cancel the task with its caller.
        await asyncio.wait([renewal.logout_task])

    async def aclose(self) -> None:
        """
        End all background work. Waiters get `ClosedError` at once, and so does every later use. Closing twice is fine.

        A login that has been sent, whose refresh token a store is to keep, may still end, within `CLOSE_GRACE` seconds. If its
        loop's end, or a cancellation, cuts the closing off, the next one tries once more to save what is due.
        """
        self._move_to_running_loop()
        flight = None
        if not self._closed:
            self._closed = True
            flight = self._renewal.single_flight.current
            if flight is not None and self._renewal.saver is not None and self._account.presents_refresh_tokens:
                flight.closing = not flight.is_caller_inside  # which cannot wait for itself
            self._detach(ClosedError("the owner was closed while this request waited for a token; close it last"))
        if self._closing is None or self._closing.cancelled():
            self._closing = asyncio.ensure_future(self._close(flight))
        await asyncio.wait([self._closing])

    def _detach(self, error: ExterviewAuthError) -> Flight | None:
        """Forget the token here and end all waiters with *error*, in one step; return the flight, which the caller must cancel."""
        renewal = self._renewal
        if renewal.state.current is not None:
            renewal.retire(renewal.state.current.token)
        renewal.state.clear()
        renewal.disarm()
        return renewal.single_flight.drop(error)

    async def _delete_last(self, flight: Flight | None, *earlier: asyncio.Task[None] | None) -> None:
        saver = self._renewal.saver
        if saver is None:
            await _ended(flight, *earlier)
            return
        # What is under way may still write the token, so the deletion comes last.
        await asyncio.gather(saver.retire_stored(), _ended(flight, *earlier))
        await saver.finish_logout()

    async def _close(self, flight: Flight | None) -> None:
        renewal = self._renewal
        if flight is not None:
            # The endpoint may have exchanged the refresh token already: without the answer nobody could log in again.
            if flight.closing and renewal.acquisition is not None:
                await renewal.acquisition.login_answered(CLOSE_GRACE)
            await flight.cancel()
        renewal.limits.latches.disarm()
        if renewal.hook is not None:
            await renewal.hook.aclose()
        if renewal.on_login is not None:
            await renewal.on_login.aclose()
        if renewal.logout_task is not None:
            await asyncio.wait([renewal.logout_task])
        if renewal.saver is not None and renewal.store is not None:
            await renewal.saver.aclose(CLOSE_GRACE)  # with one last attempt at a save or a deletion that is due
            await renewal.store.aclose()
        if self.close_last is not None:
            with contextlib.suppress(Exception):  # a server that is away leaves nothing to close
                await bounded(self.close_last(), CLOSE_GRACE)

    def drop(self) -> None:
        """Leave no alarm behind, which would keep the owner's parts: nothing refers to the owner any more."""
        release = Scheduled.disarm if self._alive else Scheduled.leave_loop
        release(self._renewal)
        release(self._renewal.limits.latches)

    @property
    def busy(self) -> bool:
        """Whether a login is in flight, or a save or deletion will be repeated, perhaps on a loop that has ended."""
        renewal = self._renewal
        return renewal.single_flight.current is not None or (renewal.saver is not None and renewal.saver.busy)

    @property
    def holds_open(self) -> bool:
        """Whether background work is under way or due, on a loop that could still run it."""
        # A renewal that is due is no reason to warn once a pool has evicted the owner: no request will ask for it.
        due = self._renewal.armed and self.on_busy is None
        return (due or self.busy) and self._alive

    @property
    def status(self) -> str:
        """What a person wants to read in the owner's repr."""
        if self._closed:
            return "closed"
        if self._renewal.single_flight.current is not None:
            return "logging in"
        return "logged out" if self._renewal.state.unrejected is None else "logged in"

    @property
    def _alive(self) -> bool:
        return self.loop is not None and not self.loop.is_closed() and self._pid == os.getpid()


@lru_cache(maxsize=1)
def _one_object(pid: int) -> int:
    """Return *pid* as the object that the owners of this process share."""
    return pid


async def _ended(flight: Flight | None, *tasks: asyncio.Task[None] | None) -> None:
    """Cancel *flight*, and wait until it and all *tasks* have ended."""
    # The flight first: it may wait for an earlier logout, and would log in after it.
    if flight is not None:
        await flight.cancel()
    before = [task for task in tasks if task is not None]
    if before:
        await asyncio.wait(before)
