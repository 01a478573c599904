"""What the processes that the demo starts find in their environment."""

from __future__ import annotations

from collections.abc import Mapping

_NEEDED = frozenset({
    "PATH", "HOME", "TMPDIR", "TEMP", "TMP", "TZ", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT",
    "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONDONTWRITEBYTECODE",
    "LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC", "LC_TIME",
    "COVERAGE_CORE", "COVERAGE_FILE", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START", "COVERAGE_RCFILE",
})  # fmt: skip
"""The system, Python, the locale, and the measurement of coverage: names in full, as a prefix would let others' secrets pass."""


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """
    Return the part of *environ* that a process of the demo needs to start.

    The rest stays here: the user's real credentials among it would be readable in ``/proc`` and in the child's crash reports.
    """
    return {name: text for name, text in environ.items() if name in _NEEDED}
