"""The faults that are put in, one line each: those of this field, and those that were found here."""

from __future__ import annotations

from typing import NamedTuple

Change = tuple[str, str, str]


class Defect(NamedTuple):
    """A fault: in which file which text becomes which; *tests* state the rule where no schedule shows it."""

    name: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...] = ()


def _one(name: str, file: str, old: str, new: str, *tests: str) -> Defect:
    return Defect(name, ((file, old, new),), tests)


DEFECTS = (
    # -- one flight --------------------------------------------------------------------------------------------------
    Defect(
        "the flight is current only once its task runs",
        (
            ("_core/single_flight.py", "flight = self.current = Flight()", "flight = Flight()"),
            (
                "_core/single_flight.py",
                "        error: ExterviewAuthError | None = _CANCELLED\n        try:",
                "        self.current = flight\n        error: ExterviewAuthError | None = _CANCELLED\n        try:",
            ),
        ),
    ),
    _one(
        "waiters await the login's task itself (no shield)",
        "_core/single_flight.py",
        "        return self._landing\n",
        "        return self.flight._task or self._landing\n",
    ),
    _one(
        "a failed login leaves its flight current",
        "_core/single_flight.py",
        "        if self.current is flight:\n            self.current = None\n        flight.land(error)",
        "        if self.current is flight and error is None:\n            self.current = None\n        flight.land(error)",
    ),
    _one(
        "a flight lands without waking who waits",
        "_core/single_flight.py",
        "        self._wake(iter(seats), PORTION if error is None else len(seats))\n",
        "        self._wake(iter(seats if error is None else ()), PORTION)\n",
    ),
    _one(
        "one waiter is forgotten",
        "_core/single_flight.py",
        "        if portion:\n            self._loop.call_soon(self._wake, seats, number)\n",
        "",
    ),
    # -- what a refusal means ----------------------------------------------------------------------------------------
    _one(
        "any 401 counts against the current token",
        "_core/keeper.py",
        "        if grant is not self.held.current:\n            return True\n        fresh = waited",
        "        fresh = waited",
    ),
    _one(
        "a refusal is compared by the token's text",
        "_core/keeper.py",
        "        if grant is not self.held.current:\n            return True\n        fresh = waited",
        "        if self.held.current is None or grant.token.value != self.held.current.token.value:\n            return True\n"
        "        grant = self.held.current\n        fresh = waited",
        "tests/core/test_keeper.py",
        "tests/aiohttp/test_middleware.py",
    ),
    _one("a refused token stays fresh", "_core/state.py", "            self.current.dead = True\n        self.fresh_until = -math.inf", "            self.current.dead = True"),
    _one("useless logins are not counted", "_core/keeper.py", "            self._limits.was_useless()", "            pass", "tests/core/test_keeper.py"),
    _one(
        "who is refused again with a fresh token has it replaced for all",
        "_core/keeper.py",
        "        if fresh and again:\n            return False\n",
        "",
        "tests/core/test_keeper.py",
        "tests/aiohttp/test_middleware.py",
    ),
    # -- replay ------------------------------------------------------------------------------------------------------
    _one(
        "a refusal's connection is given back after the wait",
        "_aiohttp/middleware.py",
        "        kept = await set_aside(request, response)\n        newer = await keeper.obtain(grant)\n",
        "        newer = await keeper.obtain(grant)\n        kept = await set_aside(request, response)\n",
        "tests/aiohttp/test_replay.py",
    ),
    _one("a replay is sent with the old token", "_aiohttp/middleware.py", "            again, repeated = True, grant is sending.grant\n", "            again, repeated = True, grant is sending.grant\n            grant = sending.grant\n"),
    _one("a body factory is not asked again", "_aiohttp/middleware.py", "        if manner.remake is not None:\n            await replace(request, manner.remake)\n", ""),
    _one("a body that was read is sent again", "_aiohttp/middleware.py", "        if manner.remake is None and not can_be_sent_again(request):\n            return None\n", ""),
    _one("who queues for a connection keeps its old token", "_aiohttp/queued.py", "        if current is not self.grant:", "        if current is self.grant:"),
    _one("who queues for a connection goes out with a dead token", "_aiohttp/queued.py", "        if current is None:\n            connection.release()\n            raise OutdatedError\n        if current", "        if current is not None and current"),
    _one("credentials follow a redirect", "_aiohttp/origins.py", "        if written != self._last and origin_of(url) not in self._ours:\n            return False\n", ""),
    # -- lifetimes ---------------------------------------------------------------------------------------------------
    _one("the clock is read again where a login was sent", "_core/login.py", "        return Issued(token, sent, self._clock())", "        return Issued(token, self._clock(), self._clock())", "tests/core/test_keeper.py"),
    _one("a token is good until the server says no", "_core/state.py", "        return grant if grant is not None and self._clock() < grant.expires else None", "        return grant"),
    _one("the window of renewal covers most of a short life", "_core/grant.py", "RENEWAL_SHARE = 0.25", "RENEWAL_SHARE = 0.95"),
    _one("a token is used that went over while its waiters waited", "_core/keeper.py", "                if held_up or not grant.lasting or self.held.fresh is grant:\n                    return grant\n                held_up = True", "                return grant\n                held_up = True"),
    # -- failing -----------------------------------------------------------------------------------------------------
    _one("rejected credentials are presented again", "_core/limits.py", "        self._rejected_until = self._clock() + pause", "        self._rejected_until = self._clock()"),
    _one("a Retry-After is forgotten with its flight", "_core/login.py", "        if wait <= 0:\n", "        if wait <= 1e9:\n"),
    _one("what a hook raises ends the flight", "_core/on_token.py", "        except Exception as failure:  # noqa: BLE001 - the application's own mistakes do not break its requests\n            emit", "        except KeyError as failure:\n            emit"),
    _one("what came while a process stood still is thrown away", "_calls.py", "(PAUSE_GRACE if late else 0.0)", "0.0", "tests/test_calls.py"),
    _one("a call that never began leaves a warning", "_calls.py", "call if asyncio.iscoroutine(call) else _as_coroutine(call)", "_as_coroutine(call)", "tests/test_calls.py"),
    # -- leaving -----------------------------------------------------------------------------------------------------
    _one("a login that was under way survives the logout", "_core/renewal.py", "        return self._single.drop(error)\n", "        return None\n"),
    _one("what a dropped flight gets is installed all the same", "_core/renewal.py", "                if flight is not self._single.current:\n                    return\n", "", "tests/core/test_keeper.py", "tests/rules/test_sharing.py", "tests/rules/test_cancellation.py"),
    _one("a closed owner leaves its timer", "_core/renewal.py", "        self._held.forget()\n        self._timer.disarm()\n", "        self._held.forget()\n"),
    _one("a closed owner leaves its login", "_core/renewal.py", "    async def _close(self, flight: Flight | None) -> None:\n        if flight is not None:\n            await flight.cancel()\n", "    async def _close(self, flight: Flight | None) -> None:\n"),
    _one("the store keeps the token after a logout", "_core/renewal.py", "await self._store.session(probe=True).delete()", "True"),
    _one("who is cancelled twice leaves its call running", "_calls.py", "        try:\n            if finish:\n                await asyncio.wait([task], timeout=grace)\n        finally:  # also where the caller is cancelled once more\n            await cancel_and_wait(task, grace)\n", "        if finish:\n            await asyncio.wait([task], timeout=grace)\n        await cancel_and_wait(task, grace)\n", "tests/test_calls.py"),
    # -- stores ------------------------------------------------------------------------------------------------------
    _one("a token that was refused here is adopted again", "_core/acquisition.py", "        if stored is None or self.is_past(stored.value) or", "        if stored is None or", "tests/rules/test_sharing.py", "tests/core/test_keeper.py"),
    _one("nobody looks again once it has the lock", "_core/acquisition.py", "            if ours or await waiter.wait_for_change():", "            if not ours and await waiter.wait_for_change():"),
    _one("the store is never looked at", "_core/acquisition.py", "        return await session.load() if self.trusts_store else None", "        return None"),
    _one("the refresh token is read before the wait", "_core/acquisition.py", "        return own if own is not None and own.value == stored.value else stored", "        return own", "tests/rules/test_sharing.py", "tests/stores/test_stores.py"),
    _one("a store's failure ends the flight", "stores/_access.py", "            except Exception as failure:  # noqa: BLE001 - a store may raise anything; a request survives it\n                self.record_failure(name, failure)\n                self.budget", "            except KeyError as failure:\n                self.record_failure(name, failure)\n                self.budget"),
    _one("a lease is not renewed", "stores/_lock.py", "            await asyncio.sleep(self._backend.lease / 3)", "            await asyncio.sleep(1e6)"),
    _one("a lock is not released", "stores/_lock.py", "            if self._may_be_held:\n                await self._backend.release()", "            if not self._may_be_held:\n                await self._backend.release()"),
    _one("a silent store stays subscribed", "stores/_lock.py", "            if renewing is not None:\n                renewing.cancel()\n            if self._may_be_held", "            if renewing is not None:\n                renewing.cancel()\n                await asyncio.wait([renewing])\n            if self._may_be_held", "tests/stores/test_lock.py"),
    _one("the life of an adopted token counts from its receipt", "_core/acquisition.py", "began=self._asked, received=self._asked)", "began=self._clock(), received=self._clock())", "tests/rules/test_sharing.py"),
    _one("a failing store leaves no time for the login", "stores/_access.py", "min(STORE_BUDGET, login_timeout * BUDGET_SHARE)", "STORE_BUDGET", "tests/rules/test_sharing.py"),
    _one("a late save is not fenced", "stores/_redis/backend.py", "mark=self._mark, seen=self._seen)", 'mark="", seen=b"")'),
    _one("a lock is released by who does not own it", "stores/_redis/backend.py", "_still_owned(self._lock().do_release(self._mark.encode()))", "_still_owned(self._entries.clients.here().client.delete(self._keys.lock))", "tests/stores/test_stores.py", "tests/stores/test_redis_faults.py"),
    _one("a failed save is not repeated", "_core/saving.py", "        if not saved.settled:\n            self._pending = grant\n", "        if saved.settled:\n            self._pending = grant\n", "tests/stores/test_access.py", "tests/rules/test_sharing.py"),
)  # fmt: skip
