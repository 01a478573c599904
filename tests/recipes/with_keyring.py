"""
A store of one's own: the token in the keyring of the desktop (macOS, Windows, Secret Service), through ``keyring``.

Install: ``keyring``. For tools on a person's machine, not for servers: a container has no keyring, and then each process logs in for
itself, with one warning. Processes share the token and not the login: two that find it refused at the same time log in twice, and
the later save stays. Where a refresh token may be used once only, take `FileStore` or `RedisStore`, whose locks processes share.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from weakref import WeakValueDictionary

import keyring
from keyring.errors import PasswordDeleteError

from exterview_auth import Token


class KeyringStore:
    """For the owners of one event loop; each process has its own."""

    def __init__(self, service: str = "exterview_auth") -> None:
        self._service = service
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # In threads, because a keyring blocks while it asks the person to unlock it.
    async def load(self, account: str) -> Token | None:
        entry = await asyncio.to_thread(keyring.get_password, self._service, account)
        if entry is None:
            return None
        value, refresh_token, ends_at = json.loads(entry)
        token = Token(value, refresh_token=refresh_token)
        return token.with_remaining(None if ends_at is None else ends_at - time.time())

    async def save(self, account: str, token: Token) -> None:
        ends_at = None if token.expires_in is None else time.time() + token.expires_in
        entry = json.dumps([token.value, token.refresh_token, ends_at])
        await asyncio.to_thread(keyring.set_password, self._service, account, entry)

    async def delete(self, account: str) -> None:
        with suppress(PasswordDeleteError):  # there is none
            await asyncio.to_thread(keyring.delete_password, self._service, account)

    @asynccontextmanager
    async def lock(self, account: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(account, asyncio.Lock())
        async with lock:
            yield
