"""The extras that the command needs."""

from __future__ import annotations

from importlib.util import find_spec

from exterview_auth.errors import ConfigurationError

_MODULES = {"cli": ("click", "rich"), "emulator": ("graphql",)}
"""What each extra installs, as it is imported."""


def require_extra(name: str) -> None:
    """Raise `ConfigurationError` if the extra *name* is not installed, or only in part."""
    missing = [module for module in _MODULES[name] if find_spec(module) is None]
    if missing:
        raise ConfigurationError(
            f"the extra '{name}' is not installed ({' and '.join(missing)} cannot be imported); "
            f"run: pip install 'exterview-auth[{name}]'"
        )
