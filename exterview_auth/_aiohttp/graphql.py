"""GraphQL over HTTP: a request's body, an answer's data, and the documented errors as types."""

from __future__ import annotations

import copy
import io
import json
import mimetypes
import os
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from aiohttp import ClientResponse, FormData

from .._json import json_object
from ..errors import ApiError, BadRequestError, ConfigurationError, ForbiddenError, GraphQLError, UnauthorizedError

_DOCUMENTED: Mapping[int, type[ApiError]] = {400: BadRequestError, 401: UnauthorizedError, 403: ForbiddenError}
_OK = 200
_QUOTED = 500
"""Characters of an answer that an error's message quotes at most."""


def operation(query: str, variables: Mapping[str, Any] | None, name: str | None) -> dict[str, Any]:
    """The request's JSON (GraphQL over HTTP, "Request Parameters")."""
    if not isinstance(query, str) or not query.strip():
        raise ConfigurationError("query is a GraphQL document as text, and not empty")
    if variables is not None and not isinstance(variables, Mapping):
        raise ConfigurationError(f"variables is a mapping, not {type(variables).__name__}")
    if name is not None and not isinstance(name, str):
        raise ConfigurationError(f"operation_name is text, not {type(name).__name__}")
    body: dict[str, Any] = {"query": query}
    if variables is not None:
        body["variables"] = dict(variables)
    if name is not None:
        body["operationName"] = name
    return body


def multipart(body: dict[str, Any], files: Mapping[str, Any], dumps: Callable[[Any], str] = json.dumps) -> FormData:
    """The request as a form with *files* by the path of their variable (GraphQL multipart request specification)."""
    body = {**body, "variables": copy.copy(body.get("variables") or {})}
    paths = list(files)
    for path in paths:
        _put_null(body, path)
    form = FormData()
    form.add_field("operations", dumps(body), content_type="application/json")
    form.add_field("map", dumps({str(i): [path] for i, path in enumerate(paths)}), content_type="application/json")
    for i, path in enumerate(paths):
        name, content, kind = _named(files[path], path)
        form.add_field(str(i), content, filename=name, content_type=kind)
    return form


def _put_null(body: dict[str, Any], path: str) -> None:
    """Put null where the file belongs, in copies of what lies on the way."""
    steps = path.split(".") if isinstance(path, str) else []
    if len(steps) < 2 or steps[0] != "variables" or not all(steps):  # noqa: PLR2004 - "variables" and a name
        raise ConfigurationError(f"files has paths such as 'variables.file' for keys, not {path!r}")
    place: Any = body
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        key: Any = int(step) if isinstance(place, list) and step.isdecimal() else step
        try:
            found = place[key] if isinstance(place, list) else place.get(key)
            place[key] = None if after is None else _copied(found)
        except (IndexError, TypeError, AttributeError):
            raise ConfigurationError(f"files names {path!r}, which variables have no place for") from None
        place = place[key]


def _copied(value: Any) -> Any:
    """What a path leads through may be changed; a tuple is a JSON array too."""
    if value is None:
        return {}
    return list(value) if isinstance(value, tuple) else copy.copy(value)


def _named(file: Any, path: str) -> tuple[str, Any, str]:
    """Name, content and content type of *file*: a file object, bytes, or a pair or triple that says so."""
    name, content, kind = (*file, None, None, None)[:3] if isinstance(file, tuple) else (None, file, None)
    if not isinstance(content, bytes | bytearray | memoryview | io.IOBase) and not hasattr(content, "read"):
        raise ConfigurationError(
            f"files holds {type(file).__name__} for {path!r}; give a file object, bytes, or (name, file[, type])"
        )
    name = str(name or os.path.basename(str(getattr(content, "name", None) or path.rpartition(".")[2])))  # noqa: PTH119 - also for what is no path
    return name, content, kind or _guessed(name)


def _guessed(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


async def data_of(response: ClientResponse) -> dict[str, Any]:
    """The answer's ``data``; raises `ApiError`'s kinds for the documented statuses, `GraphQLError` for ``errors``."""
    body = await response.read()
    answer = json_object(body)
    if response.status != _OK:
        kind = _DOCUMENTED.get(response.status, ApiError)
        raise kind(_message(answer) or f"the API answered {response.status}", status=response.status)
    if answer is None:
        raise ApiError(f"the API answered with {response.content_type} that is no JSON object", status=response.status)
    errors, data = answer.get("errors"), answer.get("data")
    if errors:
        _raise_graphql(answer, errors, data, response.status)
    if not isinstance(data, dict):
        raise ApiError("the API answered without data and without errors", status=response.status)
    return data


def _raise_graphql(answer: dict[str, Any], errors: Any, data: Any, status: int) -> NoReturn:
    listed = [error if isinstance(error, dict) else {"message": str(error)} for error in _list(errors)]
    raise GraphQLError(
        _message(answer) or "the API answered with errors",
        status=status,
        errors=listed,
        data=data if isinstance(data, dict) else None,
    )


def _message(answer: dict[str, Any] | None) -> str | None:
    """The body's own words: ``{"error": "..."}`` as documented, or GraphQL's first error."""
    if answer is None:
        return None
    first = next(iter(_list(answer.get("errors"))), None)
    said = answer.get("error") or (first.get("message") if isinstance(first, dict) else first)
    return str(said)[:_QUOTED] if said else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []
