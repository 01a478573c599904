"""The schema (`_schema.graphql`), tied to its resolvers."""

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

from . import _resolvers, _streams
from ._state import EmulatorState

_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@cache
def python_name(name: str) -> str:
    """``dateAndTime`` as ``date_and_time``; ``_id`` is ``id``."""
    return _CAPITAL.sub("_", name).lower().removeprefix("_")


def resolve_field(source: Any, info: GraphQLResolveInfo[EmulatorState], **_arguments: Any) -> Any:
    """The default resolver: the attribute, or the key, of that name."""
    name = python_name(info.field_name)
    return source[name] if isinstance(source, dict) else getattr(source, name)


def _built() -> GraphQLSchema:
    schema = build_schema(files(__package__).joinpath("_schema.graphql").read_text(encoding="utf-8"))
    for argument, name in _arguments(schema):
        argument.out_name = python_name(name)
    for path, resolver in _resolvers.RESOLVERS.items():
        _field(schema, path).resolve = resolver
    for path, stream in _streams.STREAMS.items():
        field = _field(schema, path)
        field.subscribe, field.resolve = stream, _streams.item
    return schema


def _field(schema: GraphQLSchema, path: str) -> GraphQLField:
    type_name, _, name = path.partition(".")
    kind = schema.type_map[type_name]
    assert isinstance(kind, GraphQLObjectType)
    field: GraphQLField = kind.fields[name]
    return field


def _arguments(schema: GraphQLSchema) -> Iterator[tuple[GraphQLArgument | GraphQLInputField, str]]:
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLInputObjectType):
            yield from ((field, name) for name, field in kind.fields.items())
        elif isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
            yield from ((argument, name) for field in kind.fields.values() for name, argument in field.args.items())


SCHEMA = _built()
