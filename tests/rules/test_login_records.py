"""The one record of a login, and what it agrees with: events, `stats()`, the requests' own errors."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from exterview_auth import (
    CredentialsRejectedError,
    LoginError,
    LoginRecord,
    LoginUnavailableError,
    MemoryStore,
    Reason,
    Token,
)
from exterview_auth._records import Feed, Listener
from tests.kit.clock import now, passing, settle, virtual_time
from tests.kit.failing_store import FailingStore
from tests.kit.keepers import ScriptedKeeper, scripted
from tests.kit.stores import told


class Heard(Listener):
    """Keeps all that it is notified of."""

    def __init__(self) -> None:
        self.facts: list[tuple[Any, ...]] = []
        self.records: list[LoginRecord] = []

    def login_begins(self, flight: object) -> None:
        self.facts.append(("login begins",))

    def login_ended(self, flight: object, record: LoginRecord | None) -> None:
        self.facts.append(("login ended", None if record is None else record.outcome))
        self.records.extend([] if record is None else [record])

    def wait_begins(self, flight: object) -> None:
        self.facts.append(("wait begins",))

    def wait_ended(self, seconds: float, error: str | None) -> None:
        self.facts.append(("wait ended", seconds, error))

    def refused(self) -> None:
        self.facts.append(("refused",))

    def sent_again(self, count: int) -> None:
        self.facts.append(("sent again", count))

    def login_was_useless(self) -> None:
        self.facts.append(("useless",))

    def store_was_called(self, operation: str, seconds: float, error: str | None) -> None:
        self.facts.append((operation, seconds, error))

    @property
    def counted(self) -> Counter[str]:
        """How often each fact was heard."""
        return Counter(str(fact[0]) for fact in self.facts)


def listened(*script: Any, **options: Any) -> tuple[ScriptedKeeper, Heard]:
    """A keeper and what is heard of it."""
    kept, heard = scripted(*script, **{"account": "a", **options}), Heard()
    kept.account.listen(heard)
    return kept, heard


@virtual_time
async def test_a_record_says_what_a_login_was_like() -> None:
    """Account, reason, outcome, error, attempts, seconds, waiting requests, and when it began; frozen."""
    kept, heard = listened(LoginUnavailableError("down"), LoginUnavailableError("down"), seconds=1)
    before = datetime.now(UTC)
    await kept.outcomes(7)
    (record,) = heard.records
    assert (record.account, record.reason, record.outcome, record.error) == ("a", "first", "issued", None)
    assert (record.attempts, record.waiting) == (3, 7)
    assert record.seconds == now()
    assert before <= record.started_at <= datetime.now(UTC)
    assert record.started_at.utcoffset() == timedelta(0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.account = "b"  # type: ignore[misc]


@virtual_time
async def test_the_record_of_a_failed_login_names_its_error() -> None:
    """By its type alone; the waiting requests get the same error."""
    kept, heard = listened(KeyError("s3cret"), seconds=1)
    assert {type(outcome) for outcome in await kept.outcomes(3)} == {LoginError}
    (record,) = heard.records
    assert (record.outcome, record.error, record.attempts, record.waiting) == ("failed", "LoginError", 1, 3)
    assert "s3cret" not in repr(record)


@virtual_time
async def test_an_adopted_token_is_a_record_without_an_attempt() -> None:
    """The store had it."""
    store = MemoryStore(timer=now)
    await store.save("a", Token("theirs"))
    kept, heard = listened(store=store)
    assert await kept.text() == "theirs"
    (record,) = heard.records
    assert (record.outcome, record.attempts, record.waiting) == ("adopted", 0, 1)
    assert (kept.stats().adopted, kept.stats().logins) == (1, 0)


@virtual_time
async def test_a_renewal_ahead_is_a_record_for_which_nobody_waited() -> None:
    """And it is counted as one."""
    kept, heard = listened(expires_in=100)
    (await kept.obtain()).used = True
    await passing(90)
    assert [(record.reason, record.waiting) for record in heard.records] == [(Reason.FIRST, 1), (Reason.AHEAD, 0)]
    assert kept.stats().refreshes_ahead == 1


@virtual_time
async def test_a_login_with_nothing_newer_is_no_record(caplog: pytest.LogCaptureFixture) -> None:
    """It is no new login, for `stats()` neither; an event tells of it."""
    kept, heard = listened(Token("fixed"), lambda previous: previous)
    issued = await kept.obtain()
    kept.refuse(issued)
    with caplog.at_level(logging.INFO, "exterview_auth"):
        assert await kept.obtain(issued) is issued
    assert [record.outcome for record in heard.records] == ["issued"]
    assert heard.facts[-2:] == [("login ended", None), ("wait ended", 0, None)]
    assert told(caplog, "token.unchanged") == ["token.unchanged account='a' reason='refused' attempt=1 seconds=0.0"]


@pytest.mark.parametrize(
    "failure",
    [CredentialsRejectedError("no"), LoginUnavailableError("busy", retry_after=100)],
    ids=["rejected", "retry_after"],
)
@virtual_time
async def test_a_look_into_the_store_while_no_login_is_allowed_is_no_record(failure: LoginError) -> None:
    """Requests look there once a second during a pause, which is no reason to tell of a login each time."""
    kept, heard = listened(failure, failure, store=MemoryStore(timer=now))
    await kept.outcomes(1)
    looks = heard.counted["load"]
    for _ in range(5):
        await passing(1.5)
        await kept.outcomes(1)
    assert heard.counted["load"] > looks + 3
    assert [record.error for record in heard.records] == [type(failure).__name__]
    assert kept.login.count == kept.stats().login_failures == 1
    assert heard.facts[-2:] == [("login ended", None), ("wait ended", 0, type(failure).__name__)]


def _logout(kept: ScriptedKeeper) -> Any:
    return kept.lifecycle.logout()


def _close(kept: ScriptedKeeper) -> Any:
    return kept.lifecycle.aclose()


@pytest.mark.parametrize(("end", "error"), [(_logout, "LoggedOutError"), (_close, "ClosedError")])
@pytest.mark.parametrize("stored", [False, True], ids=["alone", "sharing"])
@virtual_time
async def test_a_login_that_is_discarded_is_a_record_of_a_failed_one(
    end: Callable[[ScriptedKeeper], Any], error: str, *, stored: bool
) -> None:
    """Exactly one, with the error that its requests got, also where a close saves what it gave."""
    options = {"store": MemoryStore(timer=now)} if stored else {}
    kept, heard = listened(Token("T1", refresh_token="r"), seconds=1, **options)
    waiting = kept.waiting()
    await passing(0.5)
    await end(kept)
    await settle()
    assert type((await asyncio.gather(waiting, return_exceptions=True))[0]).__name__ == error
    assert [(record.outcome, record.error, record.waiting) for record in heard.records] == [("failed", error, 1)]
    assert kept.stats().logins == 0


@virtual_time
async def test_a_discarded_login_leaves_the_next_ones_figures_alone() -> None:
    """It may still be cleaning up while the next one waits for the logout."""

    async def stubborn(_: Token | None) -> Token:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.5)
        raise AssertionError

    kept, heard = listened(stubborn, LoginUnavailableError("down"), Token("T2"))
    first = kept.waiting()
    await passing(1)
    logout = asyncio.ensure_future(kept.lifecycle.logout())
    await settle()
    assert await kept.text() == "T2"
    await asyncio.gather(first, logout, return_exceptions=True)
    found = [(record.error, record.attempts, record.waiting) for record in heard.records]
    assert found == [("LoggedOutError", 1, 1), (None, 2, 1)]


@virtual_time
async def test_a_logout_while_the_token_is_saved_makes_no_second_record() -> None:
    """The login has ended by then."""
    store = FailingStore()
    store.faults["save"] = "hang"
    kept, heard = listened(store=store)
    waiting = kept.waiting()
    await passing(1)
    await kept.lifecycle.logout()
    await asyncio.gather(waiting, return_exceptions=True)
    assert [record.outcome for record in heard.records] == ["issued"]
    assert kept.stats().logins == 1


@virtual_time
async def test_events_counters_and_records_agree(caplog: pytest.LogCaptureFixture) -> None:
    """The same number of logins, adoptions, refusals and useless logins, and the same seconds, whoever is asked."""
    caplog.set_level(logging.INFO, "exterview_auth")
    store = MemoryStore(timer=now)
    script = Token("T1"), LoginUnavailableError("down"), Token("T2"), CredentialsRejectedError("no")
    kept, heard = listened(*script, store=store, seconds=0.5)
    first = await kept.obtain()
    kept.refuse(first)
    second = await kept.obtain(first)
    await store.save("a", Token("theirs"))
    kept.refuse(second)
    third = await kept.obtain(second)
    kept.refuse(third)
    with pytest.raises(CredentialsRejectedError):
        await kept.obtain(third)
    stats, outcomes = kept.stats(), Counter(record.outcome for record in heard.records)
    assert (
        outcomes
        == {"issued": stats.logins, "adopted": stats.adopted, "failed": 1}
        == {"issued": 2, "adopted": 1, "failed": 1}
    )
    assert heard.counted["refused"] == stats.unauthorized == len(told(caplog, "token.refused")) == 3
    assert heard.counted["useless"] == stats.useless_logins == 2
    assert stats.login_failures == len(told(caplog, "login.failed")) == 2
    lines = (re.match(r"token\.(?:issued|adopted) .*seconds=([\d.]+)", line) for line in caplog.messages)
    shown = [float(line[1]) for line in lines if line is not None]
    assert shown == [round(record.seconds, 3) for record in heard.records if record.outcome != "failed"]
    waits = [fact[1:] for fact in heard.facts if fact[0] == "wait ended"]
    assert waits == [(record.seconds, record.error) for record in heard.records]


@virtual_time
async def test_each_call_to_the_store_is_heard_and_its_failures_are_those_that_count() -> None:
    """With its seconds and its error; a lock is taken and given back."""
    store = FailingStore()
    kept, heard = listened(store=store)
    issued = await kept.obtain()
    names = ["load", "lock", "load", "save", "unlock"]
    assert [fact[0] for fact in heard.facts if fact[0] in names] == names
    heard.facts.clear()
    store.faults["load"] = OSError("down")
    kept.refuse(issued)
    await kept.obtain(issued)
    assert ("load", 0, "OSError") in heard.facts
    assert kept.stats().store_failures == sum(fact[0] in names and fact[2] is not None for fact in heard.facts) == 1


@pytest.mark.parametrize("call", ["lock", "unlock", "save"])
@virtual_time
async def test_a_store_that_hangs_is_heard_with_the_seconds_that_it_took(call: str) -> None:
    """As a timeout, as often as `stats()` counts one."""
    store = FailingStore()
    store.faults[call] = "hang"
    kept, heard = listened(store=store)
    await kept.obtain()
    failures = [fact for fact in heard.facts if fact[0] == call and fact[2] is not None]
    assert failures[0][2] == "TimeoutError"
    assert failures[0][1] >= 1
    assert len(failures) == kept.stats().store_failures
    store.faults.clear()


@virtual_time
async def test_a_wait_ends_with_its_callers_own_error() -> None:
    """A cancelled request, and one whose deadline came, are heard as such; the login goes on."""
    kept, heard = listened(seconds=10)
    cancelled = kept.waiting()
    late = kept.join_login(deadline=asyncio.get_running_loop().time() + 3)
    with pytest.raises(TimeoutError), late as done:
        await done
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    assert [fact for fact in heard.facts if fact[0] == "wait ended"] == [
        ("wait ended", 3, "TimeoutError"),
        ("wait ended", 3, "CancelledError"),
    ]


@virtual_time
async def test_a_cancellation_by_the_callers_timeout_is_heard_as_a_timeout() -> None:
    """The request is cancelled first, and aiohttp raises the ``TimeoutError`` later."""
    kept, heard = listened(seconds=10)
    for late in (True, False):
        waiting = asyncio.ensure_future(kept.obtain(is_late=partial(bool, late)))
        await passing(1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert [fact[2] for fact in heard.facts if fact[0] == "wait ended"] == ["TimeoutError", "CancelledError"]


@virtual_time
async def test_while_nobody_listens_no_wait_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is computed then: the feed is not even asked when the wait begins."""
    kept = scripted(seconds=1)
    asked: list[float] = []

    def wait_begins(_: Feed, __: object) -> float:
        asked.append(now())
        return now()

    monkeypatch.setattr(Feed, "wait_begins", wait_begins)
    await kept.outcomes(10)
    assert asked == []
    heard = Heard()
    kept.account.listen(heard)
    issued = await kept.obtain()
    kept.refuse(issued)
    await kept.obtain(issued)
    assert len(asked) == 1


