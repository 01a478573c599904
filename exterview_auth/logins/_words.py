"""What a server's JSON says for people."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

from .._redaction import MAX_SENTENCE

DESCRIPTIONS = (
    "errordescription", "message", "messages", "detail", "description", "title", "reason", "errorsummary", "errormessage",
    "faultstring", "fault", "msg",
)  # fmt: skip
"""Members with a sentence. Servers write them in any case, with and without underscores."""
_ERRORS = ("error", "errors")
_PAGES = ("text/html", "application/xhtml+xml")
_TITLE = re.compile(r"<title[^<>]*>([^<]+)</title", re.IGNORECASE)
PERSON = r"(?:user(?:name)?|e-?mail|passwords?|credentials?|log-?in|account)"
ABOUT_THE_API_KEY = re.compile(r"api[\s_-]?key", re.IGNORECASE)
_ABOUT_THE_USER = re.compile(rf"\b{PERSON}\b", re.IGNORECASE)
_MAX_DEPTH = 4


def words_in(node: Any, names: Iterable[str] = (_ERRORS[0], *DESCRIPTIONS, _ERRORS[1])) -> str:
    """Return the text under one of *names* in *node*, also inside an object or list that stands there, or ``""``."""
    return _words(node, tuple(names), _MAX_DEPTH)


def a_sentence(texts: Iterable[str]) -> str:
    """Return the first of *texts* with several words, or else the first with one: that is a code, as ``Forbidden``."""
    found = [text for text in texts if text]
    return next((text for text in found if " " in text), found[0] if found else "")


def words_of(payload: Any, kind: str, text: str) -> str:
    """
    Return what an answer says for people, whoever gave it.

    An error's text in its JSON *payload*; and where there is no JSON, the *text* of a body whose media type is *kind*, if it is
    plain, or the title of a page.
    """
    if payload is not None:
        return words_in(payload)
    if kind == "text/plain":
        return text if len(text) <= MAX_SENTENCE else ""
    title = _TITLE.search(text[:MAX_SENTENCE]) if kind in _PAGES else None
    return html.unescape(title[1]).strip() if title else ""


def reason_in(message: str) -> str | None:
    """Return ``"api_key"`` or ``"user"`` if *message* mentions one of them."""
    # What is longer is not a sentence: patterns would hold up the loop for nothing. Codes join their words, as in USER_DISABLED.
    read = message[:MAX_SENTENCE].replace("_", " ")
    if ABOUT_THE_API_KEY.search(read):
        return "api_key"
    return "user" if _ABOUT_THE_USER.search(read) else None


def by_plain_name(node: Any) -> dict[str, Any]:
    """Return the members of *node*, if it is an object, by their names without case, underscores and hyphens."""
    return {plain_name(key): value for key, value in node.items()} if isinstance(node, dict) else {}


def plain_name(name: str) -> str:
    """Return *name* without case, underscores and hyphens."""
    return name.replace("_", "").replace("-", "").lower()


def _words(node: Any, names: tuple[str, ...], depth: int) -> str:
    if isinstance(node, str):
        return node.strip()
    if depth == 0 or not isinstance(node, dict | list):
        return ""
    members = by_plain_name(node)
    inner = node[:1] if isinstance(node, list) else [members[name] for name in names if name in members]
    return a_sentence(_words(each, names, depth - 1) for each in inner)
