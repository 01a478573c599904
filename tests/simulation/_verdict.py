"""Check how each call ended, and that nothing is left at the end."""

from __future__ import annotations

import asyncio

from aiohttp import ClientError

from exterview_auth import ClosedError, ConfigurationError, LoggedOutError, LoginBudgetExceededError, LoginError
from exterview_auth.stores._shared import LEASE

from ._api import Issued, Platform
from ._callers import ONCE, Call
from ._loop import SimulatedLoop
from ._owner import FINISHING, Owner
from ._plan import Plan
from ._process import Process
from ._rules import KEEPS_TRYING, Monitor
from ._stores import NoStore

ENDS = "6: every request ends, within its bound"
ERRORS = "6: a caller gets only documented errors"
BUDGET = "7: an error for the budget only where it is used up"
ONE_REPLAY = "3: a request gets a 401 only if a new token is refused too"
ITS_OWN = "1: a request is answered with its own answer"
LATE = 3.0
"""Seconds that an end may be late: graces of cancelled calls, and aiohttp's whole seconds."""
NOTHING_LEFT = "nothing is left"
ADDS_UP = "stats() adds up"


def judge(call: Call, monitor: Monitor, plan: Plan) -> None:
    """Check how *call* ended."""
    process = call.owner.process
    if process.killed:
        return
    bound = _bound(call) + process.paused - call.paused_before
    if call.ended is None or call.ended - call.began > bound:
        monitor.broken(ENDS, f"{call!r} began at {call.began:.3f}, bound {bound:.1f} s, ended at {call.ended}")
    elif call.failure is not None:
        if not _may_fail(call, call.failure, plan):
            rule = BUDGET if isinstance(call.failure, LoginBudgetExceededError) else ERRORS
            monitor.broken(rule, f"{call!r}, {call.ended - call.began:.3f} s after its beginning")
    elif call.what == "request":
        _judge_answer(call, monitor)


def _bound(call: Call) -> float:
    # A caller that asks for a token waits for a flight, and for another if the token was rejected meanwhile.
    flights = {"request": 0, "ask": 3, "refuse at a door": 3 * call.times}[call.what]
    return flights * (call.timeout + 10.0) if flights else call.timeout + LATE


def _may_fail(call: Call, failure: BaseException, plan: Plan) -> bool:
    if isinstance(failure, asyncio.CancelledError):
        return call.cancelled
    if isinstance(failure, ConfigurationError):
        return False
    if isinstance(failure, ClosedError | LoggedOutError):
        return call.owner.logged_out_at >= call.began or call.owner.closed
    if isinstance(failure, LoginError):
        return _may_not_log_in(call, failure, plan)
    if isinstance(failure, TimeoutError):
        assert call.ended is not None
        return call.ended - call.began >= call.timeout * 0.98
    return isinstance(failure, ClientError) and call.trouble != ""


def _may_not_log_in(call: Call, failure: LoginError, plan: Plan) -> bool:
    owner = call.owner
    if isinstance(failure, LoginBudgetExceededError):
        return owner.ledger.may_forbid(call.began_at - FINISHING, call.ended_at)
    if "holds the account's lock" in str(failure):  # its holder may meet trouble for as long, or be dead for a lease
        return plan.has("login trouble", "pause", "suspend", "kill")
    if plan.has("kill", "pause", "store trouble") and plan.setting.login_timeout <= LEASE:
        return True  # for so long, the lock of a process that is gone, or of a call that was given up, is not free
    if "did not finish" in str(failure) and _began_late(plan):
        return True  # it waited for another owner's login until the store failed: its own cannot end in time
    if not (call.excused or owner.process.paused):
        return False  # nothing has failed since
    return plan.has("login trouble", "pause", "suspend") or "cancelled" in str(failure)


def _began_late(plan: Plan) -> bool:
    return plan.has("store trouble") and 2 * plan.setting.slowest_login > plan.setting.login_timeout


def _judge_answer(call: Call, monitor: Monitor) -> None:
    if call.status == 401:
        if not _may_be_refused(call):
            monitor.broken(ONE_REPLAY, f"{call!r}, refused with {[one and one.text for one in call.refused_with]}")
    elif call.status == 200 and not call.trouble and call.answered != {"name": call.name}:
        monitor.broken(ITS_OWN, f"{call!r}: {call.answered}")
    elif call.status != 200 and not call.trouble:
        monitor.broken(ERRORS, f"{call!r}")


