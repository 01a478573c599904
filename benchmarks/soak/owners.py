"""The owners of one process of the soak: one for the main account, a pool for the others, all with one store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from weakref import WeakSet

from exterview_auth import AuthPool, ExterviewAuth, PasswordLogin, RedisStore

MAIN, ALL = "main", "*"
ACCOUNTS = [f"account-{number:02}" for number in range(20)]
POOLED = 12
"""Fewer than there are accounts, so that the pool evicts owners and makes new ones all the time."""
LOGIN_TIMEOUT, QUICK_LOGIN_TIMEOUT = 6.0, 20.0
"""The second is for a short soak: it has no outage as long as that, and may share its machine with other work."""
_KEYS_IN_THREADS = set(ACCOUNTS[::2])


def login_timeout(pace: float) -> float:
    """Return for how long a login of a soak of this *pace* is tried."""
    return LOGIN_TIMEOUT if pace >= 1 else QUICK_LOGIN_TIMEOUT


class Owners:
    """Owners that the process sends with, and what it does to them from time to time."""

    def __init__(self, endpoint: str, store: RedisStore, key_file: Path, pace: float) -> None:
        self._endpoint, self._store, self._key_file = endpoint, store, key_file
        self._login_timeout = login_timeout(pace)
        self._counted = Counter[str]()
        self.alive = WeakSet[ExterviewAuth]()
        self.main, self.pool = self._owner(MAIN), self._new_pool()

    def of(self, account: str) -> ExterviewAuth:
        """Return the account's owner."""
        return self.main if account == MAIN else self.pool[account]

    def fill_pool(self) -> None:
        """Have the pool hold as many owners as it may, so that two rests differ in no owner; it releases all evicted ones."""
        for account in ACCOUNTS[:POOLED] * 2:
            self.of(account)

    @property
    def waiting(self) -> int:
        """How many requests wait for a token."""
        return sum(owner.stats().waiting for owner in self.alive)

    def counted(self) -> dict[str, int]:
        """Return what the main account's owners have counted."""
        return dict(self._counted + _stats(self.main))

    async def aclose(self) -> None:
        """Close all owners."""
        await self.main.aclose()
        await self.pool.aclose()

    # -- acts, each of which returns the account concerned ----------------------------------------------------------

    async def logout(self, _: str) -> str:
        """Log the main account out."""
        await self.main.logout()
        return MAIN

    async def logout_in_pool(self, account: str) -> str:
        """Log one of the other accounts out."""
        await self.pool[account].logout()
        return account

    async def replace_owner(self, _: str) -> str:
        """Close the main account's owner, and make a new one."""
        old, self.main = self.main, self._owner(MAIN)
        await old.aclose()
        self._counted += _stats(old)
        return MAIN

    async def replace_pool(self, _: str) -> str:
        """Close the pool, and make a new one."""
        old, self.pool = self.pool, self._new_pool()
        await old.aclose()
        return ALL

    @property
    def acts(self) -> list[Callable[[str], Awaitable[str]]]:
        """What happens to owners from time to time."""
        return [self.logout, self.logout_in_pool, self.replace_owner, self.replace_pool]

    # -- inside -----------------------------------------------------------------------------------------------------

    def _owner(self, account: str) -> ExterviewAuth:
        owner = ExterviewAuth(
            PasswordLogin(account, f"password of {account}"),
            api_key=self._read_key if account in _KEYS_IN_THREADS else self._read_key_at_once,
            endpoint=self._endpoint,
            store=self._store,
            login_timeout=self._login_timeout,
        )
        self.alive.add(owner)
        return owner

    def _new_pool(self) -> AuthPool:
        return AuthPool(self._owner, maxsize=POOLED)

    def _read_key(self) -> str:
        return self._key_file.read_text()

    async def _read_key_at_once(self) -> str:
        return self._read_key()


def _stats(owner: ExterviewAuth) -> Counter[str]:
    counts = asdict(owner.stats())
    del counts["waiting"], counts["waiting_peak"]
    return Counter(counts)
