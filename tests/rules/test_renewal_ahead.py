"""Renewal ahead of expiry: no request waits for it, it leaves short lives their time, and it stops without requests."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable

import pytest

from exterview_auth import CredentialsRejectedError, LoginError, LoginUnavailableError, MemoryStore, Token
from exterview_auth._core.keeper import Keeper
from tests.kit.clock import now, passing, run, settle, virtual_time
from tests.kit.keepers import scripted
from tests.kit.tokens import jwt_of


async def ask(kept: Keeper) -> str:
    """Do what a request does on the fast path, or else on the slow one."""
    issued = kept.state.current
    if issued is None or now() >= kept.state.usable_until:
        issued = await kept.obtain()
    issued.used = issued.ever_accepted = True
    return issued.token.value


@virtual_time
async def test_a_token_is_replaced_before_it_expires_and_no_request_waits() -> None:
    """With requests all the time, each life costs one login, and a login of two seconds delays none of them."""
    kept = scripted(seconds=2, expires_in=100)
    await ask(kept)
    start = now()
    while now() < start + 500:
        before = now()
        await ask(kept)
        assert now() == before
        await passing(0.5)
    assert 6 <= kept.login.count <= 8
    assert kept.stats().refreshes_ahead == kept.login.count - 1
    assert kept.login.running_peak == 1


@pytest.mark.parametrize("life", [1, 5, 20, 59])
@virtual_time
async def test_a_short_life_is_used(life: float) -> None:
    """20 requests at once and 20 more in the first half of the life cost one login."""
    kept = scripted(expires_in=life)
    await asyncio.gather(*(ask(kept) for _ in range(20)))
    for _ in range(20):
        await passing(life / 40)
        await ask(kept)
    assert kept.login.count == 1


@virtual_time
async def test_a_failing_renewal_disturbs_no_request() -> None:
    """The valid token stays in use, and the endpoint is asked a few times, not for each request."""
    kept = scripted(Token("T1", expires_in=100), *[RuntimeError("down") for _ in range(1000)])
    await ask(kept)
    while now() < 97.5:
        assert await ask(kept) == "T1"
        await passing(0.25)
    assert 3 <= kept.login.count <= 12
    await passing(2)
    with pytest.raises(LoginError):
        await ask(kept)


async def never_waiting(kept: Keeper, until: float, step: float = 0.1) -> None:
    """Ask again and again until then, and fail if that waits once."""
    while now() < until:
        before = now()
        await ask(kept)
        assert now() == before
        await passing(step)


def unchanged(previous: Token | None) -> Token:
    """Have nothing newer."""
    assert previous is not None
    return previous


@virtual_time
async def test_a_source_with_nothing_newer_is_asked_again_before_the_end() -> None:
    """In the middle of what is left, as after a failure; no request waits, and one login at a time asks."""
    script = Token("T1", expires_in=100), unchanged, unchanged, Token("T4", expires_in=100)
    kept = scripted(*script, seconds=1)
    await ask(kept)
    await never_waiting(kept, 150)
    times = kept.login.times
    assert 70 < times[1] < 81
    for earlier, later in itertools.pairwise(times[1:]):
        assert later == pytest.approx(earlier + 1 + (100 - earlier - 1) / 2, abs=0.5)
    assert (kept.login.count, kept.login.running_peak, kept.stats().refreshes_ahead) == (4, 1, 1)


@pytest.mark.parametrize("later", ["nothing newer", "newer"])
@virtual_time
async def test_a_source_that_is_too_slow_to_be_asked_again_before_the_end_delays_no_request(later: str) -> None:
    """It said that the token is its newest, so that is used meanwhile; asked once more, it is used until a refusal."""
    script = Token("T1", expires_in=6), unchanged, unchanged if later == "nothing newer" else Token("T3")
    kept = scripted(*script, seconds=1)
    await ask(kept)
    await never_waiting(kept, 60)
    assert kept.login.count == 3
    assert await ask(kept) == ("T1" if later == "nothing newer" else "T3")
    assert not kept.lifecycle.holds_open


@virtual_time
async def test_a_token_that_is_kept_for_want_of_a_newer_one_gives_way_to_a_stored_one() -> None:
    """Another owner's newer token is adopted without a login, although it has an end and the old one has none any more."""
    store = MemoryStore(timer=now)
    kept = scripted(Token("T1", expires_in=6), unchanged, seconds=1, account="a", store=store)
    await ask(kept)
    await never_waiting(kept, 6)
    await store.save("a", Token("T2", expires_in=100))
    await never_waiting(kept, 10)
    assert (await ask(kept), kept.login.count, kept.stats().adopted) == ("T2", 2, 1)


