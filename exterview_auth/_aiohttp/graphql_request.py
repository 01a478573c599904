"""
A GraphQL request: its JSON, its form with files, and whether what was sent may be a mutation. Loaded on first use.

Follows GraphQL over HTTP, and the GraphQL multipart request specification for files.
"""

from __future__ import annotations

import copy
import io
import json
import mimetypes
import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from aiohttp import ClientTimeout, FormData, Payload, get_payload, hdrs
from aiohttp.payload import LookupError as UnknownBodyError
from multidict import CIMultiDict

from .._json import json_value
from .._options import header_options, number, shown
from ..errors import ConfigurationError
from .bodies import AT_HAND, JSON

MAX_OPERATION = 2**19
"""Bytes; a longer request may be a mutation, whatever it says."""

PREFLIGHT = "Apollo-Require-Preflight"
"""Apollo Server refuses a form without this header, or one of two others, because a foreign page may send a form."""

_MAX_WRAPPERS = 2
"""A server's record of an upload, around a temporary file."""
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+")


def operation(query: str, variables: Mapping[str, Any] | None, name: str | None) -> dict[str, Any]:
    """Return the request's JSON (GraphQL over HTTP, "Request Parameters")."""
    if not isinstance(query, str) or not query.strip():
        raise ConfigurationError("query must be a GraphQL document as text, and not empty")
    if variables is not None and not isinstance(variables, Mapping):
        raise ConfigurationError(f"variables must be a mapping, not {type(variables).__name__}")
    if name is not None and not isinstance(name, str):
        raise ConfigurationError(f"operation_name must be text, not {type(name).__name__}")
    body: dict[str, Any] = {"query": query}
    if variables is not None:
        body["variables"] = dict(variables)
    if name is not None:
        body["operationName"] = name
    return body


JsonWriter = Callable[[Any], str | bytes]

_strict_dumps = partial(json.dumps, allow_nan=False)  # JSON has no NaN (RFC 8259, section 6)


def arguments_of(
    body: dict[str, Any],
    files: Mapping[str, Any] | None,
    dumps: JsonWriter,
    headers: Mapping[str, str] | None,
    timeout: object,
) -> dict[str, Any]:
    """
    Return the arguments of the POST that sends *body* as JSON, or as a form with *files*.

    The headers name its content type: the default of a session would take the place of a body's own.
    """
    data = multipart(body, files, dumps) if files else written(body, dumps)
    header_options(headers)
    named = CIMultiDict(headers or {})
    if files:
        named.setdefault(PREFLIGHT, "true")
    named[hdrs.CONTENT_TYPE] = data.headers[hdrs.CONTENT_TYPE] if isinstance(data, Payload) else JSON
    arguments: dict[str, Any] = {"data": data, "headers": named, "raise_for_status": False}
    if timeout is not ...:
        if timeout is not None and not isinstance(timeout, ClientTimeout):
            timeout = number(timeout, "timeout must be an aiohttp.ClientTimeout or a number of seconds")
        arguments["timeout"] = timeout
    return arguments


def written(body: Any, dumps: JsonWriter = json.dumps) -> bytes:
    """Return *body* as JSON."""
    try:
        text = (_strict_dumps if dumps is json.dumps else dumps)(body)
        return text if isinstance(text, bytes) else text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        why = type(error).__name__  # its message may quote a variable
    raise ConfigurationError(f"variables cannot be written as JSON ({why}); give text, numbers, lists and mappings")


def multipart(body: dict[str, Any], files: Mapping[str, Any], dumps: JsonWriter = json.dumps) -> Payload:
    """Return the request as a form, with *files* by the path of their variable (GraphQL multipart request specification)."""
    if not isinstance(files, Mapping):
        raise ConfigurationError(f"files must be a mapping, not {type(files).__name__}")
    body = {**body, "variables": copy.copy(body.get("variables") or {})}
    paths = list(files)
    for path in paths:
        _put_null(body, path)
    form = FormData()
    for part, content in (("operations", body), ("map", {str(i): [path] for i, path in enumerate(paths)})):
        # As text: aiohttp takes bytes for a file.
        form.add_field(part, written(content, dumps).decode(), content_type="application/json")
    for i, path in enumerate(paths):
        name, content, kind = _file_parts(files[path], path)
        form.add_field(str(i), content, filename=name, content_type=kind)
    return form()


def _put_null(body: dict[str, Any], path: str) -> None:
    """Put null in the file's place. What lies on the way is copied first: the caller's variables stay as they are."""
    steps = path.split(".") if isinstance(path, str) else []
    if len(steps) < 2 or steps[0] != "variables" or not all(steps):  # noqa: PLR2004 - "variables" and a name
        raise ConfigurationError(f"the keys of files must be paths such as 'variables.file', not {shown(path)}")
    place: Any = body
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        try:
            key: Any = int(step) if isinstance(place, list) and step.isdecimal() else step
            found = place[key] if isinstance(place, list) else place.get(key)
            place[key] = None if after is None else _copied(found)
        except (IndexError, TypeError, AttributeError, ValueError):
            raise ConfigurationError(f"files names {path[:100]!r}, but variables has no such place") from None
        place = place[key]


