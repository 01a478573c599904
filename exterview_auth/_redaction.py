"""
A server's text, made fit for an error message: short, printable, and without the secrets that it may repeat.

`redacted` is for a quote from a server, `masked_line` for a sentence of the library that may contain such a quote, and `mask_data`
for JSON that the program gets. Masks come first: a text that was cut before could show half a secret. They are put on the forms
of a secret that servers use. What shows a secret all the same, once `_disguises` has undone more, is not quoted at all.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any
from urllib.parse import quote, quote_plus

from ._disguises import MIN_SEARCHED, Searched

MAX_QUOTE = 200
MAX_SENTENCE = 10_000
"""Characters. A longer text is not a sentence, and a sentence has no room for a longer secret."""

_MASK = "***"
_MAX_SECRET = 65_536
"""Characters of a secret: a longer one is not sent in a header, and servers do not repeat it."""
_PIECE = 16
"""Characters of a secret that are masked also without the rest of it, in a secret that has at least..."""
_MIN_CUT = 32
_MAX_WORK = 100_000
_TEXT_WORK = 50
"""Characters and nodes of an answer that are masked one by one, and for how many of them each text counts in addition."""
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
    """
    Return *data*, parsed JSON, with *secrets* masked in its texts, keys and numbers; ``None`` if that would take too long.

    Lists and dicts are changed in place.
    """
    masks = _Masks(secrets)
    if not masks.may_be_in(data):
        return data
    # Not recursive: a server's JSON may be as deep as the parser allows.
    whole = [data]
    left: list[Any] = [whole]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            members = {masks.member(key): masks.member(value) for key, value in node.items()}
            node.clear()
            node.update(members)
            node = members.values()
        else:
            node[:] = map(masks.member, node)
        if masks.work_left < 0:
            return None
        left.extend(inner for inner in node if isinstance(inner, dict | list))
    return whole[0]


def printable_line(text: str) -> str:
    """Return *text* on one line: what cannot be printed, or changes how its surroundings are printed, becomes a space."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


class _Masks:
    """Some secrets, and how they are found in a text."""

    __slots__ = ("_forms", "_pieces", "_searched", "_secrets", "work_left")

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = [str(secret) for secret in secrets if 0 < len(secret) <= _MAX_SECRET]
        self._forms = {form for secret in self._secrets for form in _forms(secret)}
        self._searched: Searched | None = None
        self._pieces: set[str] | None = None
        self.work_left = _MAX_WORK
        """What `member` may still do; below zero, it has looked at nothing."""

    def line(self, text: str) -> str:
        """Return *text* on one printable line, masked."""
        # Masked before anything is removed, so that no part of a secret is left. And again afterwards, because removing
        # unprintable characters may put the parts of a secret together.
        return _masked(printable_line(_masked(text, self._forms)), self._forms)

    def shows(self, text: str) -> bool:
        """Whether *text* may show a secret once more is undone. Asked before `without_pieces`, which hides that."""
        if self._searched is None:
            self._searched = Searched(self._secrets)
        return self._searched.shown_in(text)

    def without_pieces(self, text: str) -> str:
        """Return *text* with each piece of a secret masked: servers shorten a token that they repeat."""
        if len(text) < _PIECE:
            return text
        if self._pieces is None:
            folded = (_folded(secret) for secret in self._secrets if len(secret) >= _MIN_CUT)
            self._pieces = {secret[at : at + _PIECE] for secret in folded for at in range(len(secret) - _PIECE + 1)}
        pieces, found = self._pieces, _folded(text)
        covered = bytearray(len(found))
        for start in range(len(found) - _PIECE + 1) if pieces else ():
            if found[start : start + _PIECE] in pieces:
                covered[start : start + _PIECE] = b"\1" * _PIECE
        return _hidden(text, covered)

    def may_be_in(self, data: Any) -> bool:
        """Whether *data* may show a secret, or an end of a long one. Most answers do not, and that is found out quickly."""
        try:
            text = json.dumps(data, ensure_ascii=False)
        except (ValueError, RecursionError):
            return True
        ends = (
            end for secret in self._secrets if len(secret) >= _MIN_CUT for end in (secret[:_PIECE], secret[-_PIECE:])
        )
        return self._has_a_short_one(text) or Searched([*self._secrets, *ends]).shown_in(text)

    def member(self, value: Any) -> Any:
        """Return *value*, masked if it is a text or number that shows a secret, or if no work is left."""
        self.work_left -= 1
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return value
        text = str(value)
        self.work_left -= len(text) + _TEXT_WORK
        if self.work_left < 0:
            return _MASK
        if len(text) > MAX_SENTENCE:
            return _MASK if self._has_a_short_one(text) or self.shows(text) else value
        masked = _masked(text, self._forms) if isinstance(value, str) else text
        if self.shows(masked):
            return _MASK
        return self.without_pieces(masked) if isinstance(value, str) else value

    def _has_a_short_one(self, text: str) -> bool:
        folded = text.casefold()
        return any(secret.casefold() in folded for secret in self._secrets if len(secret) < MIN_SEARCHED)


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
