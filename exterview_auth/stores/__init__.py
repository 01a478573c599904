"""Where tokens are shared: the store protocol and the stores that come with the library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._protocol import TokenStore

if TYPE_CHECKING:
    from ._memory import MemoryStore

__all__ = ["MemoryStore", "TokenStore"]


if not TYPE_CHECKING:  # so that a misspelt name is an error to the type checker

    def __getattr__(name: str) -> Any:
        """Each store is loaded with the library that it stands on, on first use (PEP 562)."""
        if name != "MemoryStore":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from ._memory import MemoryStore  # noqa: PLC0415 - on first use

        return MemoryStore
