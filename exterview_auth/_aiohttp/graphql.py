"""
GraphQL over HTTP: an answer's data, and its own way to refuse a token. Loaded on first use.

1. An answer of status 200 whose error has the code ``UNAUTHENTICATED`` is a refusal.
2. A mutation whose refusal carries data has taken effect, so it is not sent twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import ClientRequest, ClientResponse, hdrs

from .._json import json_object
from .._redaction import mask_data, redacted
from ..errors import ApiError, BadRequestError, ForbiddenError, GraphQLError, UnauthorizedError
from .bodies import read_ahead
from .graphql_request import may_contain_mutation, text_of
from .refusal import UNAUTHORIZED, IsUnauthorized, evaluate

MAX_GRAPHQL_ANSWER = 8 * 2**20
"""Bytes; a longer answer is not searched for a refusal."""

_OK = 200
_DOCUMENTED_ERRORS: Mapping[int, type[ApiError]] = {400: BadRequestError, 401: UnauthorizedError, 403: ForbiddenError}
_GRAPHQL_TYPES = frozenset({"application/json", "application/graphql-response+json"})


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
    return response.status == _OK and response.content_type in _GRAPHQL_TYPES


async def mutation_took_effect(request: ClientRequest, response: ClientResponse) -> bool:
    """Whether a refusal carries data of what may be a mutation."""
    if not _may_be_graphql(response) or request.method == hdrs.METH_GET:
        return False
    data = (json_object(await read_ahead(response, MAX_GRAPHQL_ANSWER) or b"") or {}).get("data")
    if not isinstance(data, dict) or all(value is None for value in data.values()):
        return False
    return may_contain_mutation(await text_of(request.body))
