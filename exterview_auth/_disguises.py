"""
Whether a text shows a secret to someone who undoes what programs do to text.

1. Escapes are undone, several times: of URLs, HTML, JSON, Python, JavaScript and mail, with bytes read as UTF-8 and as Latin-1.
2. Compared is what is left without case, accents, widths, spaces and invisible characters.
3. Base64, base32 and hexadecimal digits are not decoded. The secret is encoded instead, for each position in a group of
   letters, because it may stand in the middle of what was encoded.
4. The work is bounded by what is counted quickly before. A text that would need more counts as one that shows a secret.
"""

from __future__ import annotations

import base64
import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote, quote_plus

MIN_SEARCHED = 4
"""Characters of a secret: a shorter one is part of many words by chance."""

_MIN_ENCODED = 4
"""Letters and digits of an encoded secret."""
_MAX_ESCAPED = 6
"""How often a text may have been escaped."""
_MAX_LENGTH = 2**20
_MAX_ESCAPES = 10_000
_MAX_FOREIGN = 100_000
_MAX_ENCODED = 100_000
"""What is judged in some milliseconds: characters, escapes, characters of a text that is not ASCII, encoded characters."""

_ESCAPE = re.compile(
    r"(?:\\u|%u)([0-9a-fA-F]{4})|\\(?:u\{([0-9a-fA-F]{1,6})\}|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2}))"
    r"|&#[xX]([0-9a-fA-F]{1,8});?|%([0-9a-fA-F]{2})|&#([0-9]{1,8});?|\\([0-7]{3})|\\([^abfnrtv])|\\.|\x1b?\[[0-9;]*m",
    re.DOTALL,
)
_IN_BASE_16, _IN_BASE_10, _IN_BASE_8, _LITERAL = range(1, 7), 7, 8, 9
"""Groups of the pattern above."""
_IN_MAIL = re.compile(r"=(?:([0-9a-fA-F]{2})|(?:\s|\\[rn])+)")
_BYTES_OF_UTF_8 = re.compile("[\xc2-\xf4][\x80-\xbf]{1,3}")
_NOT_LETTERS = re.compile(r"\W+")
_ENCODED = re.compile(r"[A-Za-z0-9+/_=-]{6,}")
"""What may be encoded: a part of the words of prose."""

_LOWERED = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
# Without plus signs too, which are spaces in a form.
_VISIBLE = {**_LOWERED, **dict.fromkeys((*range(33), 127, ord("+")))}
_ALPHANUMERIC = {**_LOWERED, **dict.fromkeys(code for code in range(128) if not chr(code).isalnum())}
_WINDOWS_1252 = {
    ord(letter): code for code in range(0x80, 0xA0) if (letter := bytes([code]).decode("cp1252", "ignore"))
}


class Searched:
    """Some secrets, as `shown_in` searches for them."""

    __slots__ = ("_encoded", "_visible")

    def __init__(self, secrets: Iterable[str]) -> None:
        searched = {secret for secret in secrets if len(secret) >= MIN_SEARCHED}
        self._visible = {_visible(secret) for secret in searched} - {""}
        self._encoded = {
            text
            for secret in searched
            for code in _encoded(secret)
            if len(text := code.translate(_ALPHANUMERIC)) >= _MIN_ENCODED
        }

    def shown_in(self, text: str) -> bool:
        """Whether *text* may show one of the secrets; true also if finding out would take too long."""
        return bool(self._visible) and any(map(self._may_stand_in, _readings(text)))

    def _may_stand_in(self, reading: str) -> bool:
        if _takes_too_long(reading):
            return True
        visible = _visible(reading)
        if any(text in visible for text in self._visible):
            return True
        encoded = "".join(_ENCODED.findall(reading)).translate(_ALPHANUMERIC)
        return len(encoded) > _MAX_ENCODED or any(text in encoded for text in self._encoded)


def _takes_too_long(text: str) -> bool:
    escapes = sum(map(text.count, "\\%&="))
    return len(text) > (_MAX_LENGTH if text.isascii() else _MAX_FOREIGN) or escapes > _MAX_ESCAPES


def _readings(text: str) -> Iterator[str]:
    """Yield *text* with none, one and more layers of escapes undone, also as mail."""
    yield from _layers(text)
    unfolded = _IN_MAIL.sub(_of_mail, text)
    if unfolded != text:
        yield from _layers(unfolded)


def _layers(text: str) -> Iterator[str]:
    for _ in range(_MAX_ESCAPED):
        yield text
        joined = text if text.isascii() else _BYTES_OF_UTF_8.sub(_of_utf_8, text.translate(_WINDOWS_1252))
        if joined != text:
            yield joined
        escaped, text = text, _unescaped(text)
        if text == escaped:
            break


def _unescaped(text: str) -> str:
    """Return *text* with one layer of escapes undone, and with halves of a letter (UTF-16) put together."""
    text = html.unescape(_ESCAPE.sub(_meant, text))
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _meant(escape: re.Match[str]) -> str:
    group = escape.lastindex
    if group is None:
        return ""  # a line's end, or a colour of a terminal
    if group == _LITERAL:
        return escape[group]
    code = int(escape[group], 16 if group in _IN_BASE_16 else 10 if group == _IN_BASE_10 else 8)
    return chr(code) if code <= 0x10FFFF else ""  # noqa: PLR2004 - the last character of Unicode


def _of_mail(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else ""


def _of_utf_8(found: re.Match[str]) -> str:
    try:
        return found[0].encode("latin-1").decode()
    except UnicodeDecodeError:
        return found[0]


def _visible(text: str) -> str:
    """Return *text* without differences that a reader does not see: case, accents, widths, spaces, invisible characters."""
    if text.isascii():
        return text.translate(_VISIBLE)
    return _NOT_LETTERS.sub(_signs_of, unicodedata.normalize("NFKD", text).casefold())


def _signs_of(run: re.Match[str]) -> str:
    return "".join(
        sign for sign in run[0] if sign.isprintable() and not unicodedata.combining(sign) and sign not in " +"
    )


def _encoded(secret: str) -> Iterator[str]:
    """Yield what is in the middle of any text that holds *secret* and was encoded in base 64, base 32 or base 16."""
    in_urls = (quote_plus(secret, errors="replace"), quote(secret, safe="", errors="replace"))
    for form in {secret, *in_urls, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}:
        raw = form.encode(errors="replace")
        yield raw.hex()
        yield from _aligned(raw, base64.b64encode, bits=6, group=3)
        yield from _aligned(raw, base64.b32encode, bits=5, group=5)


def _aligned(raw: bytes, encode: Callable[[bytes], bytes], *, bits: int, group: int) -> Iterator[str]:
    """Yield the letters that stand for *raw* alone, for each number of bytes before it in a group."""
    for before in range(group):
        code = encode(bytes(before) + raw).decode()
        yield code[-(-8 * before // bits) : 8 * (before + len(raw)) // bits]
