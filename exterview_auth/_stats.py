"""What an owner counts."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot of one owner's counters, each since it was made."""

    logins: int = 0
    """Logins that gave a token."""
    login_failures: int = 0
    """Login attempts that gave none."""
    useless_logins: int = 0
    """Logins whose token was refused to a request that they were made for."""
    replays: int = 0
    """Requests sent again after a refusal."""
    unauthorized: int = 0
    """Refusals seen, of any kind that ``is_unauthorized`` knows."""
    waiting: int = 0
    """Requests that wait for a token now."""
    waiting_peak: int = 0
    """The most that ever waited at once."""
    refreshes_ahead: int = 0
    """Of the logins, those made before the old token expired."""
    adopted: int = 0
    """Tokens taken from the store that another owner got."""
    store_failures: int = 0
    """Calls to the store that failed or took too long."""
    save_failures: int = 0
    """Saves that failed, or were not made because the store rests; each is repeated until it succeeds or is overtaken."""


class Counters:
    """The same, while they count."""

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
        """The counters as they are now."""
        return Stats(**{name: getattr(self, name) for name in self.__slots__})
