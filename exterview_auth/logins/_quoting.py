"""What a server says, fit for an error message: short, printable, and without the secrets that it may repeat."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MAX_QUOTE = 200
_LONGEST_SENTENCE = 10_000
_MASK = "***"


def quoted(text: object, secrets: Iterable[str]) -> str:
    """At most `MAX_QUOTE` printable characters of *text*, every form of *secrets* masked; empty where it is no sentence."""
    if not isinstance(text, str) or len(text) > _LONGEST_SENTENCE:
        return ""
    pattern = _pattern(secrets)
    # Masked before anything is cut or taken out, so that no part of a secret is left; and after it for the same reason.
    clean = _masked(_printable(_masked(text, pattern)), pattern)
    return clean if len(clean) <= MAX_QUOTE else clean[: MAX_QUOTE - 1].rstrip() + "…"


def _printable(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _masked(text: str, pattern: re.Pattern[str] | None) -> str:
    return text if pattern is None else pattern.sub(_MASK, text)


def _pattern(secrets: Iterable[str]) -> re.Pattern[str] | None:
    forms = {form for secret in secrets for form in _forms(str(secret)) if form}
    if not forms:
        return None
    return re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)), re.IGNORECASE)


def _forms(secret: str) -> Iterable[str]:
    """The forms in which servers repeat what they were sent."""
    yield secret
    yield _printable(secret)
    yield quote(secret, safe="", errors="replace")
    yield quote_plus(secret, errors="replace")
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield html.escape(secret)
    yield repr(secret)[1:-1]
