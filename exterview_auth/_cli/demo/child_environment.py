"""What the processes that the demo starts find in their environment."""

from __future__ import annotations

from collections.abc import Mapping

_NEEDED = frozenset({
    "PATH", "HOME", "TMPDIR", "TEMP", "TMP", "TZ", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT",
    "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONDONTWRITEBYTECODE",
})  # fmt: skip
_PREFIXES = ("LC_", "COVERAGE_")
"""Locale, and the measurement of coverage, which follows processes through their environment."""


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """
    Return the part of *environ* that a process of the demo needs to start.

    The rest stays here: the user's real credentials among it would be readable in ``/proc`` and in the child's crash reports.
    """
    return {name: text for name, text in environ.items() if name in _NEEDED or name.startswith(_PREFIXES)}
