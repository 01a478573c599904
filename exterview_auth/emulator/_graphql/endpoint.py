"""``POST /graphql``: GraphQL over HTTP, as JSON or by the GraphQL multipart request specification."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from aiohttp import web
from graphql import ExecutionResult, GraphQLError, execute

from .._guard import JSON, MULTIPART, media_type
from .._journal import answering
from .._responses import Refusal, json_response
from .._state import EmulatorState
from .._uploads import UploadedFile, parts, read_field, read_file, readable_form
from .documents import Document, OperationKind, document
from .schema import SCHEMA, resolve_field

_CODE = re.compile(r"[A-Z][A-Z_]{0,39}")
"""The code of a GraphQL error, as servers write it."""

_NO_SUCH_PLACE = "The operations have no place for a file of the map"


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """An operation as it was sent."""

    document: Document
    variables: dict[str, Any] | None
    operation_name: str | None

    @property
    def name(self) -> str | None:
        """The operation's name, or its first field: what the journal shows, and `Emulator.answer` takes."""
        return self.document.name_of(self.operation_name)

    @property
    def kind(self) -> OperationKind:
        """What the operation needs before it may be executed."""
        return self.document.kind_of(self.operation_name)

    async def execute(self, state: EmulatorState) -> dict[str, Any]:
        """Return the response by the GraphQL specification, section 7."""
        # First, because the schema need not know the operation.
        canned = state.answers.of(self.name)
        if canned is not None:
            return canned
        if self.document.tree is None or self.document.errors:
            return {"errors": [error.formatted for error in self.document.errors]}
        result = execute(
            SCHEMA,
            self.document.tree,
            context_value=state,
            variable_values=self.variables,
            operation_name=self.operation_name,
            field_resolver=resolve_field,
        )
        return formatted(await result if isawaitable(result) else result)


async def answer_graphql(state: EmulatorState, request: web.Request) -> web.Response:
    """Answer a request whose API key and content type are in order."""
    sent = await _read(state, request)
    kind = sent.kind
    if kind is OperationKind.LOGIN:
        async with state.login():
            return _answer(await sent.execute(state), headers={"Cache-Control": "no-store"})
    if kind is OperationKind.SUBSCRIPTION:
        return _answer(bad_request("Subscriptions need a WebSocket (graphql-transport-ws)"))
    if kind is OperationKind.LOGIN_AMONG_OTHERS:
        return _answer(bad_request("login must be sent alone, without other fields beside it"))
    return _answer(await sent.execute(state))


async def note_operation(state: EmulatorState, request: web.Request) -> None:
    """Note what a request asks for that is refused for its headers: a login with a wrong key shows as one in the journal."""
    if media_type(request) == JSON:
        state.note_operation(graphql_request(_parsed(await request.read(), "body")).name)


def graphql_request(content: Any) -> GraphQLRequest:
    """Return *content*, decoded JSON, as a request, or raise the 400."""
    if not isinstance(content, Mapping):
        raise Refusal(400, "The body must be a JSON object with a query; batches are not supported")
    query, variables, name = content.get("query"), content.get("variables"), content.get("operationName")
    if not isinstance(query, str) or not query.strip():
        raise Refusal(400, "The query is missing")
    if not isinstance(variables, dict | None):
        raise Refusal(400, "The variables must be a JSON object")
    if not isinstance(name, str | None):
        raise Refusal(400, "The operationName must be a string")
    return GraphQLRequest(document(query), variables, name or None)


def formatted(result: ExecutionResult) -> dict[str, Any]:
    """Return *result* as the client gets it."""
    errors = [error.formatted for error in result.errors or ()]
    return {"errors": errors, "data": result.data} if errors else {"data": result.data}


def bad_request(message: str) -> dict[str, Any]:
    """Return a response with one error and no data, for an operation that is sent in the wrong way."""
    return {"errors": [GraphQLError(message, extensions={"code": "BAD_REQUEST"}).formatted]}


def _answer(content: dict[str, Any], headers: Mapping[str, str] | None = None) -> web.Response:
    """Return the response, and note in the journal why it has errors: the code of the first one."""
    if errors := content.get("errors"):
        code = (errors[0].get("extensions") or {}).get("code")
        # No message, because messages quote the request.
        answering().reason = (
            code if isinstance(code, str) and _CODE.fullmatch(code) else "The answer has GraphQL errors"
        )
    return json_response(content, headers=headers)


async def _read(state: EmulatorState, request: web.Request) -> GraphQLRequest:
    """Return the request's operation; only a login passes without a bearer token."""
    # An upload is refused before its body is read, so that a client with an expired token does not send it in vain. A JSON
    # body must be read first: only the operation in it shows whether a token is needed.
    if media_type(request) == MULTIPART:
        state.authorize(request)
        sent = graphql_request(await _read_multipart(request))
        state.note_operation(sent.name)
        return sent
    body = await request.read()
    try:
        sent = graphql_request(_parsed(body, "body"))
    except Refusal:
        # A request with an invalid token and a malformed body is answered 401, like any other with that token.
        state.authorize(request)
        raise
    state.note_operation(sent.name)
    if sent.kind is not OperationKind.LOGIN:
        state.authorize(request)
    return sent


async def _read_multipart(request: web.Request) -> Any:
    """Return the part ``operations`` with each file in the place that the part ``map`` gives it."""
    fields: dict[str, Any] = {}
    files: dict[str, UploadedFile] = {}
    with readable_form():
        async for name, part in parts(request):
            if name in {"operations", "map"}:
                fields[name] = _parsed(await read_field(part), f"part {name!r}")
            elif "map" in fields:
                files[name] = await read_file(part, request)
            else:
                raise Refusal(400, "The parts must come in the order operations, map, files")
    for name in ("operations", "map"):
        if name not in fields:
            raise Refusal(400, f"The part {name!r} is missing")
    for name, paths in _checked_map(fields["map"]).items():
        if name not in files:
            raise Refusal(400, f"The file {name!r} of the map is missing", reason="A file of the map is missing")
        for path in paths:
            _put(fields["operations"], path, files[name])
    return fields["operations"]


def _parsed(text: bytes | str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Refusal(400, f"The {what} is not valid JSON") from None


def _checked_map(content: Any) -> dict[str, list[str]]:
    if not isinstance(content, dict) or not all(
        isinstance(paths, list) and all(isinstance(path, str) for path in paths) for paths in content.values()
    ):
        raise Refusal(400, "The part 'map' must be an object of lists of paths")
    return content


def _put(operations: Any, path: str, file: UploadedFile) -> None:
    """Replace the ``null`` at *path* (keys and list indices, separated by dots) with *file*."""
    *ancestors, last = path.split(".")
    target = operations
    try:
        for key in ancestors:
            target = target[_index(target, key)]
        place = _index(target, last)
        if target[place] is not None:
            raise Refusal(400, f"The operations have no null at {path!r}", reason=_NO_SUCH_PLACE)
        target[place] = file
    except (KeyError, IndexError, TypeError, ValueError):
        raise Refusal(400, f"The operations do not contain {path!r}", reason=_NO_SUCH_PLACE) from None


def _index(container: Any, key: str) -> Any:
    return int(key) if isinstance(container, list) else key
