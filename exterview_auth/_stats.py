"""What an owner counts."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot of one owner's counters since its creation."""

    logins: int = 0
    """Logins that returned a token."""
    login_failures: int = 0
    """Login attempts that failed."""
    useless_logins: int = 0
    """Logins whose token was refused before it worked for any request, or again to a request that had waited for it."""
    replays: int = 0
    """Requests sent again after a refusal."""
    unauthorized: int = 0
    """Responses that refused the token: 401, or whatever ``is_unauthorized`` recognizes."""
    waiting: int = 0
    """Requests that are waiting for a token now."""
    waiting_peak: int = 0
    """The most requests that have waited at the same time."""
    refreshes_ahead: int = 0
    """Logins that replaced a token before it expired."""
    adopted: int = 0
    """Tokens from the store that another owner had saved."""
    store_failures: int = 0
    """Calls to the store that failed or took too long."""
    save_failures: int = 0
    """Saves that failed, or were skipped while the store's circuit breaker was open. Each is repeated until it, or a newer one, succeeds."""


class Counters:
    """The same counters while they are counting."""

    __slots__ = tuple(field.name for field in fields(Stats))

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    # Declared for the type checker; `__slots__` makes them.
    logins: int
    login_failures: int
    useless_logins: int
    replays: int
    unauthorized: int
    waiting: int
    waiting_peak: int
    refreshes_ahead: int
    adopted: int
    store_failures: int
    save_failures: int

    def snapshot(self) -> Stats:
        """Return the counters as they are now."""
        return Stats(**{name: getattr(self, name) for name in self.__slots__})
