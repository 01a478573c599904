"""The current token, how long requests may use it without further checks, and what is known of it."""

from __future__ import annotations

import math
from collections.abc import Container
from typing import Protocol, Self

from .._clock import Clock
from .._token import LoginMark, Token, header_with, mark_of, without_refresh_token
from .account import RandomSource

RENEWAL_SHARE = 0.25
"""The window of renewal ahead covers at most this part of a lifetime."""
RENEWAL_JITTER = 0.2
"""The part of the window over which the beginnings of renewals are spread."""
MIN_RENEWAL_PAUSE = 1.0
"""Seconds between two renewals of one token; none begins when less is left."""
MAX_LEEWAY = 1.0
"""Seconds before its end at which a token is no longer sent: it would expire on the way."""
MAX_RETIRED = 16
"""Retired tokens that are remembered."""


class RetiredTokens:
    """
    Tokens that this owner is done with: rejected, replaced, logged out, or older than its own. It never adopts them again.

    Only their marks are kept. While `keep_all` is set, none is forgotten: the store may hold any of them.
    """

    __slots__ = ("_marks", "keep_all")

    def __init__(self) -> None:
        self._marks: dict[LoginMark, None] = {}
        self.keep_all = False

    def add(self, token: Token) -> None:
        """Retire *token*."""
        mark = mark_of(token)
        self._marks.pop(mark, None)
        self._marks[mark] = None
        while len(self._marks) > MAX_RETIRED and not self.keep_all:
            del self._marks[next(iter(self._marks))]

    def __contains__(self, token: Token) -> bool:
        mark = mark_of(token)
        return any(mark.is_same_as(retired) for retired in self._marks)

    def __len__(self) -> int:
        return len(self._marks)


class IssuedToken:
    """
    One login's token, or one adopted from the store, with what this owner has learned about it.

    Compared by identity: two logins that return the same text are two issued tokens.
    """

    __slots__ = (
        "accepted_since_refusal",
        "authorization",
        "end",
        "ever_accepted",
        "expires",
        "from_login",
        "installed_at",
        "number",
        "rejected",
        "renew_at",
        "renewal_deferred",
        "token",
        "unexpired_at_install",
        "used",
        "useless",
    )

    def __init__(self, token: Token, *, from_login: bool) -> None:
        self.token = token
        self.authorization = header_with(token)
        # Invariant: grows from one installed token to the next; zero before.
        self.number = 0
        self.from_login = from_login
        # The lifetime's end, the moment from which the token is no longer sent, and the moment at which it is renewed.
        self.end = self.expires = self.renew_at = math.inf
        # Whether a request used it, and whether its renewal waits for one that does.
        self.used = self.renewal_deferred = False
        # What the API said of it: refused to everybody and given up; ever accepted; accepted since a refusal. A rejected
        # token is never sent again, unless the login has nothing newer.
        self.rejected = self.ever_accepted = self.accepted_since_refusal = False
        # Its login was counted as useless. It may work for others all the same.
        self.useless = False
        # When it became current. False: it had expired by then, so that waiting for another one would not help.
        self.installed_at = -math.inf
        self.unexpired_at_install = False

    def timed(self, *, began: float, received: float, window: float, random: RandomSource) -> Self:
        """
        Set the end of the lifetime and the time of the renewal, which is drawn once.

        The lifetime counts from *began*, but half of it is left at *received*: a login that takes longer than its token
        lives is no reason to log in again at once.
        """
        life = self.token.expires_in
        if life is not None:
            self.end = end = max(began + life, received + life / 2)
            self.expires = end - min(MAX_LEEWAY, life / 50)
            margin = min(window, life * RENEWAL_SHARE)
            if margin > 0:
                # Drawn here and not at each check: with a draw per request, the earliest one would always win.
                self.renew_at = self.expires - margin * (1 - RENEWAL_JITTER * random.random())
        return self

    def renew_later(self, now: float, pause: float = 0.0) -> None:
        """Set the time of the next renewal, which comes after *pause* and in the middle of what is left: the last brought nothing."""
        # Without jitter: the first attempts of a fleet were spread already.
        left = self.expires - now
        wait = max(MIN_RENEWAL_PAUSE, left / 2, pause)
        self.renew_at = now + wait if wait < left else math.inf

    def trust_again(self) -> None:
        """Forget lifetime and rejection: the source has nothing newer, and only the API can tell whether it works."""
        self.end = self.expires = self.renew_at = math.inf
        self.rejected = False

    @property
    def outlives_itself(self) -> bool:
        """Whether its lifetime was forgotten, because the source had nothing newer."""
        return self.end == math.inf and self.token.expires_in is not None

    @property
    def was_useful(self) -> bool:
        """Whether its login helped: the API has accepted the token, and it is not rejected."""
        return self.ever_accepted and not self.rejected

    def remaining(self, now: float, *, with_refresh_token: bool = True) -> Token:
        """Return the token as a store takes it, with its lifetime counted from *now*."""
        token = self.token if with_refresh_token else without_refresh_token(self.token)
        return token.with_remaining(None if self.end == math.inf else self.end - now)


