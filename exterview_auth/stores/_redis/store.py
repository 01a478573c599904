"""Tokens in Redis, for a fleet."""

from __future__ import annotations

from typing import Any

from ..._token import Token
from ...errors import ConfigurationError
from .._encryption import EncryptionKeys
from .._entry import Codec, StoredToken
from .._lock import LEASE, AccountLock, SharedStore, checked_lease
from .keys import Keys


class RedisStore(SharedStore):
    """
    Tokens in Redis, for owners in any number of processes and hosts.

    *url_or_client*: ``redis://``, ``rediss://`` (TLS) or ``unix://``, or an application's own `redis.asyncio` client
    (`Redis`, `RedisCluster`, one of a `Sentinel`), which is used as it is and never closed here. With *encryption_key*, one or
    several Fernet keys (newest first), nothing readable is kept. Keys begin with *namespace*. *lease*: seconds for which a
    process that logs in holds the account's lock without a sign of life.

    Lifetimes are counted by Redis' clock: those of the hosts may differ. Raises `ConfigurationError` for what cannot work;
    its methods raise `StoreError`.
    """

    calls_at_once = 32

    def __init__(
        self,
        url_or_client: Any,
        *,
        encryption_key: EncryptionKeys | None = None,
        namespace: str = "exterview_auth",
        lease: float = LEASE,
    ) -> None:
        try:
            from .entries import RedisEntries  # noqa: PLC0415 - needs the extra, which its user may not have
        except ModuleNotFoundError:
            raise ConfigurationError("RedisStore needs redis; run: pip install 'exterview-auth[redis]'") from None
        if not isinstance(namespace, str) or not namespace.isprintable() or set("{}") & set(namespace or "{"):
            raise ConfigurationError("namespace is what the store's keys begin with: text, not empty, without braces")
        self._namespace = namespace
        self._lease = checked_lease(lease)
        self._entries = RedisEntries(url_or_client, Codec("RedisStore", encryption_key))

    def account_lock(self, account: str) -> AccountLock:
        """Return a new attempt to get the account's lock."""
        from .backend import RedisLockBackend  # noqa: PLC0415 - needs the extra

        return AccountLock(RedisLockBackend(self._entries, self._keys(account), self._lease))

    async def _read(self, account: str) -> StoredToken:
        return await self._entries.read(self._keys(account))

    async def _write(self, account: str, token: Token) -> None:
        await self._entries.replace(self._keys(account), token)

    async def delete(self, account: str) -> None:
        """Delete the account's token."""
        await self._entries.remove(self._keys(account))

    async def aclose(self) -> None:
        """Close the connections made from a URL, those of the running loop; a store that is used again opens new ones."""
        await self._entries.clients.aclose()

    def _keys(self, account: str) -> Keys:
        return Keys.of(self._namespace, account)

    def __repr__(self) -> str:
        return f"RedisStore({self._entries.clients.server!r}{self._entries.codec.note})"
