"""Versions, and the extras that the configuration needs."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from exterview_auth._aiohttp.internals.needed import require_aiohttp
from exterview_auth._environment import STORE, STORE_KEY
from exterview_auth._options import needs_extra
from exterview_auth.errors import ConfigurationError

from ..configuration import Configuration
from .report import Check, failed, ok

_SHOWN = ("exterview-auth", "aiohttp", "authlib", "click")
_EXTRAS = {
    "redis": ("redis", "redis"),
    "crypto": ("cryptography", "cryptography"),
    "emulator": ("graphql", "graphql-core"),
    "httpx": ("httpx", "httpx"),
    "otel": ("opentelemetry", "opentelemetry-api"),
}
"""What an extra installs: the name of the import, and of the library."""


def installation_checks(configuration: Configuration) -> Iterator[Check]:
    """Yield what is installed."""
    versions = ", ".join(f"{name} {_version(name)}" for name in _SHOWN)
    versions = f"{versions}, Python {platform.python_version()} on {platform.system()}"
    try:
        require_aiohttp()
    except ConfigurationError as error:
        message, _, remedy = str(error).partition("; ")
        yield failed("versions", f"{versions}: {message}", remedy)
    else:
        yield ok("versions", versions)
    yield _extras(configuration)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a copy that was not installed
        return "of unknown version"


def _extras(configuration: Configuration) -> Check:
    installed = [extra for extra, (module, _) in _EXTRAS.items() if find_spec(module) is not None]
    for extra, variable in _needed(configuration):
        if extra not in installed:
            return failed("extras", f"{variable} cannot be used", needs_extra("it", _EXTRAS[extra][1], extra))
    missing = [extra for extra in _EXTRAS if extra not in installed]
    without = f"; not installed, and not needed: {', '.join(missing)}" if missing else ""
    return ok("extras", f"{', '.join(['cli', *installed])}{without}")


def _needed(configuration: Configuration) -> Iterator[tuple[str, str]]:
    environ = configuration.environ
    place = environ.get(STORE, "").strip()
    if place.startswith(("redis://", "rediss://", "unix://")):
        yield "redis", STORE
    if place and (environ.get(STORE_KEY) or environ.get(f"{STORE_KEY}_FILE")):
        yield "crypto", STORE_KEY
