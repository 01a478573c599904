"""
GraphQL over HTTP: a request's body, an answer's data, and its own way to refuse a token. Loaded on first use.

1. An answer of status 200 whose error has the code ``UNAUTHENTICATED`` is a refusal.
2. A mutation whose refusal carries data has taken effect, so it is not sent twice.
"""

from __future__ import annotations

import copy
import io
import json
import mimetypes
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from aiohttp import ClientRequest, ClientResponse, FormData, hdrs

from .._json import json_object
from .._options import shown
from .._redaction import mask_data, redacted
from ..errors import ApiError, BadRequestError, ConfigurationError, ForbiddenError, GraphQLError, UnauthorizedError
from .bodies import read_ahead
from .refusal import UNAUTHORIZED, IsUnauthorized, evaluate

MAX_GRAPHQL_ANSWER = 8 * 2**20
"""Bytes; a longer answer is not searched for a refusal."""

MAX_OPERATION = 2**19
"""Bytes; a longer request may be a mutation, whatever it says."""

_OK = 200
_DOCUMENTED_ERRORS: Mapping[int, type[ApiError]] = {400: BadRequestError, 401: UnauthorizedError, 403: ForbiddenError}
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+")
_GRAPHQL_TYPES = frozenset({"application/json", "application/graphql-response+json"})

# -- a request --------------------------------------------------------------------------------------------------------


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


def written(body: Any, dumps: JsonWriter = json.dumps) -> bytes:
    """Return *body* as JSON."""
    try:
        text = (_strict_dumps if dumps is json.dumps else dumps)(body)
        return text if isinstance(text, bytes) else text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        why = type(error).__name__  # its message may quote a variable
    raise ConfigurationError(f"variables cannot be written as JSON ({why}); give text, numbers, lists and mappings")


def multipart(body: dict[str, Any], files: Mapping[str, Any], dumps: JsonWriter = json.dumps) -> FormData:
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
    return form


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
    """Return name, content and content type of *file*: a file object, bytes, or a tuple that names them."""
    name, content, kind = (*file, None, None, None)[:3] if isinstance(file, tuple) else (None, file, None)
    if not isinstance(content, bytes | bytearray | memoryview | io.IOBase) and not hasattr(content, "read"):
        raise ConfigurationError(
            f"files holds {type(file).__name__} for {path!r}; give a file object, bytes, or (name, file[, type])"
        )
    name = name or os.path.basename(str(getattr(content, "name", None) or path.rpartition(".")[2]))  # noqa: PTH119 - a name need not be a path
    if not isinstance(name, str) or not name.isprintable():
        raise ConfigurationError(
            f"the name of the file for {path!r} must be text without control characters; give (name, file)"
        )
    kind = kind or mimetypes.guess_type(name)[0] or "application/octet-stream"
    if not isinstance(kind, str) or not kind.isascii() or not kind.isprintable() or not _MEDIA_TYPE.match(kind):
        raise ConfigurationError(f"the content type of the file for {path!r} must be one such as 'application/pdf'")
    if getattr(content, "closed", False) is True:
        raise ConfigurationError(f"the file for {path!r} is closed; open it for each request")
    return name, content, kind


# -- an answer --------------------------------------------------------------------------------------------------------


def outcome_of(status: int, content_type: str, body: bytes, secrets: Iterable[str] = ()) -> dict[str, Any] | ApiError:
    """
    Return the answer's ``data``, or its error: the documented `ApiError` by status, or `GraphQLError` for ``errors``.

    An API may repeat what it was sent, so that *secrets* are masked in all that an error holds. They are asked for only then.
    The error is not raised here, where the body is: error trackers show the local variables of a traceback.
    """
    answer = json_object(body)
    errors, data = _errors_and_data(answer)
    if status == _OK and isinstance(data, dict) and not errors:
        return data
    secrets = list(secrets)
    message = redacted(_words(answer, errors), secrets)
    if status != _OK:
        kind = _DOCUMENTED_ERRORS.get(status, ApiError)
        return kind(message or f"the API answered {status}", status=status)
    if answer is None:
        what = redacted(content_type, secrets) or "something"
        return ApiError(f"the API answered with {what} that is not a JSON object", status=status)
    if not errors:
        return ApiError("the API answered without data and without errors", status=status)
    message = message or "the API answered with errors"
    shaped = [error if isinstance(error, dict) else {"message": str(error)} for error in errors]
    return GraphQLError(
        message,
        status=status,
        errors=mask_data(shaped, secrets) or [{"message": message}],
        data=mask_data(data, secrets) if isinstance(data, dict) else None,
    )


