"""Text that may be printed: one line, no secret, no control code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_VARIABLES = ("EXTERVIEW_API_KEY", "EXTERVIEW_PASSWORD", "EXTERVIEW_BEARER_TOKEN")
_FILES = ("EXTERVIEW_API_KEY_FILE", "EXTERVIEW_BEARER_TOKEN_FILE")
_NOT_PRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LONGEST = 200


class Scrubber:
    """Knows every secret of this run, and takes them out of what others wrote: a server may echo what it was sent."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._secrets: set[str] = set()
        for name in _VARIABLES:
            self.hide(environ.get(name, ""))
        for name in _FILES:
            self.hide(_text_of(environ.get(name, "").strip()))

    def hide(self, secret: str) -> None:
        """Never let *secret* through from now on."""
        if secret.strip():
            self._secrets.update((secret, secret.strip()))

    def clean(self, text: str) -> str:
        """*text* on one line, shortened, with ``***`` in the place of secrets."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        line = _NOT_PRINTABLE.sub(" ", text).strip()
        return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip() if path else ""
    except (OSError, UnicodeDecodeError):
        return ""
