"""What the API sends back: JSON, and ``{"error": "..."}`` for every request that it refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web


class Refusal(Exception):  # noqa: N818 - a response of the API, not a failure of the emulator
    """
    A request is answered with *status* and the body ``{"error": message}``, with *details* beside the error.

    An exception, so that any part of the emulator can end a request with one, from however deep inside. *reason* stands in the
    journal in place of the message: where the message quotes the request, which may have a secret in any place, or says less.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        reason: str | None = None,
        headers: Mapping[str, str] | None = None,
        **details: str,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason or message
        self.body = {"error": message, **details}
        self.headers = headers

    def response(self) -> web.Response:
        """Return the response to send."""
        return json_response(self.body, status=self.status, headers=self.headers)


def json_response(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return *content* as a JSON response."""
    body = json.dumps(content, separators=(",", ":")).encode()
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")
