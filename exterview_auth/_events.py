"""
Events, as structlog makes them: through the application's configuration of structlog, or else through a pipeline of our own.

1. The library's own pipeline masks what looks like a secret, and passes the event to the standard logger ``exterview_auth``: its
   fields stand in the message, and are attributes of the log record (``record.account``).
2. Nothing is printed, and structlog is imported with the first event that somebody listens to: the application has configured
   structlog, or the standard logger is enabled for the event's level and has somewhere to send it.
3. Nothing that a processor or a handler raises reaches a request.

The page of events (`.github/EVENTS.md`) lists all of them with their levels and fields; a test holds that list against the calls of `emit`.
"""

from __future__ import annotations

import inspect
import logging
import re
import sys
from collections.abc import MutableMapping
from enum import StrEnum
from types import FunctionType
from typing import Any

from ._secret import Secret, SecretBytes

LOGGER_NAME = "exterview_auth"

_logger = logging.getLogger(LOGGER_NAME)
_logger.addHandler(logging.NullHandler())

_LOGGING_FILE = logging.addLevelName.__code__.co_filename
_METHODS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error"}
_FRAMES = 4
"""From the standard logger's method to the caller of `emit`: two frames of structlog's, and ours."""

_MASK = "***"
_CONFIDENTIAL = r"(?i)pass(word|wd|phrase)|secret|token|api_?key|authorization|cookie|credential"
_SECRETS_IN_TEXT = (
    (r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{16,}", r"\1 ***"),
    (r"(?i)\b(password|secret|token|api_?key)=[^\s&'\",;]+", r"\1=***"),
    (r"\beyJ[\w-]{8,}\.[\w.-]+", _MASK),
    (r"://[^/\s@]+@", "://***@"),
)
"""Patterns as text: `re` compiles them for the first event, and not at import."""

_own_pipeline: Any = None


class Reason(StrEnum):
    """The reason for a login: ``on_token`` gets it, and events name it."""

    __module__ = "exterview_auth"

    FIRST = "first"
    """There was no token."""
    EXPIRED = "expired"
    """The token had expired."""
    REFUSED = "refused"
    """The API refused the token, or `ExterviewAuth.invalidate` was called."""
    AHEAD = "ahead"
    """The token was about to expire."""


def emit(level: int, event: str, **fields: Any) -> None:
    """Log *event* with those of its *fields* that are not ``None``. Errors of processors and handlers are suppressed."""
    try:
        logger = _configured_logger()
        if logger is not None:
            fields = masked(fields)  # whatever the application's processors do
        elif _is_listened_to(level):
            logger = _own_logger()
        else:
            return
        given = {name: value for name, value in fields.items() if value is not None}
        whose = {name: given.pop(name) for name in ("account", "store") if name in given}
        getattr(logger.bind(**whose), _METHODS[level])(event, **given)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001, S110 - CancelledError too: a request must not look cancelled because a log processor failed
        pass


def _configured_logger() -> Any:
    """Return a logger as the application has configured structlog, or ``None`` if it has not."""
    # Not imported here: an application that has configured structlog has loaded it.
    structlog = sys.modules.get("structlog")
    if structlog is None or not structlog.is_configured():
        return None
    try:
        logger = structlog.get_logger(LOGGER_NAME).bind()
    except TypeError:  # a factory of the application's that takes no name
        logger = structlog.get_logger().bind()
    if not inspect.iscoroutinefunction(logger.info):
        return logger
    # A logger for asyncio: nobody would await it here. structlog's own has a sync one inside.
    return logger.sync_bl if isinstance(logger, structlog.stdlib.AsyncBoundLogger) else None


def _is_listened_to(level: int) -> bool:
    """Whether the standard logger may pass on an event of *level*. In a process that configures nothing, it does not."""
    if not _logger.isEnabledFor(level):
        return False
    # Error trackers get records without a handler: they replace this method.
    call = type(_logger).callHandlers
    if type(call) is not FunctionType or call.__code__.co_filename != _LOGGING_FILE:
        return True
    logger: logging.Logger | None = _logger
    heard = bool(_logger.filters)  # as a listener too, in tests
    while logger is not None and not heard:
        heard = any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers)
        logger = logger.parent if logger.propagate else None
    return heard


def _own_logger() -> Any:
    global _own_pipeline  # noqa: PLW0603 - made with the first event
    if _own_pipeline is None:
        import structlog  # noqa: PLC0415 - with the first event that somebody listens to

        _own_pipeline = structlog.wrap_logger(
            _logger,
            processors=[mask, to_standard_logger],
            wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
            context_class=dict,
            cache_logger_on_first_use=False,
        )
    return _own_pipeline


def mask(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask what looks like a secret in *event*; a processor of structlog. No event holds one: this is the seat belt."""
    event.update(masked(event))
    return event


def masked(fields: MutableMapping[str, Any]) -> dict[str, Any]:
    """Return *fields* with a mask for each secret: by its type, by the field's name, or by how it looks in a text."""
    return {name: _masked(name, value) for name, value in fields.items()}


def _masked(name: str, value: Any) -> Any:
    if isinstance(value, Secret | SecretBytes):
        return _MASK
    if not isinstance(value, str | bytes):
        return value
    if name != "event" and re.search(_CONFIDENTIAL, name):
        return _MASK
    if isinstance(value, str):
        for pattern, mask_of in _SECRETS_IN_TEXT:
            value = re.sub(pattern, mask_of, value)
    return value


def to_standard_logger(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> tuple[tuple[str, str], dict[str, Any]]:
    """Return *event* as arguments of the standard logger: its fields in the message, and as attributes of the record."""
    name = str(event.pop("event"))
    details = "".join(f" {field}={value!r}" for field, value in event.items())
    # What the application's own factory of log records has set already stays: logging refuses to replace it.
    record = logging.getLogRecordFactory()(LOGGER_NAME, logging.INFO, "", 0, name, (), None)
    taken = {"message", "asctime", *vars(record)}
    extra = {field: value for field, value in {"event": name, **event}.items() if field not in taken}
    # The event is the format, so that tools which group records by it tell events apart.
    return (f"{name.replace('%', '%%')}%s", details), {"extra": extra, "stacklevel": _FRAMES}
