"""Answers that a test gives for operations of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import EllipsisType
from typing import Any

from exterview_auth._options import text_option
from exterview_auth._secret import plain_kind
from exterview_auth.errors import ConfigurationError

BULK_UPLOAD = "bulk-upload"
"""The REST operation's name, which no GraphQL operation can have."""


class CannedAnswers:
    """Responses by operation, sent in place of what the engine would say; the schema need not know the operation."""

    def __init__(self) -> None:
        self._answers: dict[str, dict[str, Any]] = {}

    def give(self, operation_name: object, data: Any = ..., errors: Any = ...) -> str:
        """Keep the response for *operation_name* and return the name; without *data* and *errors*, forget it."""
        name = text_option(operation_name, "operation_name")
        response: dict[str, Any] = {}
        if errors is not None and not isinstance(errors, EllipsisType):
            response["errors"] = _checked_errors(errors)
        if not isinstance(data, EllipsisType):
            response["data"] = _json(data, "data")
        if name == BULK_UPLOAD and "errors" in response:
            raise ConfigurationError(
                f"{name} is not a GraphQL operation: give its whole answer as data, or use refuse(1, status=...) for an error"
            )
        if response:
            self._answers[name] = response
        else:
            self._answers.pop(name, None)
        return name

    def of(self, operation: str | None) -> dict[str, Any] | None:
        """Return the response for *operation*, if there is one."""
        return None if operation is None else self._answers.get(operation)

    def clear(self) -> None:
        """Forget every response."""
        self._answers.clear()


def _checked_errors(errors: object) -> list[Any]:
    """Return *errors* as GraphQL sends them: objects with a message."""
    if not isinstance(errors, list | tuple) or not errors:
        raise ConfigurationError("errors must be a list of GraphQL errors or of their messages, not empty")
    found = [{"message": one} if isinstance(one, str) else one for one in errors]
    if not all(isinstance(one, Mapping) and isinstance(one.get("message"), str) for one in found):
        raise ConfigurationError("each of the errors must be its message, or an object that has one under 'message'")
    content: list[Any] = _json([dict(one) for one in found], "errors")
    if not all(isinstance(one.get("extensions"), dict | None) for one in content):
        raise ConfigurationError("the extensions of an error must be an object, such as {'code': 'FORBIDDEN'}")
    return content


def _json(value: Any, what: str) -> Any:
    """Return a copy of *value*, so that what the caller does with it later does not change the answer."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise ConfigurationError(f"{what} must be what JSON can hold, not {plain_kind(value)}") from None