@virtual_time
async def test_a_renewal_that_is_due_while_a_flight_is_under_way_begins_when_it_ends() -> None:
    """A hook takes most of each life; no second login begins beside it, and no request waits for one."""
    kept = scripted(expires_in=5, on_token=lambda *_: asyncio.sleep(4.5))
    first = kept.waiting()
    await settle()
    begun: list[tuple[int, bool]] = []
    while now() < 40:
        before = now()
        await ask(kept)
        assert now() == before
        begun.append((kept.login.count, kept._renewal.single_flight.current is not None))
        await passing(0.1)
    await first
    assert 8 <= kept.login.count <= 10
    assert kept.stats().refreshes_ahead == kept.login.count - 1
    # Each login began when the flight before it had ended: nobody was ever without one for long.
    assert sum(not busy for _, busy in begun) <= kept.login.count


@virtual_time
async def test_a_renewal_that_is_due_while_another_flight_is_under_way_begins_no_second() -> None:
    """And if that flight fails, the renewal follows it in the middle of what is left."""
    kept = scripted(Token("T1", expires_in=100), LoginUnavailableError("busy"), login_timeout=10)
    issued = await kept.obtain()
    issued.used = issued.ever_accepted = True
    await passing(74)
    kept.login.seconds = 9.9
    kept.join_login(issued)  # a request was refused for a reason of its own
    await never_waiting(kept, 83)
    assert (kept.login.count, kept.login.running_peak) == (2, 1)
    kept.login.seconds = 0
    await never_waiting(kept, 99)
    assert (kept.login.count, kept.login.running_peak) == (3, 1)
    assert kept.login.times[2] == pytest.approx((84 + 99) / 2, abs=0.2)
    assert kept.stats().refreshes_ahead == 1


@virtual_time
async def test_renewals_keep_the_pauses_after_failures(caplog: pytest.LogCaptureFixture) -> None:
    """The pause of a failure or a ``Retry-After`` counts for renewals too; then they go on, and none begins in it."""
    script = LoginUnavailableError(retry_after=58), LoginError("misfit"), LoginError("misfit"), LoginError("misfit")
    kept = scripted(Token("T1", expires_in=400), *script, login_timeout=5)
    await ask(kept)
    await never_waiting(kept, 500)
    times = kept.login.times
    assert times[2] == pytest.approx(times[1] + 58, abs=1.5)
    assert [
        later - earlier >= pause for earlier, later, pause in zip(times[2:], times[3:], (1, 2, 4), strict=False)
    ] == [True] * 3
    assert kept.login.count == 6
    assert sum(message.startswith("renewal.failed") for message in caplog.messages) == len(script)


@virtual_time
async def test_a_renewal_waits_until_the_budget_allows_it() -> None:
    """A token that no request was accepted with is no reason for more logins than ``max_logins``."""
    kept = scripted(expires_in=40, max_logins=(1, 35.0))
    issued = await kept.obtain()
    issued.used = True
    kept.refuse(issued)  # it stays: no login is allowed
    assert kept.stats().useless_logins == 1
    await passing(34)
    assert kept.login.count == 1
    await passing(3)
    assert kept.login.count == 2


