"""A login that fails as it may for wrong credentials and for a server in trouble alike."""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest

from exterview_auth import CredentialsRejectedError, LoginUnavailableError, Token
from exterview_auth.logins._context import PossibleRejectionError
from tests.kit.clock import virtual_time
from tests.kit.keepers import scripted

DOUBT = PossibleRejectionError("down, or wrong", CredentialsRejectedError("counts as a rejection", reason="user"))
DOWN = LoginUnavailableError("down")


@virtual_time
async def test_a_possible_rejection_is_asked_once_more_and_then_counts() -> None:
    """For all that wait, after a short pause, and remembered, so that no account is locked."""
    keeper = scripted(*[DOUBT] * 100)
    outcomes = await keeper.outcomes(50)
    assert {(type(outcome), str(outcome), outcome.reason) for outcome in outcomes} == {
        (CredentialsRejectedError, "counts as a rejection", "user")
    }
    assert keeper.login.count == 2
    assert 0.2 < keeper.login.times[1] - keeper.login.times[0] < 1.0
    with pytest.raises(CredentialsRejectedError):
        await keeper.text()
    assert keeper.login.count == 2
    await asyncio.sleep(10.5)
    with pytest.raises(CredentialsRejectedError):
        await keeper.text()
    assert keeper.login.count == 4


@virtual_time
async def test_a_doubt_is_not_remembered_as_one() -> None:
    """While its ``Retry-After`` binds the next login, that gets a public type, with the status that came."""
    doubt = PossibleRejectionError(str(DOUBT), DOUBT.rejection, retry_after=50, status=500)
    keeper = scripted(doubt, login_timeout=5)
    with pytest.raises(CredentialsRejectedError):
        await keeper.obtain()
    await asyncio.sleep(20)
    with pytest.raises(LoginUnavailableError) as caught:
        await keeper.obtain()
    assert type(caught.value) is LoginUnavailableError
    assert str(caught.value) == "down, or wrong (remembered; the next login is possible in 30 s)"
    assert (caught.value.status, caught.value.retry_after) == (500, 30)


@virtual_time
async def test_the_log_names_a_doubt_as_its_caller_sees_it(caplog: pytest.LogCaptureFixture) -> None:
    """At first the endpoint is not available, and then the credentials are rejected; both with their sentence."""
    keeper = scripted(DOUBT, DOUBT)
    with caplog.at_level("WARNING", "exterview_auth"), pytest.raises(CredentialsRejectedError):
        await keeper.obtain()
    failed = [vars(record) for record in caplog.records if vars(record)["event"] == "login.failed"]
    assert [(record["error"], record["problem"]) for record in failed] == [
        ("LoginUnavailableError", "down, or wrong"),
        ("CredentialsRejectedError", "counts as a rejection"),
    ]


@virtual_time
async def test_a_server_that_heals_meanwhile_serves_everybody() -> None:
    """Nothing is remembered of the doubt, and the next login may meet one again."""
    keeper = scripted(DOUBT, Token("T1"), DOUBT, Token("T2"))
    assert set(await keeper.outcomes(20)) == {"T1"}
    refused = await keeper.obtain()
    keeper.refuse(refused)
    assert await keeper.text(refused) == "T2"
    assert keeper.login.count == 4


@virtual_time
async def test_an_outage_between_does_not_allow_a_third_one() -> None:
    """At most one repetition for each login, however its attempts go on."""
    keeper = scripted(DOWN, DOUBT, DOWN, DOWN, DOUBT, Token("T"))
    with pytest.raises(CredentialsRejectedError):
        await keeper.text()
    assert keeper.login.count == 5


@virtual_time
async def test_without_time_for_another_attempt_the_first_counts() -> None:
    """Each request would begin a login of its own otherwise, with the same wrong password."""
    keeper = scripted(*[DOUBT] * 10, login_timeout=0.1)
    for _ in range(3):
        with pytest.raises(CredentialsRejectedError, match="counts as a rejection"):
            await keeper.text()
    assert keeper.login.count == 1


def test_a_possible_rejection_survives_pickling_and_copying() -> None:
    """As every error does."""
    for twin in (pickle.loads(pickle.dumps(DOUBT)), copy.copy(DOUBT), DOUBT.copy_for_waiter()):
        assert (str(twin), str(twin.rejection), twin.retry_after) == (str(DOUBT), "counts as a rejection", None)
