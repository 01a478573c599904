"""Tokens in Redis, for a fleet."""

from __future__ import annotations

from typing import Any

from .._token import Token
from ..errors import ConfigurationError
from ._cipher import Keys as EncryptionKeys
from ._codec import Codec
from ._lease import LEASE, checked_lease
from ._redis_client import Clients
from ._redis_entries import Keys, RedisEntries
from ._redis_turn import RedisTurn
from ._turn import Turn, TurnStore


class RedisStore(TurnStore):
    """
    Tokens in Redis, for owners in any number of processes and hosts.

    *url_or_client*: ``redis://``, ``rediss://`` (TLS) or ``unix://``, or an application's own `redis.asyncio` client
    (`Redis`, `RedisCluster`, one of a `Sentinel`), which is used as it is and never closed here. With *encryption_key*, one or
    several Fernet keys (newest first), nothing readable is kept. Keys begin with *namespace*. *lease*: seconds for which a
    process that logs in holds the account's lock without a sign of life.

    Lifetimes are counted by Redis' clock: those of the hosts may differ. Raises `ConfigurationError` for what cannot work;
    its methods raise `StoreError`.
    """

    def __init__(
        self,
        url_or_client: Any,
        *,
        encryption_key: EncryptionKeys | None = None,
        namespace: str = "exterview_auth",
        lease: float = LEASE,
    ) -> None:
        if not isinstance(namespace, str) or not namespace or set("{}") & set(namespace):
            raise ConfigurationError("namespace is what the store's keys begin with: text, not empty, without braces")
        self._namespace = namespace
        self._lease = checked_lease(lease)
        codec = Codec("RedisStore", encryption_key)
        self._entries = RedisEntries(Clients(url_or_client), codec)

    async def load(self, account: str) -> Token | None:
        """The token with what is left of its life, or ``None``; what cannot be read is a miss, with a warning."""
        turn = self._taken(account)
        return await turn.load() if turn is not None else (await self._entries.read(self._keys(account))).token

    async def save(self, account: str, token: Token) -> Token | None:
        """
        Keep *token* in the place of what was there, until its life is over (with a refresh token: until it is replaced).

        Under ``lock(account)``, where the caller was paused so long that another saved a token meanwhile, that one stays and
        is returned.
        """
        turn = self._taken(account)
        if turn is not None:
            return await turn.save(token)
        await self._entries.replace(self._keys(account), token)
        return None

    async def delete(self, account: str) -> None:
        """Forget the account's token."""
        await self._entries.remove(self._keys(account))

    def turn(self, account: str) -> Turn:
        """A contender for the account's lock, who also learns what others save."""
        return Turn(RedisTurn(self._entries, self._keys(account), self._lease))

    async def aclose(self) -> None:
        """Close the connections made from a URL, those of the running loop; a store that is used again opens new ones."""
        await self._entries.clients.aclose()

    def _keys(self, account: str) -> Keys:
        return Keys.of(self._namespace, account)

    def __repr__(self) -> str:
        return f"RedisStore({self._entries.clients.server!r}{self._entries.codec.note})"
