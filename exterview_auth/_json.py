"""JSON as strangers send it: an object, or nothing."""

from __future__ import annotations

import json
from typing import Any


def json_object(text: str | bytes) -> dict[str, Any] | None:
    """Return the JSON object in *text*, or ``None`` for anything else, however damaged or deeply nested it is."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None
