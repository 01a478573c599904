"""One login, as often as its endpoint needs to be asked, and what its failures are called."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from .._calls import CancelledItselfError, bounded
from .._clock import Clock
from .._events import emit
from .._options import RenewalOptions
from .._stats import Counters
from .._token import Token
from ..errors import (
    ConfigurationError,
    CredentialsRejectedError,
    InsecureTransportError,
    LoginError,
    LoginUnavailableError,
    ReentrantLoginError,
)
from .limits import LONGEST_PAUSE, LoginLimits


class Issued(NamedTuple):
    """A login's token, and when it was asked for and received, in seconds of the keeper's clock."""

    token: Token
    sent: float
    received: float


class LoginRunner:
    """Runs a login until it gives a token, fails for good, or has no time left."""

    __slots__ = ("_clock", "_counters", "_limits", "_login", "_longest_pause", "_prepare", "_told")

    def __init__(
        self,
        login: Callable[[Token | None], Awaitable[Token]],
        *,
        prepare: Callable[[], Awaitable[None]],
        limits: LoginLimits,
        clock: Clock,
        counters: Counters,
        policy: RenewalOptions,
    ) -> None:
        self._login = login
        self._prepare = prepare
        self._limits = limits
        self._clock = clock
        self._counters = counters
        self._longest_pause = max(LONGEST_PAUSE, policy.login_timeout)
        self._told: LoginUnavailableError | None = None

    def begin(self) -> None:
        """What attempts have told before this flight is no reason of its failure."""
        self._told = None

    async def run(self, previous: Token | None, deadline: float) -> Issued:
        """
        A token to follow *previous*, before *deadline*.

        An endpoint that is not available is asked again, with exponential backoff and jitter or after its
        ``Retry-After``. Raises `LoginError` (or what forbids the login altogether) as soon as it is clear that no token comes.
        """
        await self._keep_retry_after(deadline)
        from .backoff import until  # noqa: PLC0415 - the first login pays for the retry library, not the import

        issued: Issued = await until(deadline, self._clock)(self._attempt, previous)
        self._limits.succeeded()
        return issued

    def timed_out(self, seconds: float) -> LoginUnavailableError:
        """The error of a login that was cut off after so many *seconds*; what an attempt before has told is its cause."""
        self._counters.login_failures += 1
        emit(logging.WARNING, "login.failed", error="TimeoutError")
        advice = "see whether its endpoint answers" if self._told is None else f"before that: {self._told}"
        error = LoginUnavailableError(f"no login came to its end within {seconds:g} s; {advice}")
        error.__cause__ = self._told
        return error

    async def _keep_retry_after(self, deadline: float) -> None:
        wait = self._limits.wait
        if wait <= 0:
            return
        if self._clock() + wait >= deadline:
            raise LoginUnavailableError(
                f"the login endpoint asked not to be called for another {wait:.1f} s", retry_after=wait
            )
        await asyncio.sleep(wait)

    async def _attempt(self, previous: Token | None) -> Issued:
        try:
            await self._prepare()
            sent = self._clock()
            token = await self._typed(self._login(previous))
        except (LoginError, ReentrantLoginError, InsecureTransportError) as failure:
            self._note(failure)
            raise
        return Issued(token, sent, self._clock())

    async def _typed(self, call: Awaitable[Token]) -> Token:
        try:
            token = await bounded(call)
        except (LoginError, ReentrantLoginError, InsecureTransportError):
            raise
        except CancelledItselfError:
            raise LoginError("the login ended by cancelling itself; let it return a Token or raise an error") from None
        except (OSError, TimeoutError) as failure:
            raise LoginUnavailableError(f"the login could not be made ({type(failure).__name__})") from failure
        except ConfigurationError as failure:
            raise LoginError(str(failure)) from failure
        except Exception as failure:
            raise LoginError(f"the login ended in {type(failure).__name__}") from failure
        if not isinstance(token, Token):
            raise LoginError(f"the login returned {type(token).__name__}; let it return an exterview_auth.Token")
        return token

    def _note(self, failure: Exception) -> None:
        self._counters.login_failures += 1
        if isinstance(failure, CredentialsRejectedError):
            self._limits.was_rejected(failure)
        elif isinstance(failure, LoginUnavailableError):
            self._told = failure
            self._limits.was_unavailable(failure, self._longest_pause)
        emit(
            logging.WARNING,
            "login.failed",
            error=type(failure).__name__,
            retry_after=getattr(failure, "retry_after", None),
        )
