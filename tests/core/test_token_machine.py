"""Whatever happens between login, store, clocks and requests: lifetimes, windows and counters are right."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exterview_auth import CredentialsRejectedError, LoginError, LoginUnavailableError, Token
from tests.kit import hypothesis_profiles
from tests.kit.token_world import NOTHING_NEWER, Plan, World
from tests.kit.tokens import ANSWERS, Answer, Issue, Life

pytestmark = [pytest.mark.timeout(hypothesis_profiles.TIMEOUT), pytest.mark.no_cover]

# An answer at the very moment of the deadline may count as either.
LATENCIES = st.sampled_from((0.0, 0.0, 1e-6, 0.3, 5.0, 29.0, 31.0, 1e6)) | st.floats(0, 29.9) | st.floats(30.1, 60)
PASSING = st.sampled_from((0.0, 1e-9, 0.1, 1.0, 14.0, 30.0, 47.0, 59.0, 600.0, 2700.0, 3600.0, 86_400.0, 1e7))
SLEEPING = st.sampled_from((1e-9, 1.0, 59.0, 3600.0, 7200.0, 1e7, 4e8))
RETRY_AFTER = st.sampled_from((None, 0.0, -5.0, 2.0, 29.9, 1e308, math.inf, math.nan))
FAILURES = (
    RETRY_AFTER.map(lambda seconds: LoginUnavailableError("later", retry_after=seconds))
    | st.just(CredentialsRejectedError("no", reason="user"))
    | st.just(LoginError("misfit"))
)
LEFT = st.sampled_from((None, 0.0, -3.0, 1e-9, 0.5, 5.0, 59.0, 3600.0, 1e9, math.inf, math.nan))
SILENCE = 4 * 3600.0


class TokenMachine(RuleBasedStateMachine):
    """The keeper with its real parts on a virtual loop."""

    world: World

    @initialize(window=st.sampled_from((0.0, 5.0, 300.0, 1e9)), shared=st.booleans(), seed=st.integers(0, 99))
    def begin(self, *, window: float, shared: bool, seed: int) -> None:
        self.world = World(window=window, shared=shared, seed=seed)

    # -- time -------------------------------------------------------------------------------------------------------

    @rule(seconds=PASSING | st.floats(0, 100))
    def time_passes(self, seconds: float) -> None:
        self.world.run(asyncio.sleep(seconds))

    @rule(seconds=SLEEPING | st.floats(0, 100))
    def the_machine_sleeps(self, seconds: float) -> None:
        self.world.asleep += seconds

    @rule(seconds=st.sampled_from((-1e8, -3600.0, -1.0, 120.0, 7200.0, 1e8)))
    def the_wall_clock_is_set(self, seconds: float) -> None:
        self.world.wall_offset += seconds

    # -- what the login endpoint and other processes do ---------------------------------------------------------------

    @rule(latency=LATENCIES, answer=ANSWERS)
    def logins_are_answered(self, latency: float, answer: Answer) -> None:
        self.world.plan = Plan(latency, answer)

    @rule(latency=st.floats(0, 29), answer=ANSWERS, asleep=st.booleans(), share=st.floats(0, 1.5))
    def a_token_is_used(self, latency: float, answer: Answer, share: float, *, asleep: bool) -> None:
        """From its login, while time passes or the machine sleeps, through part of its life."""
        world = self.world
        world.plan = Plan(latency, answer)
        if world.keeper.state.current is not None:
            self.the_current_token_is_refused(again=False, replayed=True)
        self.requests_ask(1)
        if asleep:
            self.the_machine_sleeps(latency)
        self.time_passes(latency)
        issued = world.keeper.state.current
        self.all_holds()
        if issued is not None and issued.token.expires_in is not None:
            self.time_passes(issued.token.expires_in * share if issued.token.expires_in < 1e6 else 1e6)
            self.requests_ask(2)

    @rule(latency=LATENCIES, failure=FAILURES)
    def logins_fail(self, latency: float, failure: LoginError) -> None:
        self.world.plan = Plan(latency, failure)

    @rule(latency=LATENCIES)
    def the_source_has_nothing_newer(self, latency: float) -> None:
        self.world.plan = Plan(latency, NOTHING_NEWER)

    @precondition(lambda self: self.world.store is not None)
    @rule(left=LEFT, refresh=st.none() | st.just("theirs"))
    def another_process_saves(self, left: float | None, refresh: str | None) -> None:
        world = self.world
        assert world.store is not None
        token = Token(f"S{next(world.numbers)}", refresh_token=refresh).with_remaining(left)
        world.issues[token.value] = Issue(Life(token.expires_in), world.clock(), world.clock())
        world.run(world.store.save("ada", token))

    # -- what requests do ---------------------------------------------------------------------------------------------

    @rule(number=st.sampled_from((1, 2, 20)))
    def requests_ask(self, number: int) -> None:
        self.world.ask(times=number)
        self.world.run()

    @precondition(lambda self: self.world.pending)
    @rule(data=st.data())
    def a_waiter_is_cancelled(self, data: Any) -> None:
        waiters = sorted(self.world.pending, key=asyncio.Task.get_name)
        data.draw(st.sampled_from(range(len(waiters))).map(waiters.__getitem__)).cancel()
        self.world.run()

    @precondition(lambda self: self.world.keeper.state.unrejected)
    @rule()
    def the_api_accepts_the_token(self) -> None:
        issued = self.world.keeper.state.current
        assert issued is not None
        issued.ever_accepted = issued.accepted_since_refusal = True

    @precondition(lambda self: self.world.keeper.state.current)
    @rule(again=st.booleans(), replayed=st.booleans())
    def the_current_token_is_refused(self, *, again: bool, replayed: bool) -> None:
        world = self.world
        issued = world.keeper.state.current
        assert issued is not None
        send_again = world.refuse(issued, again=again)
        world.refusals += 1
        if issued.rejected:
            world.refused.append(issued.token.value)
            world.wanted = bool(world.pending) or world.keeper.lifecycle.busy
        if send_again and replayed:
            world.ask(issued)
        world.run()

    @precondition(lambda self: self.world.known)
    @rule(data=st.data())
    def an_older_token_is_refused(self, data: Any) -> None:
        """The request is sent again with the current token, without a login if that is unexpired."""
        world = self.world
        old = data.draw(st.sampled_from(range(len(world.known))).map(list(world.known).__getitem__))
        current, calls, ahead = world.keeper.state.unexpired, world.calls, world.keeper.state.usable_until == -math.inf
        if old is world.keeper.state.current:
            return
        assert world.refuse(old, again=True)
        assert world.keeper.state.unexpired is current
        world.ask(old)
        world.run()
        assert current is None or ahead or world.calls == calls

    @rule()
    def the_user_logs_out(self) -> None:
        world = self.world
        world.era += 1
        world.wanted = False
        world.rejected_until = -math.inf
        world.run(world.keeper.lifecycle.logout())
        world.check_logged_out()

    # -- what only several steps can show -------------------------------------------------------------------------------

    @precondition(lambda self: not self.world.pending)
    @rule()
    def no_request_asks_for_an_hour(self) -> None:
        """At most two renewals, and none after a rejection that is newer than the token."""
        world = self.world
        current = world.keeper.state.current
        since = -math.inf if current is None else current.installed_at
        before, calls = world.keeper.stats().logins, world.calls
        rejected = world.keeper._limits.rejected_since(since) and not world.keeper.lifecycle.busy
        self.time_passes(3600.0)
        assert world.keeper.stats().logins <= before + 2
        assert not rejected or world.calls == calls

    @precondition(lambda self: not self.world.pending)
    @rule()
    def no_request_asks_for_a_lifetime(self) -> None:
        """An idle owner stops renewing, however its renewals ended."""
        world = self.world
        self.time_passes(SILENCE)
        assert not world.keeper.lifecycle.busy
        issued = world.keeper.state.current
        if world.keeper._renewal.armed:
            assert issued is not None
            seconds = world.known[issued][1].seconds if issued in world.known else math.inf
            assert seconds is not None
            assert seconds > SILENCE / 4

    @invariant()
    def all_holds(self) -> None:
        if hasattr(self, "world"):
            self.world.run()
            self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.close()


TokenMachine.TestCase.settings = hypothesis_profiles.examples(90)


TestTokens = TokenMachine.TestCase