def _may_be_refused(call: Call) -> bool:
    if call.body in ONCE or call.trouble:
        return True
    if call.owner.ledger.nearly(call.began_at - FINISHING, call.ended_at) or call.owner.lazy:
        return True
    last = call.refused_with[-1] if call.refused_with else None
    fresh = last is not None and call.owner.ledger.of(last.text).from_login
    return fresh and len({id(one) for one in call.refused_with}) > 1


def left_open(processes: list[Process], monitor: Monitor) -> None:
    """Check that nothing is in use after the last call."""
    for process in processes:
        if process.killed:
            continue
        for connector in (process.connector, process.login_connector):
            if connector.in_use and not any(owner.is_busy for owner in process.owners):
                monitor.broken(NOTHING_LEFT, f"{connector.in_use} connections of {process.party}")
        for owner in process.owners:
            _add_up(owner, monitor)


def kept_trying(shared: NoStore, platform: Platform, plan: Plan, monitor: Monitor) -> None:
    """Check that a store which has been well for a while has what its owners last saved, and nothing that they deleted."""
    if plan.setting.store == "none":
        return
    for owner in monitor.owners:
        if owner.closed or owner.process.killed:
            continue
        kept = shared.texts(owner.account)
        for text in kept:
            if text in owner.logged_out:
                monitor.broken(KEEPS_TRYING, f"{text} was logged out by {owner}")
        due = owner.to_keep
        if due is None or due.text != owner.current_text or _need_not_be_kept(due, owner, plan, monitor):
            continue
        if not any(text == due.text or _may_be_newer(platform.tokens[text], due, owner, plan) for text in kept):
            monitor.broken(KEEPS_TRYING, f"{due.text} of {owner} is not kept, but {kept}")


def _may_be_newer(kept: Issued, due: Issued, owner: Owner, plan: Plan) -> bool:
    """Return whether another owner's token may stay in the place of *due*: of two logins at once, nobody can tell."""
    if plan.setting.store == "plain" or plan.setting.subclassed:
        return not owner.ledger.of(kept.text).from_login  # its age, which says when its login was, is not kept
    return kept.came > due.asked


def _need_not_be_kept(due: Issued, owner: Owner, plan: Plan, monitor: Monitor) -> bool:
    """Return whether the store may have lost the token *due*, or has no use for it."""
    lost = any(
        action.how in ("flushed", "damaged") and action.at + action.seconds > due.asked for action in plan.actions
    )
    deleted = any(other.account == owner.account and other.deleted_at >= due.asked for other in monitor.owners)
    return lost or deleted or due.text in owner.dead or due.ours < monitor.now + LATE


def _add_up(owner: Owner, monitor: Monitor) -> None:
    stats = owner.auth.stats()
    if stats.waiting:
        monitor.broken(ADDS_UP, f"{stats.waiting} wait after the last call, {owner}")
    if stats.replays > stats.unauthorized:
        monitor.broken(ADDS_UP, f"more replays than refusals: {stats}, {owner}")
    # A token may be lost after a logout, or if it came too late for a process that was not running.
    all_kept = owner.logged_out_at < 0 and not owner.process.paused
    if stats.logins > owner.succeeded or (all_kept and stats.logins != owner.succeeded):
        monitor.broken(ADDS_UP, f"{owner.succeeded} logins gave a token: {stats}, {owner}")


def left_over(loop: SimulatedLoop, processes: list[Process], shared: NoStore, monitor: Monitor) -> None:
    """Check that nothing is left after everything was closed."""
    parties = {process.party for process in processes}
    for task in asyncio.all_tasks(loop):
        if getattr(task, "party", None) in parties:
            monitor.broken(NOTHING_LEFT, f"{task!r}")
    for party in parties:
        for timer in loop.pending(party):
            monitor.broken(NOTHING_LEFT, f"{timer!r}")
    for leftover in shared.leftovers():
        monitor.broken(NOTHING_LEFT, leftover)