def test_a_listener_is_notified_once_and_no_more_after_it_left() -> None:
    """However often it began to listen."""
    feed, heard, other = Feed(), Heard(), Heard()
    for listener in (heard, heard, other):
        feed.listen(listener)
    feed.refused()
    feed.leave(heard)
    feed.leave(heard)
    feed.refused()
    assert (heard.counted["refused"], other.counted["refused"], feed.unauthorized) == (1, 2, 2)


def test_a_listener_that_raises_breaks_nothing() -> None:
    """Neither the request, nor what others hear."""

    class Broken(Listener):
        def refused(self) -> None:
            raise RuntimeError("no exporter")

    feed, heard = Feed(), Heard()
    feed.listen(Broken())
    feed.listen(heard)
    feed.refused()
    assert heard.counted["refused"] == feed.unauthorized == 1


def test_a_listener_need_not_care_for_everything() -> None:
    """Every method of the base does nothing."""
    feed = Feed(lambda: 0.0)
    feed.listen(Listener())
    feed.login_begins(None)
    feed.wait_ended(feed.wait_begins(None), None)
    feed.refused()
    feed.sent_again(1)
    feed.login_was_useless()
    feed.store_was_called("load", 0.0)
    feed.login_ended(None, None)
    assert dataclasses.asdict(feed.snapshot())["replays"] == 1
