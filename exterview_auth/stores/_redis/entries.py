"""Tokens as values of Redis, each read and written in one step, by Redis' own clock."""

from __future__ import annotations

import math
from typing import Any

from ..._token import Token
from .._entry import Codec, StoredToken, fingerprint
from . import scripts
from .client import Clients
from .failures import UndecodableError, answer, answer_again
from .keys import Keys


class RedisEntries:
    """Reads and writes by *url_or_client*. Methods that are awaited raise `StoreError`."""

    def __init__(self, url_or_client: Any, codec: Codec) -> None:
        self.clients = Clients(url_or_client)
        self.codec = codec

    async def read(self, keys: Keys) -> StoredToken:
        """The token with what is left of its life."""
        try:
            raw, now = scripts.entry(await answer_again(lambda: self._eval(scripts.LOAD, keys)))
        except UndecodableError:
            raw, now = b"", 0.0
        return self.codec.decode(raw, now)

    async def replace(self, keys: Keys, token: Token, *, mark: str = "", seen: bytes = b"") -> tuple[bool, StoredToken]:
        """
        Whether *token* is kept now, and what is kept now.

        It is, unless *mark* is given and the lock is not its any more, and the entry is another than the one *seen*.
        """
        payload = self.codec.payload(token)
        answered = await answer(self._eval(scripts.SAVE, keys, mark, seen, _milliseconds(token), payload))
        kept, raw, now = scripts.outcome(answered)
        return kept, StoredToken(token, fingerprint(raw)) if kept else self.codec.decode(raw, now)

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
