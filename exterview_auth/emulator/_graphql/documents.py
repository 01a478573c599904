"""GraphQL documents: parsed and validated once, however often they are sent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationType,
    SelectionSetNode,
    get_operation_ast,
    parse,
    validate,
)

from .schema import SCHEMA

MOST_LEXICAL_TOKENS = 20_000
"""How many a document may have; the engine's own limit on its size."""

# A client sends the same few documents again and again. Longer ones are rare, and would only fill the memory.
_LONGEST_CACHED = 20_000


class OperationKind(Enum):
    """What an operation needs before it may be executed."""

    LOGIN = auto()
    """The ``login`` mutation alone: an API key is enough."""

    LOGIN_AMONG_OTHERS = auto()
    """``login`` beside other fields: refused, whoever sends it."""

    SUBSCRIPTION = auto()
    """A WebSocket."""

    OTHER = auto()
    """A bearer token, as every request."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document with what is wrong with it. It can be executed if *errors* is empty."""

    tree: DocumentNode | None
    errors: tuple[GraphQLError, ...] = ()

    def name_of(self, operation_name: str | None) -> str | None:
        """Return the name of the operation, or its first field if it has no name; ``None`` if there is no such operation."""
        operation = None if self.tree is None else get_operation_ast(self.tree, operation_name)
        if operation is None:
            return None
        first = operation.selection_set.selections[0]
        name = operation.name or (first.name if isinstance(first, FieldNode) else None)
        return None if name is None else name.value

    def kind_of(self, operation_name: str | None) -> OperationKind:
        """Return the kind of the operation of that name; a document that cannot be executed has none but `OTHER`."""
        operation = None if self.tree is None or self.errors else get_operation_ast(self.tree, operation_name)
        if self.tree is None or operation is None:
            return OperationKind.OTHER
        if operation.operation is OperationType.SUBSCRIPTION:
            return OperationKind.SUBSCRIPTION
        # Fragments count: a login must not pass the guard, nor another field beside it, because it is written as a spread.
        fragments = {
            node.name.value: node for node in self.tree.definitions if isinstance(node, FragmentDefinitionNode)
        }
        fields = _field_names(operation.selection_set, fragments) - {"__typename"}
        if "login" not in fields:
            return OperationKind.OTHER
        return OperationKind.LOGIN if fields == {"login"} else OperationKind.LOGIN_AMONG_OTHERS


def document(text: str) -> Document:
    """Return *text* parsed and validated."""
    return _cached(text) if len(text) <= _LONGEST_CACHED else _read(text)


def _read(text: str) -> Document:
    try:
        tree = parse(text, max_tokens=MOST_LEXICAL_TOKENS)
    except GraphQLError as error:
        error.extensions = {"code": "GRAPHQL_PARSE_FAILED"}
        return Document(None, (error,))
    except RecursionError:  # graphql-core before 3.3 does not turn it into a GraphQLError
        return Document(None, (GraphQLError("The document is nested too deeply."),))
    errors = tuple(validate(SCHEMA, tree))
    for finding in errors:
        finding.extensions = {"code": "GRAPHQL_VALIDATION_FAILED"}
    return Document(tree, errors)


_cached = lru_cache(maxsize=512)(_read)


def _field_names(selections: SelectionSetNode, unread: dict[str, FragmentDefinitionNode]) -> set[str]:
    """Return the fields of *selections* and of the fragments spread there; what is read is taken out of *unread*."""
    found: set[str] = set()
    left = [selections]
    while left:
        for node in left.pop().selections:
            if isinstance(node, FieldNode):
                found.add(node.name.value)
            elif not isinstance(node, FragmentSpreadNode):
                left.append(node.selection_set)  # type: ignore[attr-defined]  # an inline fragment
            # Each fragment once: fragments that spread the next one twice double with every level.
            elif fragment := unread.pop(node.name.value, None):
                left.append(fragment.selection_set)
    return found