@virtual_time
async def test_the_budget_does_not_keep_a_token_that_works_from_its_renewal() -> None:
    """A login is needed once it is over, whatever others were refused with."""
    kept = scripted(expires_in=40, max_logins=(1, 1000.0))
    issued = await kept.obtain()
    issued.used = True
    kept.refuse(issued)  # it stays: no login is allowed
    issued.ever_accepted = True
    await passing(41)
    assert (kept.stats().useless_logins, kept.login.count) == (1, 2)


@virtual_time
async def test_a_timer_from_before_a_rejection_starts_no_login() -> None:
    """Rejected credentials are presented again for a request alone, also if the token of before lives on."""
    kept = scripted(Token("T1", expires_in=400), CredentialsRejectedError("rejected"))
    issued = await kept.obtain()
    issued.used = True
    with pytest.raises(CredentialsRejectedError):
        await kept.obtain(issued)
    await passing(390)
    assert (kept.login.count, kept.state.unexpired) == (2, issued)


@virtual_time
async def test_an_owner_without_requests_stops_renewing() -> None:
    """At most two renewals of a token of 60 s in an hour without requests."""
    kept = scripted(expires_in=60)
    await ask(kept)
    await passing(3600)
    assert kept.login.count <= 3
    assert not kept.lifecycle.holds_open
    assert await ask(kept) == f"T{kept.login.count}"


@virtual_time
async def test_the_first_request_in_the_window_starts_the_renewal_and_does_not_wait() -> None:
    """If requests come again after the renewal was due, the old token is used until the new one is there."""
    kept = scripted(seconds=2, expires_in=100)
    await ask(kept)
    for _ in range(2):  # renewed once, and used by no request since
        await passing(85)
        assert kept.login.count == 2
    before = now()
    assert await ask(kept) == "T2"
    assert now() == before
    await passing(3)
    assert await ask(kept) == "T3"
    assert kept.stats().refreshes_ahead == 2


@virtual_time
async def test_after_a_rejection_only_a_request_starts_a_login() -> None:
    """The valid token stays in use, and the next login is for the request that needs one."""
    kept = scripted(Token("T1", expires_in=100), CredentialsRejectedError("no"))
    while now() < 97:
        assert await ask(kept) == "T1"
        await passing(1)
    assert kept.login.count == 2
    await passing(3600)
    assert kept.login.count == 2
    assert await ask(kept) == "T3"


@pytest.mark.parametrize("life", [100, 12])
@virtual_time
async def test_a_token_that_a_request_found_after_a_rejection_is_renewed(life: float) -> None:
    """The request that found another owner's token has asked; the pause ends by itself, and nobody waits."""
    store = MemoryStore(timer=now)
    kept = scripted(CredentialsRejectedError("no"), seconds=1, expires_in=life, store=store, account="a")
    with pytest.raises(CredentialsRejectedError):
        await kept.obtain()
    await store.save("a", Token("theirs", expires_in=life))
    await passing(2)
    await never_waiting(kept, now() + life)
    assert (kept.stats().adopted, kept.stats().refreshes_ahead, kept.login.count) == (1, 1, 2)


@virtual_time
async def test_a_found_token_whose_renewal_is_rejected_is_renewed_for_a_request_alone() -> None:
    """The rejection is newer than the token, as that of a token of one's own."""
    store = MemoryStore(timer=now)
    kept = scripted(*[CredentialsRejectedError("no")] * 3, store=store, account="a")
    with pytest.raises(CredentialsRejectedError):
        await kept.obtain()
    await store.save("a", Token("theirs", expires_in=100))
    await passing(2)
    await never_waiting(kept, now() + 97)
    assert kept.login.count == 2
    await passing(1000)
    assert kept.login.count == 2


@virtual_time
async def test_a_request_that_is_refused_while_the_renewal_runs_joins_it() -> None:
    """No second login."""
    kept = scripted(Token("T1", expires_in=100))
    await ask(kept)
    kept.login.seconds = 5
    await passing(79)
    assert kept.login.running == 1
    issued = kept.state.current
    assert issued is not None
    kept.refuse(issued)
    assert await kept.text(issued) == "T2"
    assert kept.login.count == 2


