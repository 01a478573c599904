"""Where events go: structlog where the application configured it, else the standard logger ``exterview_auth``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from enum import StrEnum
from typing import Any

LOGGER_NAME = "exterview_auth"

_logger = logging.getLogger(LOGGER_NAME)
_logger.addHandler(logging.NullHandler())


class Reason(StrEnum):
    """Why a login is made; handed to ``on_token`` and named in events."""

    FIRST = "first"
    """There was no token."""
    EXPIRED = "expired"
    """The token's lifetime was over."""
    REFUSED = "refused"
    """The API refused the token, or `ExterviewAuth.invalidate` said so."""
    AHEAD = "ahead"
    """The token is about to expire."""


def emit(level: int, event: str, **fields: Any) -> None:
    """Tell *event* with its *fields*, none of them a secret. What a log processor or handler raises is contained."""
    with contextlib.suppress(Exception, asyncio.CancelledError):
        structlog = sys.modules.get("structlog")
        if structlog is not None and structlog.is_configured():
            structlog.get_logger(LOGGER_NAME).log(level, event, **fields)
        elif _logger.isEnabledFor(level):
            details = "".join(f" {name}={value!r}" for name, value in fields.items() if value is not None)
            _logger.log(level, "%s%s", event, details)
