"""JSON as strangers send it."""

from __future__ import annotations

import json
from typing import Any


def json_object(text: str | bytes) -> dict[str, Any] | None:
    """Return the JSON object in *text*, or ``None`` for anything else."""
    parsed = json_value(text)
    return parsed if isinstance(parsed, dict) else None


def json_value(text: str | bytes) -> Any:
    """Return the JSON in *text*, or ``None`` if it is not JSON, however damaged or deeply nested it is."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
