"""Renewal ahead of expiry: nobody waits for it, short lives are not eaten by it, and it stops when nobody asks."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time

import pytest

from exterview_auth import CredentialsRejectedError, LoginError, Token
from exterview_auth._core.keeper import Keeper
from tests.kit.clock import now, passing, settle, virtual_time
from tests.kit.keepers import ScriptedLogin, keeper


async def ask(kept: Keeper) -> str:
    """What a request does on the hot path, and in its absence on the slow one."""
    grant = kept.state.current
    if grant is None or now() >= kept.state.usable_until:
        grant = await kept.obtain()
    grant.used = grant.ever_accepted = True
    return grant.token.value


@virtual_time
async def test_a_token_is_replaced_before_it_expires_and_nobody_waits() -> None:
    """Rule 8: requests all along, one login per life, none of them held up by a login of two seconds."""
    login = ScriptedLogin(seconds=2, expires_in=100)
    kept = keeper(login)
    await ask(kept)
    start = now()
    worst = 0.0
    while now() < start + 500:
        before = now()
        await ask(kept)
        worst = max(worst, now() - before)
        await passing(0.5)
    assert worst == 0
    assert 6 <= login.count <= 8
    assert kept.stats().refreshes_ahead == login.count - 1
    assert login.running_peak == 1
    await kept.lifecycle.aclose()


@pytest.mark.parametrize("life", [1, 5, 20, 59])
def test_a_short_life_is_used(life: float) -> None:
    """Rule 8, lesson 32: 20 requests at once and 20 more in the first half of the life make one login."""

    @virtual_time
    async def run() -> None:
        login = ScriptedLogin(expires_in=life)
        kept = keeper(login)
        await asyncio.gather(*(ask(kept) for _ in range(20)))
        for _ in range(20):
            await passing(life / 40)
            await ask(kept)
        assert login.count == 1
        await kept.lifecycle.aclose()

    run()


@virtual_time
async def test_jitter_is_drawn_once_per_token() -> None:
    """Lesson 26: asking often does not make the renewal earlier."""
    login = ScriptedLogin(expires_in=1000)
    kept = keeper(login)
    await ask(kept)
    assert kept.state.current is not None
    drawn = kept.state.current.renew_at
    assert 750 <= drawn <= 800
    for _ in range(700):
        await passing(1)
        await ask(kept)
    assert kept.state.current.renew_at == drawn
    assert login.count == 1
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_failing_renewal_disturbs_nobody() -> None:
    """Rule 8: the still valid token goes on serving, and the endpoint is asked a few times, not for each request."""
    login = ScriptedLogin(Token("T1", expires_in=100), *[RuntimeError("down") for _ in range(1000)])
    kept = keeper(login)
    await ask(kept)
    while now() < 97.5:
        assert await ask(kept) == "T1"
        await passing(0.25)
    assert 3 <= login.count <= 12
    await passing(2)
    with pytest.raises(LoginError):
        await ask(kept)
    await kept.lifecycle.aclose()


@virtual_time
async def test_an_owner_that_nobody_asks_stops_renewing() -> None:
    """Lesson 35: at most two renewals of a token of 60 s in an hour of silence."""
    login = ScriptedLogin(expires_in=60)
    kept = keeper(login)
    await ask(kept)
    await passing(3600)
    assert login.count <= 3
    assert not kept.lifecycle.holds_open
    assert await ask(kept) == f"T{login.count}"
    await kept.lifecycle.aclose()


@virtual_time
async def test_who_asks_first_inside_the_window_begins_the_renewal_and_waits_for_nothing() -> None:
    """Rule 8: silence until after the renewal was due, then traffic: the old token serves until the new one is there."""
    login = ScriptedLogin(seconds=2, expires_in=100)
    kept = keeper(login)
    await ask(kept)
    await passing(85)  # renewed once, and asked by nobody since
    assert login.count == 2
    await passing(85)
    assert login.count == 2
    before = now()
    assert await ask(kept) == "T2"
    assert now() == before
    await passing(3)
    assert await ask(kept) == "T3"
    assert kept.stats().refreshes_ahead == 2
    await kept.lifecycle.aclose()


@virtual_time
async def test_after_a_rejection_nothing_is_renewed_until_somebody_asks() -> None:
    """Rule 8, lesson 35: the valid token serves on; the next login is made by the request that needs one."""
    login = ScriptedLogin(Token("T1", expires_in=100), CredentialsRejectedError("no"))
    kept = keeper(login)
    while now() < 97:
        assert await ask(kept) == "T1"
        await passing(1)
    assert login.count == 2
    await passing(3600)
    assert login.count == 2
    assert await ask(kept) == "T3"
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_refusal_while_the_renewal_runs_joins_it() -> None:
    """Rule 8: no second login."""
    login = ScriptedLogin(Token("T1", expires_in=100))
    kept = keeper(login)
    await ask(kept)
    login.seconds = 5
    await passing(79)
    assert login.running == 1
    grant = kept.state.current
    assert grant is not None
    kept.refuse(grant, waited=False)
    assert (await kept.obtain(grant)).token.value == "T2"
    assert login.count == 2
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_renewal_that_is_cancelled_leaves_nobody_waiting() -> None:
    """Lesson 16: whoever joined it gets a typed error, and the next caller a token."""
    login = ScriptedLogin(Token("T1", expires_in=100))
    kept = keeper(login)
    await ask(kept)
    login.seconds = 50
    await passing(81)
    grant = kept.state.current
    assert grant is not None
    kept.refuse(grant, waited=False)
    joined = asyncio.ensure_future(kept.obtain(grant))
    await settle()
    for task in asyncio.all_tasks():
        if task.get_name() == "exterview_auth login":
            task.cancel()
    with pytest.raises(LoginError, match="cancelled"):
        await joined
    login.seconds = 0
    assert await ask(kept) == "T3"
    await kept.lifecycle.aclose()


@virtual_time
async def test_refresh_ahead_of_zero_never_renews() -> None:
    """The option: the next request after the end logs in."""
    login = ScriptedLogin(expires_in=100)
    kept = keeper(login, refresh_ahead=0)
    await ask(kept)
    await passing(200)
    assert login.count == 1
    assert await ask(kept) == "T2"
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_login_slower_than_its_tokens_life_is_used_all_the_same() -> None:
    """Lesson 32: everybody who waited gets the token, and it makes no login storm."""
    login = ScriptedLogin(seconds=5, expires_in=1)
    kept = keeper(login, refresh_ahead=0)
    assert set(await asyncio.gather(*(ask(kept) for _ in range(20)))) == {"T1"}
    assert login.count == 1
    await kept.lifecycle.aclose()


@virtual_time
async def test_expires_in_counts_from_the_moment_the_login_was_sent() -> None:
    """Lesson 27: a login of 30 s and a life of 100 s leave 70 s."""
    login = ScriptedLogin(seconds=30, expires_in=100)
    kept = keeper(login, refresh_ahead=0, login_timeout=60)
    await ask(kept)
    assert kept.state.usable_until == pytest.approx(99)
    await kept.lifecycle.aclose()


@virtual_time
async def test_time_that_passed_in_a_suspended_machine_counts() -> None:
    """Lesson 34: timers stood still, the clock did not: the next request renews before it is sent."""
    asleep = 0.0
    login = ScriptedLogin(expires_in=3600)
    kept = keeper(login, clock=lambda: now() + asleep)
    assert await ask(kept) == "T1"
    asleep = 7200.0
    assert kept.state.current is not None
    assert now() + asleep >= kept.state.usable_until
    assert (await kept.obtain()).token.value == "T2"
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_timer_that_goes_off_early_waits_on() -> None:
    """The loop's clock may run faster than the one that lives are measured on."""
    login = ScriptedLogin(expires_in=100)
    kept = keeper(login, clock=lambda: now() / 2)
    await ask(kept)
    await passing(120)
    assert login.count == 1
    await passing(60)
    assert login.count == 2
    await kept.lifecycle.aclose()


