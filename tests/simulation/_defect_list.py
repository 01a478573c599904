"""The faults to put in, one line each: typical ones of such libraries, and those that were found here."""

from __future__ import annotations

from typing import NamedTuple

Change = tuple[str, str, str]


class Defect(NamedTuple):
    """A fault: in which file which text becomes which; *tests* state the rule if no schedule shows the fault."""

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
            ("_core/single_flight.py", "flight = self.current = Flight(self._feed)", "flight = Flight(self._feed)"),
            (
                "_core/single_flight.py",
                "        error: ExterviewAuthError | None = CANCELLED\n        try:",
                "        self.current = flight\n        error: ExterviewAuthError | None = CANCELLED\n        try:",
            ),
        ),
    ),
    _one("waiters await the login's task itself (no shield)", "_core/single_flight.py", "        return self._done\n", "        return self.flight._task or self._done\n"),
    _one("a failed login leaves its flight current", "_core/single_flight.py", "        if current:\n            self.current = None\n        flight.finish(error)", "        if current and error is None:\n            self.current = None\n        flight.finish(error)"),
    _one("a flight finishes without waking its waiters", "_core/single_flight.py", "        self._wake(iter(waiters), WAKE_BATCH if error is None else len(waiters))\n", "        self._wake(iter(waiters if error is None else ()), WAKE_BATCH)\n"),
    _one("one waiter is forgotten", "_core/single_flight.py", "        if batch:\n            self._loop.call_soon(self._wake, waiters, number)\n", ""),
    # -- what a refusal means ----------------------------------------------------------------------------------------
    _one("any 401 counts against the current token", "_core/keeper.py", "        if issued is self.state.current:\n            self._note", "        if True:\n            self._note"),
    _one("a refusal is compared by the token's text", "_core/keeper.py", "        if issued is self.state.current:\n            self._note", "        if self.state.current is not None and issued.token.value == self.state.current.token.value:\n            issued = self.state.current\n            self._note", "tests/core/test_keeper.py"),
    _one("a rejected token stays usable", "_core/state.py", "            self.current.rejected = True\n        self.usable_until = -math.inf", "            self.current.rejected = True"),
    _one("useless logins are not counted", "_core/keeper.py", "            self._limits.record_useless()", "            pass", "tests/core/test_keeper.py"),
    _one("a request that is refused again with a new token has it replaced for all", "_core/keeper.py", "            if (again and issued.from_login) or not self._give_up_unless_shared(issued):", "            if not self._give_up_unless_shared(issued):", "tests/core/test_keeper.py", "tests/aiohttp/test_middleware.py"),
    _one("an adopted token that is refused counts as a useless login", "_core/keeper.py", "if issued.from_login and not issued.useless and (again", "if not issued.useless and (again"),
    _one("a token given to invalidate() costs nothing of the budget", "_core/keeper.py", "            self._note_if_useless(issued)\n            self._reject(issued)\n", "            self._reject(issued)\n", "tests/core/test_keeper.py"),
    # -- replay ------------------------------------------------------------------------------------------------------
    _one("a refusal's connection is released after the wait", "_aiohttp/middleware.py", "            kept = await release_connection(request, response, MAX_JUDGED_BODY if any(mutations) else MAX_KEPT_BODY)\n            if kept and any(mutations) and await _a_mutation_took_effect(mutations, response):\n                return response\n            newer = await self._obtain(request, issued)\n", "            newer = await self._obtain(request, issued)\n            kept = await release_connection(request, response, MAX_JUDGED_BODY if any(mutations) else MAX_KEPT_BODY)\n            if kept and any(mutations) and await _a_mutation_took_effect(mutations, response):\n                return response\n", "tests/aiohttp/test_refusal.py"),
    _one("a replay is sent with the old token", "_aiohttp/middleware.py", "            attempt = await self._attempt(request, handler, newer)\n", "            attempt = await self._attempt(request, handler, issued)\n"),
    _one("a body factory is not asked again", "_aiohttp/middleware.py", "            if options.body_maker is not None and (request", "            if False and (request"),
    _one("a body that was read is sent again", "_aiohttp/middleware.py", "            if options.body_maker is None and not can_be_sent_again(request):\n                return response\n", ""),
    _one("a request that queues for a connection keeps its old token", "_aiohttp/queued.py", "\n        if current is not self.issued:", "\n        if current is self.issued:"),
    _one("a request that queues for a connection goes out with a rejected token", "_aiohttp/queued.py", "        if current is None:\n            connection.release()\n            raise StaleTokenError\n        if current", "        if current is not None and current"),
    _one("a stream that begins late goes out with the token of its beginning", "_aiohttp/queued.py", "            if current is not self.issued:\n                self.issued = current\n                sign", "            if False:\n                sign", "tests/aiohttp/test_slow_bodies.py"),
    _one("a stream's head goes to the fast path", "_auth.py", "            or request.body.__class__ not in AT_HAND\n", "", "tests/aiohttp/test_slow_bodies.py"),
    _one("a save in memory replaces what came during a pause", "stores/_memory.py", "stays = fence is not None and not fence.may_change(present)", "stays = False", "tests/stores/test_memory.py"),
    _one("credentials follow a redirect", "_aiohttp/origins.py", "        if written != self._last and origin_of(url) not in self._ours:\n            return False\n", ""),
    _one("a redirect is noted only if its answer is judged", "_aiohttp/middleware.py", "        self.origins.note_redirect(request, response, signed=True)\n        if not carries(request, issued):\n            return False  # an owner further in has signed the request, and judged the answer\n", "        if not carries(request, issued):\n            return False  # an owner further in has signed the request, and judged the answer\n        self.origins.note_redirect(request, response, signed=True)\n", "tests/aiohttp/test_chains.py"),
    _one("the fast path is open while a chain stands", "_aiohttp/origins.py", "        if not standing:\n", "        if True:\n", "tests/aiohttp/test_chains.py"),
    _one("an owner signs where another owner's server leads", "_aiohttp/origins.py", "began.origin not in self._ours", "not began.is_an_owners", "tests/aiohttp/test_origins.py"),
    _one("only servers' redirects are noted", "_session.py", "return (noting(owner._origins for owner in owners), *own, innermost)", "return (*own, innermost)", "tests/aiohttp/test_chains.py"),
    _one("a login's hop is looked at only when it is created", "_aiohttp/login_request.py", "            self.login_began.append(self.url)\n        self._require_permitted()\n", "            self.login_began.append(self.url)\n", "tests/aiohttp/test_login_call.py"),
    _one("an owner takes another's equal header for its own", "_aiohttp/signing.py", "    return value is issued.authorization or (value == issued.authorization and not isinstance(value, OwnedHeader))", "    return value == issued.authorization", "tests/aiohttp/test_nested_owners.py"),
    _one("a copied key hides behind the caller's own", "_aiohttp/signing.py", "any(isinstance(value, OwnedHeader) for value in headers.getall(name, ()))", "isinstance(headers.get(name), OwnedHeader)", "tests/aiohttp/test_chains.py"),
    _one("a login is redirected to another port of its host", "_aiohttp/login_request.py", "origin_of(self.url) not in map(origin_of, self.login_began)", "self.url.raw_host not in [url.raw_host for url in self.login_began]", "tests/aiohttp/test_login_call.py"),
    _one("a session's cookie displaces the login's own", "_aiohttp/login_call.py", "{**found, **super().filter_cookies(request_url)}", "{**super().filter_cookies(request_url), **found}", "tests/rules/test_pool.py"),
    _one("the query of a login's URL is quoted", "logins/_request.py", "known = concealed((*(secret for secret in secrets if secret), *secrets_in(url)))", "known = concealed(tuple(secret for secret in secrets if secret))", "tests/logins/test_request.py"),
    _one("a replay is signed with a token that died while its body was made", "_aiohttp/middleware.py", "                if newer is not state.unexpired:\n                    newer = await self._obtain(request, issued)  # it died while the body was made\n", ""),
    # -- lifetimes ---------------------------------------------------------------------------------------------------
    _one("the clock is read again where a login was sent", "_core/login.py", "        return LoginResult(token, sent, clock())", "        return LoginResult(token, clock(), clock())", "tests/rules/test_renewal_ahead.py"),
    _one("a token is good until the server says no", "_core/state.py", "        return issued if issued is not None and self._clock() < issued.expires else None", "        return issued"),
    _one("the window of renewal covers most of a short life", "_core/state.py", "RENEWAL_SHARE = 0.25", "RENEWAL_SHARE = 0.95"),
    _one("a token is used that expired while its waiters waited", "_core/keeper.py", "                if waited_again or not issued.unexpired_at_install or self.state.unexpired is issued:\n                    return issued\n", "                return issued\n"),
    _one("the timer of a renewal is not armed when a flight ends", "_core/renewal.py", "        if not self.armed and not self.limits.rejected_since(issued.installed_at):\n", "        if False:\n", "tests/rules/test_renewal_ahead.py"),
    # -- failing -----------------------------------------------------------------------------------------------------
    _one("rejected credentials are presented again", "_core/limits.py", "        self.close(self._account.clock() + pause, ", "        self.close(self._account.clock(), "),
    _one("a Retry-After is forgotten with its flight", "_core/login.py", "        if wait > 0:\n", "        if wait > 1e9:\n"),
    _one("an error of a hook ends the flight", "_core/on_token.py", "        except Exception as failure:  # noqa: BLE001 - the application's own mistakes do not break its requests\n            error, where", "        except KeyError as failure:\n            error, where"),
    _one("what arrived while a process was not running is discarded", "_calls.py", "(PAUSE_GRACE if late else 0.0)", "0.0", "tests/test_calls.py"),
    _one("a call that never began leaves a warning", "_calls.py", "call if asyncio.iscoroutine(call) else awaited(call)", "awaited(call)", "tests/test_calls.py"),
    _one("a wrong login URL is asked at once again", "_core/limits.py", "            self._closable.failure.record(error)\n", "            pass\n"),
    # -- logout and close -------------------------------------------------------------------------------------------
    _one("a flight is dropped only after the logout that it waits for", "_core/lifecycle.py", "    if flight is not None:\n        await flight.cancel()\n    before = [task for task in tasks if task is not None]\n    if before:\n        await asyncio.wait(before)\n", "    before = [task for task in tasks if task is not None]\n    if before:\n        await asyncio.wait(before)\n    if flight is not None:\n        await flight.cancel()\n"),
    _one("a login in flight survives the logout", "_core/lifecycle.py", "        return renewal.single_flight.drop(error)\n", "        return None\n"),
    _one("a dropped flight installs its token", "_core/renewal.py", "            if flight is not self.single_flight.current:\n                if", "            if False:\n                if", "tests/rules/test_cancellation.py"),
    _one("a closed owner leaves its timer", "_core/lifecycle.py", "        renewal.state.clear()\n        renewal.disarm()\n", "        renewal.state.clear()\n"),
    _one("a closed owner leaves its login", "_core/lifecycle.py", "                await renewal.acquisition.login_answered(CLOSE_GRACE)\n            await flight.cancel()\n", "                pass\n"),
    _one("a login that was sent is lost at close", "_core/lifecycle.py", "            if flight.closing and", "            if False and", "tests/core/test_saving.py"),
    _one("the store keeps the token after a logout", "_core/saving.py", "else await session.delete()", "else Saved(settled=True)"),
    _one("a caller that is cancelled twice leaves its call running", "_calls.py", "        try:\n            if finish:\n                await asyncio.wait([task], timeout=grace)\n        finally:  # also if the caller is cancelled a second time\n            await cancel_and_wait(task, grace)\n", "        if finish:\n            await asyncio.wait([task], timeout=grace)\n        await cancel_and_wait(task, grace)\n", "tests/test_calls.py"),
    _one("a logout that the store missed is given up", "_core/saving.py", "            self._conclude(work, await self._attempt(work))\n", "            await self._attempt(work)\n            self._set_work(None)\n", "tests/core/test_saving.py"),
    # -- stores ------------------------------------------------------------------------------------------------------
    _one("a token that was refused here is adopted again", "_core/acquisition.py", "        if stored is None or stored in self._retired or", "        if stored is None or", "tests/rules/test_sharing.py"),
    _one("an owner does not read the store again once it has the lock", "_core/acquisition.py", "            if acquired or await waiter.wait_for_change():", "            if not acquired and await waiter.wait_for_change():"),
    _one("the store is never read", "_core/acquisition.py", "        return None if outdated else stored\n", "        return None\n"),
    _one("the refresh token is read before the wait", "_core/acquisition.py", "        return own if own is not None and is_same_login(own, stored) else stored\n", "        return own\n", "tests/rules/test_sharing.py"),
    _one("two tokens with the same text are one", "_token.py", "        if None not in (self.login, other.login):\n", "        if False:\n", "tests/rules/test_same_text.py"),
    _one("another issuer's access token is adopted", "_core/acquisition.py", " or is_foreign(stored, self._account.issuer):", ":", "tests/rules/test_issuers.py"),
    _one("another issuer's refresh token displaces the owner's own", "_core/acquisition.py", "        if is_foreign(stored, self._account.issuer or (None if own is None else issuer_of(own))):\n            return own\n", "", "tests/rules/test_issuers.py"),
    _one("a possible rejection is asked again and again", "_core/login.py", "            if not self._doubted:\n", "            if True:\n", "tests/core/test_login.py"),
    _one("a refused refresh token ends the login", "logins/_oauth2.py", "                if isinstance(refusal, LoginUnavailableError) or number == len(steps):\n", "                if True:\n", "tests/logins/test_oauth2.py"),
    _one("a login's own error is taken for an outage", "logins/_graphql_answer.py", "response.perhaps_rejected(found.text, reason=about) if found.own else response.unavailable(found.text)", "response.unavailable(found.text)", "tests/logins/test_graphql_answer.py"),
    _one("a refresh token is shown to another issuer", "logins/_oauth2.py", "        if previous is not None and is_foreign(previous, self.issuer_at()):\n            previous = None\n", "", "tests/rules/test_issuers.py"),
    _one("the store's key names no issuer", "logins/_identity.py", "origin if issuer in (None, issuer_name(endpoint)) else", "origin if True else", "tests/rules/test_issuers.py"),
    _one("a store's failure ends the flight", "stores/_access.py", "            except Exception as failure:  # noqa: BLE001 - a store may raise anything; a request survives it\n                self.record_failure(name, failure, began)\n                self.budget", "            except KeyError as failure:\n                self.record_failure(name, failure, began)\n                self.budget"),
    _one("a lease is not renewed", "stores/_shared.py", "            await asyncio.sleep(due - clock())", "            await asyncio.sleep(1e6)"),
    _one("a lock is not released", "stores/_shared.py", "            if self._may_be_held:\n                await self._backend.release()", "            if not self._may_be_held:\n                await self._backend.release()"),
    _one("a lease in another lock is waited for with patience only", "stores/_waiting.py", " or leased\n", "\n", "tests/stores/test_access.py"),
    _one("a silent store stays subscribed", "stores/_shared.py", "            if renewing is not None:\n                renewing.cancel()\n            if self._may_be_held", "            if renewing is not None:\n                renewing.cancel()\n                await asyncio.wait([renewing])\n            if self._may_be_held", "tests/stores/test_shared.py"),
    _one("the life of an adopted token counts from its receipt", "_core/acquisition.py", "began=self._asked, received=self._asked)", "began=self._account.clock(), received=self._account.clock())", "tests/rules/test_sharing.py"),
    _one("a failing store leaves no time for the login", "stores/_access.py", "min(STORE_BUDGET, login_timeout * BUDGET_SHARE)", "STORE_BUDGET", "tests/rules/test_sharing.py"),
    _one("a late save is not fenced", "stores/_redis/backend.py", "owner_id=self._owner_id, seen=self._seen)", 'owner_id="", seen=b"")'),
    _one("a lock is released by an owner that does not hold it", "stores/_redis/backend.py", "lambda lock: lock.do_release(self._owner_id.encode())", "lambda lock: lock.redis.delete(lock.name)", "tests/stores/test_stores.py", "tests/stores/redis/test_backend.py"),
    _one("a failed save is not repeated", "_core/saving.py", "        if saved.settled:\n            self._set_work(None)\n", "        if not saved.settled:\n            self._set_work(None)\n", "tests/stores/test_access.py", "tests/rules/test_sharing.py"),
    _one("whatever an owner has not seen overtakes its save", "_core/saving.py", "        return self.issued is not None and not self.irreplaceable\n", "        return True\n", "tests/core/test_saving.py"),
    _one("an older entry's refresh token is presented", "_core/acquisition.py", "        return None if outdated else stored\n", "        return stored\n", "tests/core/test_saving.py"),
    _one("an entry is as old as its save", "stores/_entry.py", "since_save + self.login_age", "since_save", "tests/stores/test_entry.py"),
    _one("a login queues behind calls that fail", "stores/_access.py", "        if not await self._may_call():\n", "        if False:\n", "tests/stores/test_access.py"),
    _one("a store that fails is probed by all at once", "stores/_access.py", "        if self._probe is not None or not breaker.is_open(clock()):\n", "        if self.probe or not breaker.is_open(clock()):\n", "tests/stores/test_access.py"),
    _one("another account's entry is used", "stores/_entry.py", '    if fields.get("account") != key:\n', '    if "account" not in fields:\n', "tests/stores/test_entry.py"),
    _one("an entry's age need not be finite", "stores/_entry.py", "    if (seconds := _seconds(value)) > LATEST:\n", '    if (seconds := _seconds(value)) > float("inf"):\n', "tests/stores/test_entry.py"),
    _one("an entry with a refresh token is kept for ever", "stores/_keeping.py", "    return keep if token", "    return 1e9 if token", "tests/stores/test_entry.py"),
    _one("the time of a save in Redis is that of its arrival", "stores/_redis/entries.py", "now - (clock() - began))", "now)", "tests/stores/redis/test_entries.py"),
    _one("another user's directory is used", "stores/_file/directory.py", '        if found.st_uid != os.geteuid():\n            raise PermissionError(f"the directory belongs', '        if found.st_uid < 0:\n            raise PermissionError(f"the directory belongs', "tests/stores/file/test_foreign_files.py"),
    _one("another user's entry is used", "stores/_file/directory.py", '    if found.st_uid != os.geteuid():\n        raise PermissionError("it belongs', '    if found.st_uid < 0:\n        raise PermissionError("it belongs', "tests/stores/file/test_foreign_files.py"),
    _one("a lock is not looked at before it is opened", "stores/_file/host_lock.py", "        self._directory.identity(name)  # before the file is opened by its path: it may be another user's\n", "", "tests/stores/file/test_foreign_files.py"),
    _one("the sweep stops at what it cannot remove", "stores/_file/sweeping.py", "                with contextlib.suppress(OSError):\n                    self._remove(name, files[name], now)\n", "                self._remove(name, files[name], now)\n", "tests/stores/file/test_sweeping.py"),
    _one("the time of a copied file is trusted", "stores/_file/sweeping.py", "        if kept_until < now:\n", "        if raw is not None:\n", "tests/stores/file/test_sweeping.py"),
    _one("any unfinished file is the store's", "stores/_file/directory.py", '_UNFINISHED = re.compile(rf"\\.(?:probe|{_ENTRY.pattern})\\.[0-9a-f]{{16}}\\.tmp")', '_UNFINISHED = re.compile(r"\\..*\\.tmp")', "tests/stores/file/test_foreign_files.py"),
    _one("a save at a close or a repetition does not look first", "_core/saving.py", "        if not session.looked and await self._overtaken(work, session):\n            return Saved(settled=True)\n", ""),
    Defect(
        "a save goes in without the lock",
        (
            ("_core/saving.py", "saved = await self._settle(work, session) if session.locked else Saved(settled=False)", "saved = await self._settle(work, session)"),
            ("_core/saving.py", "allowed = session.locked or fenced or (free and work.issued is None)", "allowed = True"),
        ),
        ("tests/core/test_saving.py",),
    ),
    _one("what a subclass of a store overrides is passed over", "stores/_access.py", "self.access.store.save(self.access.account, token)", 'next((kind for kind in type(self.access.store).__mro__ if kind.__module__.startswith("exterview_auth")), type(self.access.store)).save(self.access.store, self.access.account, token)'),
)  # fmt: skip


def defect_named(name: str) -> Defect:
    """Return the defect with this *name*."""
    return next(defect for defect in DEFECTS if defect.name == name)
