"""aiohttp's classes that only its inner modules have, and names for type checkers alone."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp.base_protocol import BaseProtocol
    from aiohttp.client import _BaseRequestContextManager as BaseRequestContextManager
    from aiohttp.client import _RequestContextManager as RequestContextManager
    from aiohttp.client import _RequestOptions as RequestArguments
    from aiohttp.client import _WSConnectOptions as WSConnectArguments
    from aiohttp.client import _WSRequestContextManager as WSRequestContextManager
    from aiohttp.compression_utils import BrotliDecompressor, ZLibDecompressor, ZSTDDecompressor
    from aiohttp.http import HttpProcessingError
else:

    def _found(module: str, name: str) -> Any:
        """Return *name* of *module*, or ``None``: importing the library must not fail, `require_aiohttp` does."""
        try:
            return getattr(importlib.import_module(f"aiohttp.{module}"), name, None)
        except ImportError:
            return None

    BaseProtocol = _found("base_protocol", "BaseProtocol")
    BrotliDecompressor = _found("compression_utils", "BrotliDecompressor")
    ZLibDecompressor = _found("compression_utils", "ZLibDecompressor")
    ZSTDDecompressor = _found("compression_utils", "ZSTDDecompressor")
    HttpProcessingError = _found("http", "HttpProcessingError")
    RequestContextManager = _found("client", "_RequestContextManager")
    WSRequestContextManager = _found("client", "_WSRequestContextManager")

__all__ = [
    "BaseProtocol",
    "BaseRequestContextManager",
    "BrotliDecompressor",
    "HttpProcessingError",
    "RequestArguments",
    "RequestContextManager",
    "WSConnectArguments",
    "WSRequestContextManager",
    "ZLibDecompressor",
    "ZSTDDecompressor",
]
