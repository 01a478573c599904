"""What a row of the fault table is: a scenario that plays the fault, and what may come of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ._stage import Got, Stage

Kind = int | type[BaseException]
"""What a caller gets: an answer's status, or exactly this kind of error."""


class Outcome(NamedTuple):
    """What was seen."""

    got: list[Got]
    """What each caller got while the fault lasted."""
    seconds: float
    """How long the slowest of them waited."""
    logins: int
    """How many were begun because of the fault."""
    then: Got
    """What the next request got, the fault being over."""
    later: Got | None = None
    """What the next one got after a latch's time."""
    saved: bool = False
    """Whether the store holds the newest token with its refresh token."""
    left: tuple[str, ...] = ()
    """What should not be there, in words."""


class Row(NamedTuple):
    """One fault at one place. A request never waits for longer than *within* seconds, which is several times what it should."""

    place: str
    fault: str
    play: Callable[[Stage], Awaitable[Outcome]]
    gets: Kind | tuple[Kind, ...] = 200
    """For all callers, or for each."""
    says: str = ""
    """A pattern in the sentence of every error among them."""
    within: float = 5.0
    logins: int | tuple[int, int] = 1
    """Exactly, or at least and at most."""
    then: Kind = 200
    """The latch's error, where there is a latch; after its time the answer is 200."""
    saves: bool = False
    """Whether the newest token has to be in the store in the end."""
    tells: str = ""
    """The one warning that the log has of it."""

    @property
    def name(self) -> str:
        """Where, and what."""
        return f"{self.place}: {self.fault}"
