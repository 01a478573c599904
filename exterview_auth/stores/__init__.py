"""Where tokens are shared: the store protocol and the stores that come with the library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._protocol import TokenStore

if TYPE_CHECKING:
    from ._file.store import FileStore
    from ._memory import MemoryStore
    from ._redis.store import RedisStore

__all__ = ["FileStore", "MemoryStore", "RedisStore", "TokenStore"]

_ON_FIRST_USE = {"FileStore": "._file.store", "MemoryStore": "._memory", "RedisStore": "._redis.store"}


if not TYPE_CHECKING:  # so that a misspelt name is an error to the type checker

    def __getattr__(name: str) -> Any:
        """Each store is loaded with the library that it stands on, on first use (PEP 562)."""
        if name not in _ON_FIRST_USE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - on first use

        return getattr(import_module(_ON_FIRST_USE[name], __name__), name)
