"""GraphQL documents: parsed and validated once, however often they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_operation_ast,
    parse,
    validate,
)

from ._schema import SCHEMA

MOST_TOKENS = 20_000
"""Lexical tokens that a document may have."""

_LONGEST_CACHED = 20_000


@dataclass(frozen=True, slots=True)
class Document:
    """A document with what is wrong with it; it can be executed if *errors* is empty."""

    tree: DocumentNode | None
    errors: tuple[GraphQLError, ...] = ()

    def root_fields(self, operation_name: str | None) -> frozenset[str]:
        """The names of the fields that the operation executes at its root, ``__typename`` apart."""
        operation = self._operation(operation_name)
        if operation is None or self.tree is None:
            return frozenset()
        names = _names(operation.selection_set, _fragments(self.tree))
        return frozenset(names) - {"__typename"}

    def logs_in(self, operation_name: str | None) -> bool:
        """Whether the operation is the ``login`` mutation and nothing else."""
        operation = self._operation(operation_name)
        return (
            operation is not None
            and operation.operation is OperationType.MUTATION
            and self.root_fields(operation_name) == {"login"}
        )

    def subscribes(self, operation_name: str | None) -> bool:
        """Whether the operation is a subscription."""
        operation = self._operation(operation_name)
        return operation is not None and operation.operation is OperationType.SUBSCRIPTION

    def _operation(self, name: str | None) -> OperationDefinitionNode | None:
        return None if self.tree is None or self.errors else get_operation_ast(self.tree, name)


def document(text: str) -> Document:
    """*text*, parsed and validated."""
    return _cached(text) if len(text) <= _LONGEST_CACHED else _read(text)


def _read(text: str) -> Document:
    try:
        tree = parse(text, max_tokens=MOST_TOKENS)
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


def _fragments(tree: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {node.name.value: node for node in tree.definitions if isinstance(node, FragmentDefinitionNode)}


def _names(selections: SelectionSetNode, fragments: dict[str, FragmentDefinitionNode]) -> Iterator[str]:
    """A validated document's fragments have no cycles."""
    for node in selections.selections:
        if isinstance(node, FieldNode):
            yield node.name.value
        elif isinstance(node, FragmentSpreadNode):
            yield from _names(fragments[node.name.value].selection_set, fragments)
        else:
            yield from _names(node.selection_set, fragments)  # type: ignore[attr-defined]  # an inline fragment
