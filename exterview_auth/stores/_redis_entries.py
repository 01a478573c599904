"""Tokens as values of Redis, each read and written in one step, by Redis' own clock."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Self

from .._token import Token
from . import _redis_scripts as scripts
from ._codec import Codec, Found, digest, name_of
from ._redis_client import Clients
from ._redis_failure import answer, answer_again


class Keys(NamedTuple):
    """Where one account is kept: all in one slot of a cluster."""

    entry: str
    lock: str
    news: str

    @classmethod
    def of(cls, namespace: str, account: str) -> Self:
        """The keys and the channel of *account*, whose name does not show."""
        return cls(*(f"{namespace}:{{{name_of(account)}}}:{kind}" for kind in ("token", "lock", "news")))


class RedisEntries:
    """Reads and writes by *clients*. Methods that are awaited raise `StoreError`."""

    def __init__(self, clients: Clients, codec: Codec) -> None:
        self.clients = clients
        self.codec = codec

    async def read(self, keys: Keys) -> Found:
        """The token with what is left of its life."""
        raw, now = scripts.entry(await answer_again(lambda: self._eval(scripts.LOAD, keys)))
        return Found(self.codec.token(raw, now), digest(raw))

    async def replace(self, keys: Keys, token: Token, *, mark: str = "", seen: bytes = b"") -> tuple[bool, Found]:
        """
        Whether *token* is kept now, and what is kept now.

        It is, unless *mark* is given and the lock is not its any more, and the entry is another than the one *seen*.
        """
        payload = self.codec.payload(token)
        answered = await answer(self._eval(scripts.SAVE, keys, mark, seen, _milliseconds(token), payload))
        kept, raw, now = scripts.outcome(answered)
        return kept, Found(token if kept else self.codec.token(raw, now), digest(raw))

    async def remove(self, keys: Keys) -> None:
        """Forget the token."""
        await answer(self.clients.here().client.delete(keys.entry))

    async def _eval(self, script: str, keys: Keys, *arguments: object) -> Any:
        return await self.clients.here().client.eval(script, len(keys), *keys, *arguments)


def _milliseconds(token: Token) -> int:
    """How long Redis keeps *token*: 0 for no time at all, -1 for as long as it can."""
    if token.refresh_token is not None or token.expires_in is None:
        return -1
    return math.ceil(token.expires_in * 1000)