def _errors_and_data(answer: dict[str, Any] | None) -> tuple[list[Any], Any]:
    return ([], None) if answer is None else (_as_list(answer.get("errors")), answer.get("data"))


def _words(answer: dict[str, Any] | None, errors: list[Any]) -> str:
    """Return the answer's own words: ``{"error": "..."}`` as documented, or the first GraphQL error's message."""
    first = errors[0] if errors else None
    said = (answer or {}).get("error") or (first.get("message") if isinstance(first, dict) else first)
    return str(said) if said else ""


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


# -- a refusal --------------------------------------------------------------------------------------------------------


async def graphql_unauthenticated(response: ClientResponse) -> bool:
    """
    Whether *response* is a 401, or a GraphQL answer of status 200 with an error of ``extensions.code`` ``UNAUTHENTICATED``.

    For ``is_unauthorized=``. The body stays readable, as text, JSON and stream.
    """
    return response.status == UNAUTHORIZED or await _refused_in_body(response)


def or_unauthenticated(test: IsUnauthorized | None) -> IsUnauthorized:
    """Return a test for GraphQL's own refusal, and for what *test* says in addition."""
    if test is None:
        return graphql_unauthenticated

    async def either(response: ClientResponse) -> bool:
        return await evaluate(test, response) or await graphql_unauthenticated(response)

    return either


async def _refused_in_body(response: ClientResponse) -> bool:
    if not _may_be_graphql(response):
        return False
    body = await read_ahead(response, MAX_GRAPHQL_ANSWER)
    if body is None or b"UNAUTHENTICATED" not in body:  # parsing every answer would cost every request
        return False
    errors = (json_object(body) or {}).get("errors")
    return isinstance(errors, list) and any(_code_of(error) == "UNAUTHENTICATED" for error in errors)


def _code_of(error: object) -> object:
    extensions = error.get("extensions") if isinstance(error, dict) else None
    return extensions.get("code") if isinstance(extensions, dict) else None


def _may_be_graphql(response: ClientResponse) -> bool:
    short = (response.content_length or 0) <= MAX_GRAPHQL_ANSWER
    return response.status == _OK and response.content_type in _GRAPHQL_TYPES and short


async def mutation_took_effect(request: ClientRequest, response: ClientResponse) -> bool:
    """Whether a refusal carries data of what may be a mutation."""
    if not _may_be_graphql(response) or request.method == hdrs.METH_GET:
        return False
    data = (json_object(await read_ahead(response, MAX_GRAPHQL_ANSWER) or b"") or {}).get("data")
    if not isinstance(data, dict) or all(value is None for value in data.values()):
        return False
    return may_contain_mutation(await _text_of(request.body))


async def _text_of(body: Any) -> str | None:
    """Return the text of a request's *body*, or ``None`` if it is long, or cannot be read again."""
    size = getattr(body, "size", None)  # a file to upload is read no further for this
    if not size or size > MAX_OPERATION:
        return None
    try:
        return bytes(await body.as_bytes()).decode()
    except Exception:  # noqa: BLE001 - a payload may be the application's, and say so in any way
        return None


# GraphQL specification, section 2.1: strings and comments may hold anything, so they are lexemes. Possessive quantifiers, and
# a lone quote as the beginning of a string that is not closed: each character is read once, whatever the server's text is.
_LEXEMES = re.compile(
    r'"""(?:\\"""|(?!""")[\s\S])*+"""|"(?!"")(?:\\.|[^"\\\n])*+"|["{}()]|#[^\n\r]*|[_A-Za-z][_0-9A-Za-z]*'
)
_KINDS = frozenset({"query", "mutation", "subscription", "fragment"})


def may_contain_mutation(body: str | None) -> bool:
    """Whether the JSON request *body* asks for a mutation; true also if it cannot be read."""
    try:
        request = json.loads(body or "")
        text, chosen = request["query"], request.get("operationName")
        operations = list(_operations(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
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
