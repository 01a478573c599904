"""A bearer token's text as servers, files and environments give it."""

from __future__ import annotations

_PREFIX = "bearer "


def without_bearer(text: str) -> str:
    """*text* without a leading ``Bearer`` (RFC 6750, section 2.1), which the header gets anyway."""
    return text[len(_PREFIX) :].strip() if text[: len(_PREFIX)].lower() == _PREFIX else text