@virtual_time
async def test_refresh_ahead_of_zero_never_renews() -> None:
    """The option: the next request after the end logs in."""
    kept = scripted(expires_in=100, refresh_ahead=0)
    await ask(kept)
    await passing(200)
    assert kept.login.count == 1
    assert await ask(kept) == "T2"


@virtual_time
async def test_a_login_slower_than_its_tokens_life_is_used_all_the_same() -> None:
    """All its waiters get the token, and it does not start the next login at once."""
    kept = scripted(seconds=5, expires_in=1, refresh_ahead=0)
    assert set(await asyncio.gather(*(ask(kept) for _ in range(20)))) == {"T1"}
    assert kept.login.count == 1


@pytest.mark.parametrize(
    ("token", "until"),
    [
        (lambda: Token("T1", expires_in=100), 99),
        (lambda: Token(jwt_of(iat=(wall := int(time.time())), exp=wall + 100)), 129),
    ],
)
@virtual_time
async def test_a_lifetime_counts_from_the_request_for_it_or_from_the_receipt_of_a_jwt(
    token: Callable[[], Token], until: float
) -> None:
    """``expires_in`` counts from the sending of the login, here of 30 s; a JWT's own life from its receipt."""
    kept = scripted(lambda _previous: token(), seconds=30, refresh_ahead=0, login_timeout=60)
    await ask(kept)
    assert kept.state.usable_until == pytest.approx(until, abs=0.01 if until == 99 else 5)


@virtual_time
async def test_a_timer_that_fires_early_is_armed_again() -> None:
    """The loop's clock may run faster than the clock of the lifetimes."""
    kept = scripted(expires_in=100, clock=lambda: now() / 2)
    await ask(kept)
    for seconds, logins in ((120, 1), (60, 2)):
        await passing(seconds)
        assert kept.login.count == logins


@virtual_time
async def test_a_renewal_and_its_failure_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What failed in the background, for which account, and why the next token came."""
    script = Token("T1", expires_in=100), RuntimeError("s3cret"), Token("T3", expires_in=100)
    kept = scripted(*script, account="a")
    with caplog.at_level(logging.INFO, "exterview_auth"):
        while now() < 95:
            await ask(kept)
            await passing(1)
    why = "error='LoginError' problem='the login ended in RuntimeError; see the error that is chained to it'"
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.INFO, "token.issued account='a' reason='first' attempt=1 seconds=0.0 expires_in=100.0"),
        (logging.WARNING, f"login.failed account='a' reason='ahead' attempt=1 seconds=0.0 {why}"),
        (logging.WARNING, f"logins.paused account='a' reason='failed' seconds=1.0 {why}"),
        (logging.WARNING, f"renewal.failed account='a' {why}"),
        (logging.INFO, "logins.resumed account='a' reason='failed'"),
        (logging.INFO, "token.issued account='a' reason='ahead' attempt=1 seconds=0.0 expires_in=100.0"),
    ]


def test_a_renewal_that_ends_with_its_loop_has_not_failed(caplog: pytest.LogCaptureFixture) -> None:
    """A program, or a test, that ends while one is under way logs no warning."""

    async def main() -> None:
        kept = scripted(Token("T1", expires_in=100), lambda _: asyncio.sleep(1e6))
        await ask(kept)
        await passing(95)
        assert kept.login.count == 2

    run(main())
    assert caplog.messages == []


@virtual_time
async def test_a_failed_login_of_a_request_is_no_failed_renewal(caplog: pytest.LogCaptureFixture) -> None:
    """It is not tried again in the background, and the log does not call it a renewal."""
    kept = scripted(Token("T1", expires_in=100), RuntimeError("down"), refresh_ahead=0)
    await ask(kept)
    await passing(101)
    with pytest.raises(LoginError):
        await ask(kept)
    assert [message.split()[0] for message in caplog.messages] == ["login.failed", "logins.paused"]
    assert not kept.lifecycle.holds_open
