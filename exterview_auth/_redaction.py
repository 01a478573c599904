"""
A server's text, made fit for an error message: short, printable, and without the secrets that it may repeat.

`redacted` is for a quote from a server, `masked_line` for a sentence of the library that may contain such a quote, and `mask_data`
for JSON that the program gets. Masks come first: a text that was cut before could show half a secret.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

MAX_QUOTE = 200
MAX_SENTENCE = 10_000
"""Characters. A longer text is not a sentence, and a sentence has no room for a longer secret."""

_MASK = "***"
_MIN_SEARCHED = 4
"""Characters of a secret: a shorter one is part of many words by chance."""
_MAX_SECRET = 65_536
"""Characters of a secret: a longer one is not sent in a header, and servers do not repeat it."""
_PIECE = 16
"""Characters of a secret that are masked also without the rest of it, in a secret that has at least..."""
_MIN_CUT = 32
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
    if not isinstance(text, str) or len(text) > MAX_SENTENCE:
        return ""
    masks = _Masks(secrets)
    clean = masks.line(text)
    if masks.shows(clean):
        return ""
    clean = masks.without_pieces(clean)
    return clean if len(clean) <= MAX_QUOTE else clean[: MAX_QUOTE - 1].rstrip() + "…"


def masked_line(sentence: str, secrets: Iterable[str]) -> str:
    """Return *sentence* on one line of printable characters, with every form of *secrets* masked, and not shortened."""
    masks = _Masks(secrets)
    return masks.without_pieces(masks.line(sentence))


def mask_data(data: Any, secrets: Iterable[str]) -> Any:
    """Return *data*, parsed JSON, with *secrets* masked in its texts and keys. Lists and dicts are changed in place."""
    mask = _Masks(secrets).member
    data = mask(data)
    # Not recursive: a server's JSON may be as deep as the parser allows.
    left = [data]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            members = {mask(key): mask(value) for key, value in node.items()}
            node.clear()
            node.update(members)
            left.extend(node.values())
        elif isinstance(node, list):
            node[:] = map(mask, node)
            left.extend(node)
    return data


def printable_line(text: str) -> str:
    """Return *text* on one line: what cannot be printed, or changes how its surroundings are printed, becomes a space."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


class _Masks:
    """Some secrets, and how they are found in a text."""

    __slots__ = ("_forms", "_secrets")

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = [str(secret) for secret in secrets if 0 < len(secret) <= _MAX_SECRET]
        self._forms: list[tuple[str, set[str]]] = []

    def line(self, text: str) -> str:
        """Return *text* on one printable line, masked."""
        forms = {form for secret in self._secrets for form in _forms(secret)}
        # Masked before anything is removed, so that no part of a secret is left. And again afterwards, because removing
        # unprintable characters may put the parts of a secret together.
        return _masked(printable_line(_masked(text, forms)), forms)

    def shows(self, text: str) -> bool:
        """Whether a secret appears in *text* when escapes are undone. Asked before `without_pieces`, which hides that."""
        return _shows(text, [secret for secret in self._secrets if len(secret) >= _MIN_SEARCHED])

    def without_pieces(self, text: str) -> str:
        """Return *text* with each piece of a secret masked: servers shorten a token that they repeat."""
        folded = (_folded(secret) for secret in self._secrets if len(secret) >= _MIN_CUT)
        pieces = {secret[start : start + _PIECE] for secret in folded for start in range(len(secret) - _PIECE + 1)}
        found = _folded(text)
        covered = bytearray(len(found))
        for start in range(len(found) - _PIECE + 1) if pieces else ():
            if found[start : start + _PIECE] in pieces:
                covered[start : start + _PIECE] = b"\1" * _PIECE
        return _hidden(text, covered)

    def member(self, value: Any) -> Any:
        """Return *value*, masked if it is a text with a secret in it; only its secret is taken from a text that has lines."""
        if not isinstance(value, str):
            return value
        if not self._forms:
            self._forms = [(_longest_word(secret), set(_forms(secret))) for secret in self._secrets]
        # Most texts hold no secret. No encoding changes a letter or digit of ASCII, and a search for them is fast.
        folded = value.casefold()
        forms = {form for word, forms in self._forms if word in folded for form in forms}
        if not forms:
            return value
        masked = _masked(value, forms)
        return _MASK if self.shows(masked) else self.without_pieces(masked)


def _longest_word(secret: str) -> str:
    """Return the longest run of ASCII letters and digits in *secret*."""
    words = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in secret.casefold()).split()
    return max(words, key=len, default="")


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
    # Without plus signs too, which are spaces in a form.
    visible = (
        letter for letter in unicodedata.normalize("NFC", text).casefold() if letter.isprintable() and letter != "+"
    )
    return "".join("".join(visible).split())


def _masked(text: str, forms: Iterable[str]) -> str:
    """Return *text* with one mask for each stretch that *forms* cover, in any case."""
    folded = _folded(text)
    # A search for plain text: `re` would keep a pattern, and the secret in it, in its cache.
    covered = bytearray(len(folded))
    for form in {_folded(form) for form in forms if 0 < len(form) <= len(text)}:
        start = folded.find(form)
        while start >= 0:
            covered[start : start + len(form)] = b"\1" * len(form)
            start = folded.find(form, start + 1)
    return _hidden(text, covered)


def _hidden(text: str, covered: bytearray) -> str:
    stretches = groupby(zip(covered, text, strict=True), key=itemgetter(0))
    return "".join(_MASK if hidden else "".join(letter for _, letter in stretch) for hidden, stretch in stretches)


def _folded(text: str) -> str:
    """Fold the case of *text* one character for one: unlike ``casefold()``, it keeps every position."""
    return "".join(letter.lower()[0].upper()[0] for letter in text)


def _forms(secret: str) -> Iterator[str]:
    """Yield the forms in which servers repeat what they received."""
    yield secret
    yield printable_line(secret)
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
