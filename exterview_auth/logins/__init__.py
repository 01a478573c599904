"""The ways to log in. A login is any async callable from `LoginContext` to `Token`; these three cover the usual ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._password import PasswordLogin
from ._static import StaticLogin

if TYPE_CHECKING:
    from ._oauth2 import OAuth2Login

__all__ = ["OAuth2Login", "PasswordLogin", "StaticLogin"]


if not TYPE_CHECKING:  # so that a misspelt name is an error to the type checker

    def __getattr__(name: str) -> Any:
        """Loaded on first use (PEP 562): few programs need more than one login."""
        if name != "OAuth2Login":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from ._oauth2 import OAuth2Login  # noqa: PLC0415 - on first use

        return OAuth2Login