class Watcher(Protocol):
    """Is notified before the current token changes, so that requests already signed with it can be signed again."""

    @property
    def unanswered(self) -> Container[object]:
        """The requests that are signed and have no answer yet."""

    def on_change(self, state: TokenState, issued: IssuedToken) -> None:
        """*issued* is about to be replaced, rejected or cleared."""


class TokenState:
    """
    One account's current token. Every change is one synchronous step.

    Three questions can be asked of it, each stricter than the one before: `unrejected`, `unexpired`, `usable`.
    """

    __slots__ = ("_clock", "current", "fast_path", "fast_path_until", "last_number", "usable_until", "watcher")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Invariant: requests are signed with `current` alone, and without asking the keeper only before `usable_until`,
        # which lies in the past whenever `current` is missing or rejected.
        self.current: IssuedToken | None = None
        self.usable_until = -math.inf
        self.last_number = 0
        self.watcher: Watcher | None = None
        # Invariant: `fast_path` is None, or it is `current` and usable until `fast_path_until` (None: without end).
        # Whoever opens it has already checked everything else.
        self.fast_path: IssuedToken | None = None
        self.fast_path_until: float | None = None

    @property
    def unrejected(self) -> IssuedToken | None:
        """The current token unless it is rejected; it may be too old, which only the API can tell for certain."""
        return None if self.current is None or self.current.rejected else self.current

    @property
    def unexpired(self) -> IssuedToken | None:
        """The current token if it is neither rejected nor expired."""
        issued = self.unrejected
        return issued if issued is not None and self._clock() < issued.expires else None

    @property
    def usable(self) -> IssuedToken | None:
        """The current token if a request may be signed with it without asking the keeper."""
        return self.current if self._clock() < self.usable_until else None

    def open_fast_path(self) -> None:
        """Let requests use the current token and check nothing but the time, until something changes."""
        self.fast_path = issued = self.usable
        self.fast_path_until = None if issued is None or issued.expires == math.inf else issued.expires

    def close_fast_path(self) -> None:
        """Let the next request check everything."""
        self.fast_path = None

    def install(self, issued: IssuedToken) -> None:
        """Make *issued* the current token."""
        self._announce_change()
        self.last_number += 1
        issued.number = self.last_number
        issued.installed_at = self._clock()
        issued.unexpired_at_install = issued.installed_at < issued.expires
        if self.watcher is not None:
            issued.authorization.sending = self.watcher.unanswered
        self.current = issued
        self.usable_until = issued.expires

    def reject(self) -> None:
        """Mark the current token rejected, in one step with the requests in flight that still carry it."""
        self._announce_change()
        if self.current is not None:
            self.current.rejected = True
        self.usable_until = -math.inf

    def clear(self) -> None:
        """Forget the current token, also for requests that still queue for a connection with it."""
        self._announce_change()
        self.current, self.usable_until = None, -math.inf

    def keep_using(self) -> None:
        """Send the current token again: the login has nothing newer, and only the API can tell whether it works."""
        issued, now = self.current, self._clock()
        if issued is not None:
            last = now < issued.expires <= now + MIN_RENEWAL_PAUSE
            if last or self.unexpired is None:
                issued.trust_again()
            if last:
                # No renewal would end in time, and no request should wait for one: the source is asked once more meanwhile.
                issued.renew_at = now + MIN_RENEWAL_PAUSE
            self.usable_until = issued.expires
            self.close_fast_path()  # it may know another end

    def defer_renewal(self, issued: IssuedToken) -> None:
        """Send the next request to the keeper although *issued* is usable: nobody used it until its renewal was due."""
        issued.renewal_deferred = True
        self.usable_until = -math.inf
        self.close_fast_path()

    def resume_renewal(self, issued: IssuedToken) -> None:
        """Note that *issued* is used after all."""
        issued.renewal_deferred = False
        self.usable_until = issued.expires

    def _announce_change(self) -> None:
        # Before `current` changes: afterwards nobody could tell which token the requests in flight were signed with.
        self.close_fast_path()
        if self.current is not None and self.watcher is not None:
            self.watcher.on_change(self, self.current)
