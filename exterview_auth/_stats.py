"""A snapshot of what an owner counts. It is imported on first use: to create a dataclass takes as long as to import ten modules."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stats:
    """
    A snapshot of one owner's counters since its creation, which ``stats()`` returns.

    Logins:

    - ``logins``: logins that returned a token.
    - ``login_failures``: attempts that failed, as many as there are events ``login.failed``. A login that succeeds at its third
      attempt counts two here and one in ``logins``. A login that fails for good counts each of its attempts.
    - ``useless_logins``: logins whose token was refused before any request was accepted with it, or was refused to a request that
      had waited for it. ``max_logins`` limits them.
    - ``refreshes_ahead``: those among ``logins`` that replaced a token before it expired.
    - ``adopted``: tokens from the store that another owner had saved, instead of a login.

    Requests:

    - ``unauthorized``: answers that refused the token: 401, or what ``is_unauthorized`` recognizes.
    - ``replays``: requests sent again after a refusal.
    - ``waiting``: requests that are waiting for a token now; the only number that falls.
    - ``waiting_peak``: the most requests that have waited at the same time.

    The store:

    - ``store_failures``: calls to the store that failed or took too long.
    - ``save_failures``: saves that failed, or were skipped while the store's circuit breaker was open. Each save is repeated
      until it, or a newer one, succeeds.
    """

    __module__ = "exterview_auth"

    logins: int = 0
    login_failures: int = 0
    useless_logins: int = 0
    replays: int = 0
    unauthorized: int = 0
    waiting: int = 0
    waiting_peak: int = 0
    refreshes_ahead: int = 0
    adopted: int = 0
    store_failures: int = 0
    save_failures: int = 0
