"""
What a GraphQL answer says: its data, its errors, or that it refuses the token. Loaded on first use.

`Answer` decides that wherever it matters: in `AuthSession.graphql`, in the test that applications give to ``is_unauthorized=``, and
in the middleware before it sends a request again.

1. An answer is a refusal if one of its errors has the code ``UNAUTHENTICATED``. A batch is one if an answer in it is.
2. A mutation whose refusal carries data has taken effect, so it is not sent twice.
3. `AuthSession.graphql` reads its answer in any case, and looks at it under any status and content type. Any other answer
   may be a stream or a download, so that only JSON of status 200 is looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

from aiohttp import ClientRequest, ClientResponse, hdrs

from .._json import json_value
from .._redaction import mask_data, redacted
from ..errors import ApiError, BadRequestError, ForbiddenError, GraphQLError, UnauthorizedError
from ..logins._words import DESCRIPTIONS, words_in, words_of
from .bodies import read_ahead
from .graphql_request import may_be_mutations, text_of
from .internals.answers import decoded, encoding_left_on
from .refusal import MAX_JUDGED_BODY, UNAUTHORIZED, IsUnauthorized, evaluate

MAX_DECODED = 64 * 2**20
"""Bytes of an answer to `AuthSession.graphql` that aiohttp has left compressed: a small one may become very long."""

ANSWERED = "the API answered"
"""The beginning of an error's message where the answer has no words: its status follows, or what is wrong with it."""

_OK = 200
_DOCUMENTED_ERRORS: Mapping[int, type[ApiError]] = {400: BadRequestError, 401: UnauthorizedError, 403: ForbiddenError}
_GRAPHQL_TYPES = frozenset({"application/json", "application/graphql-response+json", "application/graphql+json"})
_REFUSED = "UNAUTHENTICATED"
_CHECK_URL = "check that the endpoint is the GraphQL URL of the API"


class Answer(NamedTuple):
    """What one GraphQL answer says (GraphQL specification, section 7.1), or the API's own ``{"error": "..."}``."""

    data: dict[str, Any] | None
    errors: list[Any]
    words: str
    """Its own words: those documented for the API, or the first error's message, or what else servers write for people."""

    @classmethod
    def of(cls, payload: Any) -> Self:
        """Return what *payload*, parsed JSON, says; nothing if it is not an object."""
        members = payload if isinstance(payload, dict) else {}
        data, errors = members.get("data"), members.get("errors")
        errors = errors if isinstance(errors, list) else [errors] if errors else []
        words = words_in(members, ("error", "errors", *DESCRIPTIONS)) or str(members.get("error") or "")
        return cls(data if isinstance(data, dict) else None, errors, words)

    @property
    def refuses(self) -> bool:
        """Whether an error says that the token is refused."""
        return refuses_token(self.errors)

    @property
    def has_effect(self) -> bool:
        """Whether one of its fields is there: of a mutation, that field was carried out."""
        return self.data is not None and any(value is not None for value in self.data.values())


def refuses_token(errors: Iterable[object]) -> bool:
    """Whether one of *errors* says that the token is refused."""
    return any(_code_of(error) == _REFUSED for error in errors)


def _code_of(error: object) -> object:
    extensions = error.get("extensions") if isinstance(error, dict) else None
    return extensions.get("code") if isinstance(extensions, dict) else None


def answers_in(body: bytes | None) -> list[Answer]:
    """Return the answers in *body*: those of a batch, or one."""
    payload = json_value(body or b"")
    return [Answer.of(part) for part in (payload if isinstance(payload, list) else [payload])]


def decoded_body(response: ClientResponse, body: bytes | None, limit: int = MAX_DECODED) -> bytes | None:
    """Return the *body* of *response* as with ``auto_decompress=True``; ``None`` if that is impossible or more than *limit* bytes."""
    encoding = encoding_left_on(response)
    # Caches and recorders keep the header of a body that they have decoded. What is JSON is not compressed.
    if not body or not encoding or json_value(body) is not None:
        return body
    return decoded(body, encoding, limit)


def is_success(status: int) -> bool:
    """Whether data of an answer with *status* is a result (GraphQL over HTTP gives it under any 2xx)."""
    return _OK <= status < 300  # noqa: PLR2004 - RFC 9110, section 15.3


# -- the outcome of `AuthSession.graphql` -------------------------------------------------------------------------------


