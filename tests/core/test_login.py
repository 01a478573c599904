"""When a login endpoint that is not available is asked again, whatever ``Retry-After`` it sends."""

from __future__ import annotations

import math

import pytest

from exterview_auth import LoginUnavailableError
from exterview_auth._core.limits import MAX_REJECTION_PAUSE
from tests.kit.clock import now, passing, virtual_time
from tests.kit.keepers import scripted


@pytest.mark.parametrize("asked", [10**400, 10**5000, 1e308, math.inf], ids=["long", "longer", "large", "endless"])
@virtual_time
async def test_an_absurd_retry_after_is_capped(asked: float) -> None:
    """Lesson 14: also one of an application's own login, and a whole number that no float holds: a minute at most."""
    kept = scripted(LoginUnavailableError("later", retry_after=asked))
    with pytest.raises(LoginUnavailableError, match=r"^later$"):
        await kept.obtain()
    with pytest.raises(LoginUnavailableError, match=rf"for another {MAX_REJECTION_PAUSE} s$"):
        await kept.obtain()
    assert kept.login.times == [now()] == [0.0]
    await passing(MAX_REJECTION_PAUSE)
    assert await kept.text() == "T2"


@pytest.mark.parametrize("asked", [math.nan, -math.inf, -(10**400), 0, None], ids=["nan", "-inf", "-long", "0", "none"])
@virtual_time
async def test_a_retry_after_that_says_nothing_is_ignored(asked: float | None) -> None:
    """Lesson 14: the usual pauses, and the token of the second attempt."""
    kept = scripted(LoginUnavailableError("later", retry_after=asked))
    assert await kept.text() == "T2"
    assert kept.login.times[0] == 0
    assert 0.25 <= kept.login.times[1] <= 0.5
