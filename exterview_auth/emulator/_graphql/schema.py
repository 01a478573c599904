"""The schema (`schema.graphql`), tied to its resolvers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    build_schema,
)

from .._state import EmulatorState
from .resolvers import RESOLVERS, SUBSCRIPTIONS, item

# The schema has the API's names (`dateAndTime`, `_id`); records and resolvers have Python's. They are translated here, once
# for all fields and arguments, so that no resolver is needed where a record has the value already.
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@cache
def python_name(name: str) -> str:
    """Return ``date_and_time`` for ``dateAndTime``, and ``id`` for ``_id``."""
    return _CAPITAL.sub("_", name).lower().removeprefix("_")


def resolve_field(source: Any, info: GraphQLResolveInfo[EmulatorState], **_arguments: Any) -> Any:
    """Return the attribute, or the key, with the field's name: the resolver of every field that has no other."""
    name = python_name(info.field_name)
    return source[name] if isinstance(source, dict) else getattr(source, name)


def _build() -> GraphQLSchema:
    schema = build_schema(files(__package__).joinpath("schema.graphql").read_text(encoding="utf-8"))
    for argument, name in _arguments_of(schema):
        argument.out_name = python_name(name)
    for path, resolver in RESOLVERS.items():
        _field(schema, path).resolve = resolver
    for path, subscription in SUBSCRIPTIONS.items():
        # The engine calls `subscribe` once for the stream, then `resolve` with each item of it.
        field = _field(schema, path)
        field.subscribe, field.resolve = subscription, item
    return schema


def _field(schema: GraphQLSchema, path: str) -> GraphQLField:
    type_name, _, name = path.partition(".")
    kind = schema.type_map[type_name]
    assert isinstance(kind, GraphQLObjectType)
    field: GraphQLField = kind.fields[name]
    return field


def _arguments_of(schema: GraphQLSchema) -> Iterator[tuple[GraphQLArgument | GraphQLInputField, str]]:
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLInputObjectType):
            yield from ((field, name) for name, field in kind.fields.items())
        elif isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
            yield from ((argument, name) for field in kind.fields.values() for name, argument in field.args.items())


SCHEMA = _build()
