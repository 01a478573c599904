"""How the command writes a token, for each program that may read it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Issued:
    """A token with all that may be written beside it."""

    token: str = field(repr=False)
    expires_at: datetime | None
    api_key: str = field(repr=False)
    endpoint: str


def rfc3339(moment: datetime) -> str:
    """Return *moment* as RFC 3339 writes it, in UTC and without the part of a second that may be left of it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _as_header(issued: Issued) -> str:
    return f"Authorization: Bearer {issued.token}"


def _as_json(issued: Issued) -> str:
    expires = issued.expires_at
    left = None if expires is None else max(0, math.floor((expires - datetime.now(UTC)).total_seconds()))
    answer = {
        "access_token": issued.token,
        "token_type": "Bearer",
        "expires_at": None if expires is None else rfc3339(expires),
        "expires_in": left,
        "endpoint": issued.endpoint,
    }
    return json.dumps(answer)


def _for_curl(issued: Issued) -> str:
    """Return a file for ``curl --config``: what stands there, stands in no list of processes."""
    headers = (f"x-api-key: {issued.api_key}", _as_header(issued))
    return "\n".join(f"header = {_quoted(header)}" for header in headers)


def _quoted(text: str) -> str:
    # curl(1), --config: within quotes, a backslash and a quote are escaped.
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _for_kubernetes(issued: Issued) -> str:
    """Return an ExecCredential. Without an expiry, kubectl keeps the token until a 401."""
    status: dict[str, Any] = {"token": issued.token}
    if issued.expires_at is not None:
        status["expirationTimestamp"] = rfc3339(issued.expires_at)
    return json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status})


FORMATS: Mapping[str, Callable[[Issued], str]] = {
    "text": lambda issued: issued.token,
    "header": _as_header,
    "json": _as_json,
    "curl": _for_curl,
    "exec-credential": _for_kubernetes,
}
"""The writers, by the names of ``--format``."""
