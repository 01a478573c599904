"""Which fields a login's GraphQL document asks for."""

from __future__ import annotations

import re

# GraphQL specification, section 2.1: strings and comments may hold anything, so they are lexemes.
_LEXEMES = re.compile(
    r'"""(?:\\"""|(?!""")[\s\S])*+"""|"(?:\\.|[^"\\\n])*+"|#[^\n\r]*|\.\.\.|[{}():@]|[_A-Za-z][_0-9A-Za-z]*'
)
_OPERATIONS = ("query", "mutation", "subscription")


def own_fields(document: str) -> frozenset[str]:
    """
    Return the names under which the first operation's own fields are answered; none if fragments hide them.

    An error's ``path`` begins with such a name.
    """
    found: set[str] = set()
    depth, arguments, in_fragment, before = 0, 0, False, ""
    for match in _LEXEMES.finditer(document):
        lexeme = match[0]
        if lexeme in {"(", ")"}:
            arguments += 1 if lexeme == "(" else -1
        elif arguments > 0 or lexeme[0] in '"#':
            continue
        elif lexeme in {"{", "}"}:
            depth += 1 if lexeme == "{" else -1
            if depth == 0 and not in_fragment:
                break
            in_fragment = in_fragment and depth > 0
        elif depth == 0:
            in_fragment = in_fragment or (lexeme == "fragment" and before not in _OPERATIONS)
        elif depth == 1 and not in_fragment:
            if lexeme == "...":
                return frozenset()
            # An alias stands before a colon, and takes the place of the name behind it; "@" begins a directive.
            if lexeme not in {":", "@"} and before not in {":", "@"}:
                found.add(lexeme)
        before = lexeme
    return frozenset(found)