@virtual_time
async def test_many_idle_owners_make_no_login() -> None:
    """Lesson 35: 1024 idle accounts, no login in the second half hour."""
    login = ScriptedLogin(expires_in=60)
    owners = [keeper(login) for _ in range(1024)]
    await asyncio.gather(*(ask(kept) for kept in owners))
    await passing(1800)
    before = login.count
    await passing(1800)
    assert login.count == before
    for kept in owners:
        await kept.lifecycle.aclose()


@virtual_time
async def test_a_timer_that_goes_off_for_a_refused_token_begins_nothing() -> None:
    """Rule 8: nobody has asked since the refusal, and the next request makes the login."""
    login = ScriptedLogin(expires_in=100)
    kept = keeper(login)
    await ask(kept)
    assert kept.state.current is not None
    kept.invalidate(kept.state.current.token)
    await passing(200)
    assert login.count == 1
    assert await ask(kept) == "T2"
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_renewal_and_its_failure_are_told_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Rules 8 and 18: what failed in the background, for which account, and why the next token came."""
    login = ScriptedLogin(Token("T1", expires_in=100), RuntimeError("s3cret"), Token("T3", expires_in=100))
    kept = keeper(login, account="a")
    with caplog.at_level(logging.INFO, "exterview_auth"):
        while now() < 95:
            await ask(kept)
            await passing(1)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.INFO, "token.issued account='a' reason='first' expires_in=100.0"),
        (logging.WARNING, "login.failed error='LoginError'"),
        (logging.WARNING, "renewal.failed account='a' error='LoginError'"),
        (logging.INFO, "token.issued account='a' reason='ahead' expires_in=100.0"),
    ]
    await kept.lifecycle.aclose()


def jwt_of(life: int) -> str:
    """A token that says for how long it lives."""
    issued = int(time.time())
    payload = base64.urlsafe_b64encode(json.dumps({"iat": issued, "exp": issued + life}).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJub25lIn0.{payload}.c2ln"


@virtual_time
async def test_a_life_that_the_token_itself_tells_counts_from_its_receipt() -> None:
    """The contract, `Token`: a JWT's own life begins when it is there, whenever its login was sent."""
    kept = keeper(ScriptedLogin(lambda _previous: Token(jwt_of(100)), seconds=30), refresh_ahead=0, login_timeout=60)
    await ask(kept)
    assert kept.state.usable_until == pytest.approx(129, abs=5)
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_failed_login_that_a_request_asked_for_is_no_renewal(caplog: pytest.LogCaptureFixture) -> None:
    """Rule 8: nothing is tried again in the background after it, and the log does not say so."""
    login = ScriptedLogin(Token("T1", expires_in=100), RuntimeError("down"))
    kept = keeper(login, refresh_ahead=0)
    await ask(kept)
    await passing(101)
    with pytest.raises(LoginError):
        await ask(kept)
    assert caplog.messages == ["login.failed error='LoginError'"]
    assert not kept.lifecycle.holds_open
    await kept.lifecycle.aclose()
