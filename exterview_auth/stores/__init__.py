"""
Where owners of one account share its token.

- `MemoryStore` is for one process.
- `FileStore` is for the processes of one host.
- `RedisStore` is for a fleet.

One owner logs in, and the others take over its token. No store can make a request fail: an owner whose store does not work logs
in for itself, and saves its token later. Tokens in files and in Redis can be encrypted. Your own store has the four methods of
`TokenStore`.
"""

# An owner that needs a token opens a session (``_access``) and loads the entry: if another owner has saved a newer token, that
# is all. Otherwise it waits for the account's lock (``_waiting``), so that one owner logs in for all; the others are notified
# of the new token and adopt it. The holder loads once more, because the last login may have ended just before it got the
# lock, then logs in, saves under the lock and releases it.
#
# No store can make a request fail. Every call is bounded, and after a failure the store's circuit breaker (``_breaker``) opens:
# until it closes, owners log in for themselves, and repeat in the background what they could not save or delete: under the
# lock, after a look at what is there now.
#
# A lock may be lost: processes are paused, hosts freeze. So a lock has a lease, which its holder renews (``_shared``), and saves
# and deletions are fenced (``_fence``): after another owner took the lock and saved, a late one changes nothing.
#
# ``_protocol`` is what an application's own store implements: four methods. ``MemoryStore`` is for one process, ``FileStore``
# for the processes of one host, ``RedisStore`` for a fleet. The last two write entries (``_entry``) that may be encrypted
# (``_encryption``). A new store for several processes begins in ``_shared``.

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._protocol import TokenStore

if TYPE_CHECKING:
    from ._file.store import FileStore
    from ._memory import MemoryStore
    from ._redis.store import RedisStore

__all__ = ["FileStore", "MemoryStore", "RedisStore", "TokenStore"]

_ON_FIRST_USE = {"FileStore": "._file.store", "MemoryStore": "._memory", "RedisStore": "._redis.store"}

if not TYPE_CHECKING:  # so that the type checker reports a misspelt name

    def __getattr__(name: str) -> Any:
        """Load each store on first use, with the library that it needs (PEP 562)."""
        if name not in _ON_FIRST_USE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - on first use

        value = globals()[name] = getattr(import_module(_ON_FIRST_USE[name], __name__), name)
        return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not: ``help`` shows these."""
    return list(__all__)
