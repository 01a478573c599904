"""The record of a login. It is imported with the first login that ends, for the same reason as `Stats`."""

# Annotations are not texts here: `typing.get_type_hints` would look texts up in the module that ``__module__`` names.
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ._events import Reason

Outcome = Literal["issued", "adopted", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRecord:
    """
    One login that has ended, as ``on_login`` gets it. It holds no token, key or password.

    - *account*: the account's name in events: the value of ``account=``, or else a digest.
    - *reason*: why the login began: ``"first"``, ``"expired"``, ``"refused"`` or ``"ahead"``.
    - *outcome*: ``"issued"``: the login returned a token. ``"adopted"``: the store had a token of another owner. ``"failed"``:
      neither.
    - *error*: the name of the error's type if it failed; ``LoggedOutError`` or ``ClosedError`` if it was discarded.
    - *attempts*: how often the login was called; 0 if the token came from the store, or if the login ended before it was
      called.
    - *seconds*: seconds from the login's beginning to its token or error, with the waits for the store and between
      attempts.
    - *waiting*: requests that waited for it.
    - *started_at*: when it began, aware and in UTC.
    """

    __module__ = "exterview_auth"

    account: str
    reason: Reason
    outcome: Literal["issued", "adopted", "failed"]
    error: str | None
    attempts: int
    seconds: float
    waiting: int
    started_at: datetime
