"""A row of the fault table: a scenario that plays the fault, and what may come of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from exterview_auth import CredentialsRejectedError, LoginError, ReentrantLoginError

from ._stage import Got, Stage

Kind = int | type[BaseException]
"""A caller's result: an answer's status, or exactly this type of error."""


class Outcome(NamedTuple):
    """What was seen."""

    got: list[Got]
    """What each caller got while the fault lasted."""
    seconds: float
    """How long the slowest of them waited."""
    logins: int
    """How many began because of the fault."""
    then: Got
    """What the next request got after the fault."""
    later: Got | None = None
    """What the next request got after the time of a latch."""
    saved: bool = False
    """Whether the store holds the newest token with its refresh token."""
    left: tuple[str, ...] = ()
    """Descriptions of what should not be there."""


def after(gets: Kind) -> Kind:
    """Return the result of the next request: the error of a login that fails for good is remembered for a while."""
    remembered = (CredentialsRejectedError, ReentrantLoginError, LoginError)
    return gets if gets in remembered else 200


Play = Callable[[Stage], Awaitable[Outcome]]
"""A scenario."""


class Row(NamedTuple):
    """One fault at one place. No request waits longer than *within* seconds, which is several times the time it should take."""

    place: str
    fault: str
    play: Play
    gets: Kind | tuple[Kind, ...] = 200
    """The result of all callers, or of each."""
    says: str = ""
    """A pattern in the sentence of each error among them."""
    within: float = 5.0
    logins: int | tuple[int, int] = 1
    """An exact number, or a least and a most."""
    then: Kind = 200
    """The result of the next request: 200, or the latch's error, after whose time the answer is 200."""
    saves: bool = False
    """Whether the newest token must be in the store in the end."""
    tells: str = ""
    """The event that the log has exactly once."""

    @property
    def name(self) -> str:
        """The place and the fault."""
        return f"{self.place}: {self.fault}"
