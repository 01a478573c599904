"""A server's text, made fit for an error message: short, printable, and without the secrets that it may repeat."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from urllib.parse import quote, quote_plus, unquote_plus

MAX_QUOTE = 200
MAX_SENTENCE = 10_000
"""Characters. A longer text is not a sentence, and a sentence has no room for a longer secret."""

_MASK = "***"
_MIN_SEARCHED = 4
"""Characters of a secret: a shorter one is part of many words by chance."""
_MAX_ESCAPES = 3
"""How often a text may have been escaped."""
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))")
_LEFT_IN_URLS = ("", "/", "!'()*~-_.", ";,/?:@&=+$!'()*~-_.#")
"""What encoders leave as it is: nothing, Python's default, and JavaScript's two."""
_ESCAPED_IN_JSON = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&'"}
"""By encoders whose JSON may stand in a page."""


def redacted(text: object, secrets: Iterable[str]) -> str:
    """
    Return at most `MAX_QUOTE` printable characters of *text*, with every form of *secrets* masked.

    Empty if *text* is not a sentence, or if a secret shows once escapes are undone.
    """
    secrets = list(secrets)
    if not isinstance(text, str) or len(text) > MAX_SENTENCE:
        return ""
    forms = _forms_within(text, secrets)
    # Masked before anything is cut or removed, so that no part of a secret is left. And again afterwards, because removing
    # unprintable characters may put the parts of a secret together.
    clean = _masked(_printable(_masked(text, forms)), forms)
    if _shows(clean, [secret for secret in secrets if len(secret) >= _MIN_SEARCHED]):
        return ""
    return clean if len(clean) <= MAX_QUOTE else clean[: MAX_QUOTE - 1].rstrip() + "…"


def _shows(text: str, secrets: list[str]) -> bool:
    """Whether one of *secrets* appears in *text* when escapes are undone, however often they were made."""
    for _ in range(_MAX_ESCAPES):
        text = html.unescape(unquote_plus(_ESCAPE.sub(_unescaped, text)))
        plain = _plain(text)
        if any(_plain(secret) in plain for secret in secrets):
            return True
    return False


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1] or escape[2], 16)) if escape[3] is None else escape[3]


def _plain(text: str) -> str:
    """Return *text* without differences that a reader does not see: case, composed letters, spaces, invisible characters."""
    visible = (letter for letter in unicodedata.normalize("NFC", text).casefold() if letter.isprintable())
    return "".join("".join(visible).split())


def _printable(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _masked(text: str, forms: set[str]) -> str:
    """Return *text* with one mask for each stretch that *forms* cover, in any case."""
    marked = zip(_covered(_folded(text), forms), text, strict=True)
    stretches = groupby(marked, key=itemgetter(0))
    return "".join(_MASK if hidden else "".join(letter for _, letter in stretch) for hidden, stretch in stretches)


def _covered(folded: str, forms: set[str]) -> bytearray:
    """Mark the characters that belong to one of *forms*."""
    # A search for plain text: `re` would keep a pattern, and the secret in it, in its cache.
    covered = bytearray(len(folded))
    for form in forms:
        start = folded.find(form)
        while start >= 0:
            covered[start : start + len(form)] = b"\1" * len(form)
            start = folded.find(form, start + 1)
    return covered


def _folded(text: str) -> str:
    """Fold the case of *text* one character for one: unlike ``casefold()``, it keeps every position."""
    return "".join(letter.lower()[0].upper()[0] for letter in text)


def _forms_within(text: str, secrets: Iterable[str]) -> set[str]:
    """Return every form of *secrets* that *text* has room for, folded."""
    short = (str(secret) for secret in secrets if len(secret) <= MAX_SENTENCE)
    return {_folded(form) for secret in short for form in _forms(secret) if 0 < len(form) <= len(text)}


def _forms(secret: str) -> Iterator[str]:
    """Yield the forms in which servers repeat what they received."""
    yield secret
    yield _printable(secret)
    yield repr(secret)[1:-1]
    yield quote_plus(secret, errors="replace")
    for unescaped in _LEFT_IN_URLS:
        yield quote(secret, safe=unescaped, errors="replace")
    for text in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield text
        yield text.replace("/", "\\/")
        yield text.translate(_ESCAPED_IN_JSON)
    escaped = html.escape(secret)
    yield escaped
    yield escaped.replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    yield html.escape(secret, quote=False)
