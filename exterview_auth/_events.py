"""Events go to structlog if the application has configured it, and otherwise to the standard logger ``exterview_auth``."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum
from typing import Any

LOGGER_NAME = "exterview_auth"

_logger = logging.getLogger(LOGGER_NAME)
_logger.addHandler(logging.NullHandler())


class Reason(StrEnum):
    """Why a login was started; passed to ``on_token`` and named in events."""

    FIRST = "first"
    """There was no token."""
    EXPIRED = "expired"
    """The token had expired."""
    REFUSED = "refused"
    """The API refused the token, or `ExterviewAuth.invalidate` was called."""
    AHEAD = "ahead"
    """The token was about to expire."""


def emit(level: int, event: str, **fields: Any) -> None:
    """Log *event* with its *fields*, none of them a secret. Errors of log processors and handlers are suppressed."""
    try:
        # Never imported here: an application that uses structlog has loaded it.
        structlog = sys.modules.get("structlog")
        if structlog is not None and structlog.is_configured():
            structlog.get_logger(LOGGER_NAME).log(level, event, **fields)
        elif _logger.isEnabledFor(level):
            details = "".join(f" {name}={value!r}" for name, value in fields.items() if value is not None)
            _logger.log(level, "%s%s", event, details)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001, S110 - CancelledError too: a request must not look cancelled because a log processor failed
        pass