def outcome_of(
    status: int,
    content_type: str,
    body: bytes | None,
    secrets: Iterable[str] = (),
    *,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any] | ApiError:
    """
    Return the answer's ``data``, or its error: the documented `ApiError` by status, or `GraphQLError` for ``errors``.

    The *headers* may say when to ask again. The *body* is ``None`` if it cannot be decoded. An API may repeat what it was sent,
    so that *secrets* are masked in all that an error holds. They are asked for only then. The error is not raised here, where
    the body is: error trackers show the local variables of a traceback.
    """
    payload = json_value(body or b"")
    answer = Answer.of(payload)
    if is_success(status) and answer.data is not None and not answer.errors:
        return answer.data
    from ..logins._http_dates import retry_after  # noqa: PLC0415 - few answers are errors

    answered: dict[str, Any] = {"status": status, "retry_after": retry_after(headers)}
    secrets = list(secrets)
    words = (
        answer.words
        if payload is not None
        else words_of(None, content_type.lower(), (body or b"").decode(errors="replace"))
    )
    message = redacted(words, secrets)
    if not is_success(status) and not (answer.refuses and answer.has_effect):
        of_status = _DOCUMENTED_ERRORS.get(status, ApiError)
        return of_status(message or f"{ANSWERED} {status}", **answered)
    if body is None:
        sentence = "the API's answer cannot be decoded here; create the session without auto_decompress=False"
        return ApiError(sentence, **answered)
    if not isinstance(payload, dict):
        kind = redacted(content_type, secrets)
        what = repr(kind) if kind else "something"
        return ApiError(f"{ANSWERED} with {what} that is not a JSON object; {_CHECK_URL}", **answered)
    if not answer.errors:
        return ApiError(f"{ANSWERED} without data and without errors; {_CHECK_URL}", **answered)
    message = message or f"{ANSWERED} with errors"
    shaped = [error if isinstance(error, dict) else {"message": str(error)} for error in answer.errors]
    return GraphQLError(
        message,
        errors=mask_data(shaped, secrets) or [{"message": message}],
        data=mask_data(answer.data, secrets),
        **answered,
    )


# -- a refusal --------------------------------------------------------------------------------------------------------


async def graphql_unauthenticated(response: ClientResponse) -> bool:
    """
    Return whether *response* is a 401, or a GraphQL answer of status 200 with the error code ``UNAUTHENTICATED``.

    Pass it as ``is_unauthorized=``. An answer in a batch counts too. The body stays readable, as text, JSON and stream. An answer
    that is longer than 8 MiB, or has not ended after a second, does not count as a refusal, because it may be a stream.
    """
    if response.status != _OK or response.content_type not in _GRAPHQL_TYPES:
        return response.status == UNAUTHORIZED
    return _refuses(response, await read_ahead(response, MAX_JUDGED_BODY), MAX_JUDGED_BODY)


graphql_unauthenticated.__module__ = "exterview_auth"


def or_refused_in_graphql(test: IsUnauthorized | None) -> IsUnauthorized:
    """Return a test for any refusal in the answer to `AuthSession.graphql`, and for what *test* says in addition."""

    async def either(response: ClientResponse) -> bool:
        if response.status == UNAUTHORIZED or _refuses(response, await read_ahead(response, sys.maxsize, None)):
            return True
        return test is not None and await evaluate(test, response)

    return either


def _refuses(response: ClientResponse, body: bytes | None, limit: int = MAX_DECODED) -> bool:
    text = decoded_body(response, body, limit)
    if text is None or _REFUSED.encode() not in text:  # parsing every answer would cost every request
        return False
    return any(answer.refuses for answer in answers_in(text))


async def mutations_in(request: ClientRequest) -> list[bool]:
    """Return for each operation in the body of *request* whether it may be a mutation."""
    return [] if request.method == hdrs.METH_GET else may_be_mutations(await text_of(request.body))


async def a_mutation_took_effect(asked: list[bool], response: ClientResponse) -> bool:
    """Whether a refusal, which has been read, carries data of what may be a mutation among the operations *asked* for."""
    answers = answers_in(decoded_body(response, await read_ahead(response, sys.maxsize)))
    if not is_success(response.status) and not any(answer.refuses for answer in answers):
        return False  # the application's own refusal, and an API that calls its words data
    if len(answers) != len(asked):
        asked = [True] * len(answers)  # which answer belongs to which request cannot be known
    return any(mutates and answer.has_effect for mutates, answer in zip(asked, answers, strict=True))
