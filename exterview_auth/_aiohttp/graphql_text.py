"""What kind of operation a GraphQL request body asks for: enough of the grammar, and no more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

# GraphQL specification, section 2.1: strings and comments may hold anything, so they are tokens of their own. Nothing is
# given back once it is read, and a quote alone begins a string that is not closed: each character is read once.
_WORDS = re.compile(
    r'"""(?:\\"""|(?!""")[\s\S])*+"""|"(?!"")(?:\\.|[^"\\\n])*+"|["{}()]|#[^\n\r]*|[_A-Za-z][_0-9A-Za-z]*'
)
_KINDS = frozenset({"query", "mutation", "subscription", "fragment"})


def may_write(body: str | None) -> bool:
    """Whether the JSON request *body* asks for a mutation; true also where it cannot be told."""
    try:
        request = json.loads(body or "")
        text, chosen = request["query"], request.get("operationName")
        operations = list(_operations(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return True
    return any(kind == "mutation" and (not chosen or name == chosen) for kind, name in operations)


def _operations(text: str) -> Iterator[tuple[str, str]]:
    """Kind and name of each definition; the shorthand ``{ ... }`` is a query."""
    depth, kind = 0, ""
    for match in _WORDS.finditer(text):
        word = match[0]
        if word == '"':
            raise ValueError("a string that is not closed")
        if word in "{(":
            if depth == 0 and kind:
                yield kind, ""
                kind = ""
            depth += 1
        elif word in "})":
            depth -= 1
        elif depth == 0 and kind and word[0] not in '"#':
            yield kind, word
            kind = ""
        elif depth == 0 and word in _KINDS:
            kind = word
