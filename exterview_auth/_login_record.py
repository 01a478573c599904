"""The record of a login. It is imported with the first login that ends, for the same reason as `Stats`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ._events import Reason

Outcome = Literal["issued", "adopted", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRecord:
    """One login that has ended, as ``on_login`` gets it. It holds no token, key or password."""

    account: str
    """The account as events name it: what was given as ``account=``, or else a digest."""
    reason: Reason
    """Why the login began: ``"first"``, ``"expired"``, ``"refused"`` or ``"ahead"``."""
    outcome: Literal["issued", "adopted", "failed"]
    """``"issued"``: the login returned a token. ``"adopted"``: the store had one of another owner. ``"failed"``: neither."""
    error: str | None
    """The name of the error's type if it failed; ``LoggedOutError`` or ``ClosedError`` if it was discarded."""
    attempts: int
    """How often the login was called; 0 if the token came from the store, or if the login ended before it was called."""
    seconds: float
    """Seconds from the login's beginning to its token or error, with the waits for the store and between attempts."""
    waiting: int
    """Requests that waited for it."""
    started_at: datetime
    """When it began, aware and in UTC."""
