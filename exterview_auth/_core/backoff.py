"""When a login endpoint that is not available is asked again. Loaded with the first login, not with the package."""

from __future__ import annotations

import asyncio

import tenacity

from .._clock import Clock
from .._options import LONGEST
from ..errors import LoginUnavailableError

_exponential = tenacity.wait_exponential(multiplier=0.25, max=10)
_jitter = tenacity.wait_random(0, 0.25)


def until(deadline: float, clock: Clock) -> tenacity.AsyncRetrying:
    """Retry `LoginUnavailableError` for as long as the next attempt would begin before *deadline*; then raise it."""
    return tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(LoginUnavailableError),
        wait=_wait,
        stop=lambda state: clock() + state.upcoming_sleep >= deadline,
        sleep=asyncio.sleep,
        reraise=True,
    )


def _wait(state: tenacity.RetryCallState) -> float:
    """Exponential, with jitter; where the endpoint said when to come back, not before that."""
    failure = state.outcome.exception() if state.outcome is not None else None
    asked = failure.retry_after if isinstance(failure, LoginUnavailableError) else None
    # An endpoint may ask for more seconds than a float can hold; LONGEST is as good as never.
    return float(max(_exponential(state), min(asked or 0.0, LONGEST)) + _jitter(state))
