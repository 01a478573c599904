"""Seeds that once broke a rule, and what was wrong with the library then: they are run each time."""

from __future__ import annotations

ONCE_FAILED: dict[int, str] = {}
