"""Times in a response of the login endpoint or the API, on the clock of the server that wrote them."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


def server_time(headers: Mapping[str, str]) -> float:
    """Return seconds since the epoch by ``Date`` (RFC 9110, section 6.6.1), or by this machine's wall clock without it."""
    stamp = _http_date(headers.get("Date", ""))
    return time.time() if stamp is None else stamp


def retry_after(headers: Mapping[str, str] | None) -> float | None:
    """
    Return the seconds that ``Retry-After`` asks for (RFC 9110, section 10.2.3), in both forms.

    A date counts from the response's own ``Date``. ``None`` for an absent or unreadable value, and for a date in the past.
    """
    fields = headers or {}
    text = fields.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
        return seconds if math.isfinite(seconds) else None
    stamp = _http_date(text)
    # Both times are by the server's clock, so that an error of that clock cancels out.
    left = None if stamp is None else stamp - server_time(fields)
    return left if left is not None and left > 0 else None


def _http_date(text: str) -> float | None:
    try:
        stamp = parsedate_to_datetime(text)
        return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
