"""What a server says, fit for an error message: short, printable, and without the secrets that it may repeat."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from urllib.parse import quote, quote_plus

MAX_QUOTE = 200
LONGEST_SENTENCE = 10_000
"""Characters; what is longer is no sentence, and no sentence holds a secret that is longer."""

_MASK = "***"


def quoted(text: object, secrets: Iterable[str]) -> str:
    """At most `MAX_QUOTE` printable characters of *text*, every form of *secrets* masked; empty where it is no sentence."""
    if not isinstance(text, str) or len(text) > LONGEST_SENTENCE:
        return ""
    forms = _forms_within(text, secrets)
    # Masked before anything is cut or taken out, so that no part of a secret is left; and after it for the same reason.
    clean = _masked(_printable(_masked(text, forms)), forms)
    return clean if len(clean) <= MAX_QUOTE else clean[: MAX_QUOTE - 1].rstrip() + "…"


def _printable(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _masked(text: str, forms: set[str]) -> str:
    """*text* with one mask for each stretch of it that *forms* cover, in whatever case they stand there."""
    marked = zip(_covered(_folded(text), forms), text, strict=True)
    stretches = groupby(marked, key=itemgetter(0))
    return "".join(_MASK if hidden else "".join(letter for _, letter in stretch) for hidden, stretch in stretches)


def _covered(folded: str, forms: set[str]) -> bytearray:
    """Which characters belong to one of *forms*; searched as plain text, since `re` would keep a pattern with a secret in it."""
    covered = bytearray(len(folded))
    for form in forms:
        start = folded.find(form)
        while start >= 0:
            covered[start : start + len(form)] = b"\1" * len(form)
            start = folded.find(form, start + 1)
    return covered


def _folded(text: str) -> str:
    """*text* with the same character, and only one, for each that differs in its case alone."""
    return "".join(letter.lower()[0].upper()[0] for letter in text)


def _forms_within(text: str, secrets: Iterable[str]) -> set[str]:
    """Every form of *secrets* that *text* has room for, folded."""
    short = (str(secret) for secret in secrets if len(secret) <= LONGEST_SENTENCE)
    return {_folded(form) for secret in short for form in _forms(secret) if 0 < len(form) <= len(text)}


def _forms(secret: str) -> Iterator[str]:
    """The forms in which servers repeat what they were sent."""
    yield secret
    yield _printable(secret)
    yield quote(secret, safe="", errors="replace")
    yield quote_plus(secret, errors="replace")
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield html.escape(secret)
    yield repr(secret)[1:-1]
