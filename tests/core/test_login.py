"""When a login endpoint that is not available is asked again, whatever it asks for."""

from __future__ import annotations

import math

import pytest

from exterview_auth import LoginUnavailableError, Token
from exterview_auth._core.limits import MAX_PAUSE
from tests.kit.clock import now, virtual_time
from tests.kit.keepers import keeper


@pytest.mark.parametrize("asked", [10**400, 10**5000, 1e308, math.inf], ids=["long", "longer", "large", "endless"])
def test_an_absurd_wish_is_capped(asked: float) -> None:
    """Lesson 14: of an application's own login too, and of whole numbers that no float holds: "later", for a minute at most."""
    calls: list[float] = []

    async def login(_: Token | None) -> Token:
        calls.append(now())
        raise LoginUnavailableError("later", retry_after=asked)

    @virtual_time
    async def run() -> None:
        kept = keeper(login)
        with pytest.raises(LoginUnavailableError, match=r"^later$"):
            await kept.obtain()
        with pytest.raises(LoginUnavailableError, match=rf"for another {MAX_PAUSE} s$"):
            await kept.obtain()
        assert calls == [now()] == [0.0]
        await kept.lifecycle.aclose()

    run()


@pytest.mark.parametrize("asked", [math.nan, -math.inf, -(10**400), 0, None], ids=["nan", "-inf", "-long", "0", "none"])
def test_a_wish_that_says_nothing_is_ignored(asked: float | None) -> None:
    """Lesson 14: the usual pauses, and the token of the second attempt."""
    calls: list[float] = []

    async def login(_: Token | None) -> Token:
        calls.append(now())
        if len(calls) == 1:
            raise LoginUnavailableError("later", retry_after=asked)
        return Token("value")

    @virtual_time
    async def run() -> None:
        kept = keeper(login)
        assert (await kept.obtain()).token.value == "value"
        assert calls[0] == 0
        assert 0.25 <= calls[1] <= 0.5
        await kept.lifecycle.aclose()

    run()