def _copied(value: Any) -> Any:
    if value is None:
        return {}
    return list(value) if isinstance(value, tuple) else copy.copy(value)  # a tuple is a JSON array too


def _file_parts(file: Any, path: str) -> tuple[str, Any, str]:
    """Return name, content and content type of *file*: a file object, what wraps one, bytes, or a tuple that names them."""
    name, given, kind = (*file, None, None, None)[:3] if isinstance(file, tuple) else (None, file, None)
    content = _file_in(given)
    if not _can_be_sent(content):
        what = type(file if given is None else given).__name__
        raise ConfigurationError(f"files holds {what} for {path!r}; give a file object, bytes, or (name, file[, type])")
    name = name or _name_of(given) or _name_of(content) or path.rpartition(".")[2]
    if not isinstance(name, str) or not name.isprintable():
        raise ConfigurationError(
            f"the name of the file for {path!r} must be text without control characters; give (name, file)"
        )
    kind = kind or getattr(given, "content_type", None) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    if not isinstance(kind, str) or not kind.isascii() or not kind.isprintable() or not _MEDIA_TYPE.match(kind):
        raise ConfigurationError(f"the content type of the file for {path!r} must be one such as 'application/pdf'")
    if getattr(content, "closed", False) is True:
        raise ConfigurationError(f"the file for {path!r} is closed; open it for each request")
    return name, content, kind


def _file_in(given: Any) -> Any:
    """Return the file that *given* wraps, such as a `NamedTemporaryFile` or a web framework's upload, or else *given*."""
    inner = given
    for _ in range(_MAX_WRAPPERS):
        if isinstance(inner, io.IOBase):
            return inner
        inner = getattr(inner, "file", None)
    return inner if isinstance(inner, io.IOBase) else given


def _can_be_sent(content: Any) -> bool:
    """Whether *content* is bytes or a file that aiohttp can send. Text is not: it may be a path that was not opened."""
    if isinstance(content, bytes | bytearray | memoryview | io.IOBase):
        return True
    try:
        return hasattr(content, "read") and get_payload(content) is not None
    except UnknownBodyError:
        return False


def _name_of(file: Any) -> str | None:
    """Return the last step of the name that *file* has: a file that was opened by number has that in its place."""
    for attribute in ("filename", "name"):
        name = getattr(file, attribute, None)
        if name and isinstance(name, str | bytes | os.PathLike):
            return os.path.basename(os.fsdecode(name))  # noqa: PTH119 - a name need not be a path
    return None


# -- whether it may be a mutation --------------------------------------------------------------------------------------


async def text_of(body: Any) -> str | None:
    """Return the text of a request's *body*, or ``None`` if it is long or no text, or is made while it is sent."""
    size = getattr(body, "size", None)
    # A file may still be being sent, and reading it would move it.
    if body.__class__ not in AT_HAND or not size or size > MAX_OPERATION:
        return None
    try:
        return bytes(await body.as_bytes()).decode()
    except UnicodeDecodeError:
        return None


# GraphQL specification, section 2.1: strings and comments may hold anything, so they are lexemes. In a string, one alternative
# alone fits each character, and a lone quote is the beginning of a string that is not closed: each character is read once,
# whatever the text is. Not by possessive quantifiers, which lose a match before Python 3.11.5.
_LEXEMES = re.compile(
    r'"""(?:[^"\\]|\\"""|\\(?!""")|"(?!""))*"""|"(?!"")(?:\\.|[^"\\\n])*"|["{}()]|#[^\n\r]*|[_A-Za-z][_0-9A-Za-z]*'
)
_KINDS = frozenset({"query", "mutation", "subscription", "fragment"})


def may_be_mutations(body: str | None) -> list[bool]:
    """Return for each request in the JSON *body*, one or a batch, whether it may ask for a mutation: also if it cannot be read."""
    requests = json_value(body or "")
    return [
        may_be_mutation(request) for request in (requests if requests and isinstance(requests, list) else [requests])
    ]


def may_be_mutation(request: Any) -> bool:
    """Whether the operation that runs may be a mutation."""
    try:
        text, chosen = request["query"], request.get("operationName")
        operations = list(_operations(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        return True
    return any(kind == "mutation" and (not chosen or name == chosen) for kind, name in operations)


def _operations(text: str) -> Iterator[tuple[str, str]]:
    """Yield kind and name of each definition. The shorthand ``{ ... }`` is a query, and has no kind."""
    depth, kind = 0, ""
    for match in _LEXEMES.finditer(text):
        lexeme = match[0]
        if lexeme == '"':
            raise ValueError("a string that is not closed")
        if lexeme in "{(":
            if depth == 0 and kind:
                yield kind, ""
                kind = ""
            depth += 1
        elif lexeme in "})":
            depth -= 1
        elif depth == 0 and kind and lexeme[0] not in '"#':
            yield kind, lexeme
            kind = ""
        elif depth == 0 and lexeme in _KINDS:
            kind = lexeme
