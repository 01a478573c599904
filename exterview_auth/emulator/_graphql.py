"""``POST /graphql``: GraphQL over HTTP, as JSON or as a multipart request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from aiohttp import web
from graphql import ExecutionResult, GraphQLError, execute

from ._documents import Document, document
from ._guard import MULTIPART, media_type
from ._multipart_request import read_operations
from ._responses import Refusal, json_response
from ._schema import SCHEMA, resolve_field
from ._state import EmulatorState


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """An operation as it was sent."""

    document: Document
    variables: dict[str, Any] | None
    operation_name: str | None

    @property
    def logs_in(self) -> bool:
        """Whether it needs no bearer token."""
        return self.document.logs_in(self.operation_name)

    @property
    def includes_login(self) -> bool:
        """Whether ``login`` is among its fields."""
        return "login" in self.document.root_fields(self.operation_name)

    @property
    def subscribes(self) -> bool:
        """Whether it needs a WebSocket."""
        return self.document.subscribes(self.operation_name)

    async def execute(self, state: EmulatorState) -> dict[str, Any]:
        """The response, by the GraphQL specification, section 7."""
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
        return response(await result if isawaitable(result) else result)


def graphql_request(content: Any) -> GraphQLRequest:
    """*content*, decoded JSON, as a request; raises the 400 for what is none."""
    if not isinstance(content, Mapping):
        raise Refusal(400, "The body is a JSON object with a query; batches are not supported")
    query, variables, name = content.get("query"), content.get("variables"), content.get("operationName")
    if not isinstance(query, str) or not query.strip():
        raise Refusal(400, "The query is missing")
    if not isinstance(variables, dict | None):
        raise Refusal(400, "The variables are a JSON object")
    if not isinstance(name, str | None):
        raise Refusal(400, "The operationName is a string")
    return GraphQLRequest(document(query), variables, name or None)


def response(result: ExecutionResult) -> dict[str, Any]:
    """*result* as it goes out."""
    errors = [error.formatted for error in result.errors or ()]
    return {"errors": errors, "data": result.data} if errors else {"data": result.data}


def error_response(message: str) -> dict[str, Any]:
    """A response of one error, for what is sent in the wrong way, and no data."""
    return {"errors": [GraphQLError(message, extensions={"code": "BAD_REQUEST"}).formatted]}


async def answer_graphql(state: EmulatorState, request: web.Request) -> web.Response:
    """The answer to a request whose API key and content type are in order."""
    sent = await _read(state, request)
    if sent.logs_in:
        async with state.login():
            if refusal := state.faults.login_refusal():
                raise refusal
            return json_response(await sent.execute(state), headers={"Cache-Control": "no-store"})
    if sent.subscribes:
        return json_response(error_response("Subscriptions need a WebSocket (graphql-transport-ws)"))
    if sent.includes_login:
        return json_response(error_response("login is sent on its own, without other fields beside it"))
    return json_response(await sent.execute(state))


async def _read(state: EmulatorState, request: web.Request) -> GraphQLRequest:
    """
    The request's operation; only a login comes through without a bearer token.

    A file upload is refused before its body is read: a client that sends a dead token learns it early.
    """
    if media_type(request) == MULTIPART:
        state.guard.user(request)
        return graphql_request(await read_operations(request))
    body = await request.read()
    try:
        sent = graphql_request(_json(body))
    except Refusal:
        state.guard.user(request)
        raise
    if not sent.logs_in:
        state.guard.user(request)
    return sent


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "The body is not valid JSON") from None
