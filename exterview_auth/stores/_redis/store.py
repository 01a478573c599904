"""The store that users construct for tokens in Redis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..._options import needs_extra
from ..._refusals import discreet, shown_when_made
from ..._token import Token
from ...errors import ConfigurationError
from .._entry import Codec, StoredToken
from .._keeping import KEEP, checked_keep
from .._shared import LEASE, AccountLock, SharedStore, checked_lease


class RedisStore(SharedStore):
    """
    A store in Redis, for owners in any number of processes and hosts.

    *url_or_client*: ``redis://``, ``rediss://`` (TLS) or ``unix://``, or an application's own `redis.asyncio` client (`Redis`,
    `RedisCluster`, one of a `Sentinel`), which the store uses as it is and never closes. With *encryption_key*, one or several
    Fernet keys (newest first), entries are encrypted. Keys begin with *namespace*. *lease*: seconds for which a process that logs
    in holds the account's lock without a sign of life.

    Redis counts the lifetimes, so the clocks of the hosts may differ. An entry expires with its token. An entry with a refresh
    token, or of a token without expiry, expires *keep* seconds after it was saved. While a token works, requests cost no
    commands. A revocation costs each process at most six commands, and one for each further second of the login.

    What an operator configures in Redis (5 or later):

    - Set ``maxmemory-policy noeviction`` if refresh tokens are stored, because they cannot be replaced. Any other evicted token
      costs one login. Every key has an expiry.
    - Use TLS to another host: ``redis://`` works there too, and causes one warning.
    - ``maxclients`` must allow one connection per process and store, and a second one while the process waits for the login of
      another. Your own client needs a pool of two connections, and must be created after a fork.
    - One address for a master and its replicas is fine. A cluster needs your own `RedisCluster` client. Persistence is optional:
      an empty Redis costs one login per account.
    - A user with these rights is enough::

        ACL SETUSER app on >PASSWORD ~exterview_auth:* &exterview_auth:* +eval +get +set +del +pexpire +time +publish +subscribe +unsubscribe

    Raises `ConfigurationError` for arguments that cannot work. Its methods raise `StoreError`.
    """

    __module__ = "exterview_auth"

    _calls_at_once = 32

    @discreet
    def __init__(
        self,
        url_or_client: Any,
        *,
        encryption_key: str | bytes | Iterable[str | bytes] | None = None,
        namespace: str = "exterview_auth",
        lease: float = LEASE,
        keep: float = KEEP,
    ) -> None:
        try:
            from .client import RedisClients  # noqa: PLC0415 - needs the extra, which its user may not have
            from .entries import RedisEntries  # noqa: PLC0415 - as above
        except ModuleNotFoundError:
            raise ConfigurationError(needs_extra("RedisStore", "redis", "redis")) from None
        if not isinstance(namespace, str) or not namespace.isprintable() or set("{}") & set(namespace or "{"):
            raise ConfigurationError(
                "namespace must be printable text without braces, and not empty: all keys begin with it"
            )
        self._lease = checked_lease(lease)
        clients = RedisClients(url_or_client)
        codec = Codec(clients.label, encryption_key, checked_keep(keep))
        self._entries = RedisEntries(clients, namespace, codec)

    @property
    def _label(self) -> str:
        return self._entries.clients.label

    def _account_lock(self, account: str) -> AccountLock:
        """Return a new attempt to get the account's lock."""
        from .backend import RedisLockBackend  # noqa: PLC0415 - needs the extra

        return AccountLock(RedisLockBackend(self._entries, account, self._lease))

    async def _read(self, account: str) -> StoredToken:
        return await self._entries.read(account)

    async def _write(self, account: str, token: Token | None) -> None:
        await self._entries.replace(account, token)

    async def aclose(self) -> None:
        """Close the running loop's connections that the store opened from a URL. A store that is used again opens new ones."""
        await self._entries.clients.aclose()

    @shown_when_made
    def __repr__(self) -> str:
        return f"{self._label.removesuffix(')')}{self._entries.codec.note})"
