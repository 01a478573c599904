"""Whether a GraphQL request may contain a mutation."""

from __future__ import annotations

import json

import pytest
from graphql import OperationDefinitionNode, OperationType, parse
from hypothesis import given
from hypothesis import strategies as st

from exterview_auth._aiohttp.graphql_request import may_be_mutations

HARMLESS = ["A", "B", "interviews", "query_", "mutation2"]
KEYWORDS = ["query", "mutation", "subscription", "fragment"]


def may_mutate(text: str, name: str | None = None) -> bool:
    """Return `may_be_mutations` of a request as the client sends it."""
    body: dict[str, str] = {"query": text}
    if name is not None:
        body["operationName"] = name
    [found] = may_be_mutations(json.dumps(body))
    return found


def documents(names: list[str]) -> st.SearchStrategy[str]:
    """Valid documents whose names come from *names*, with everything in them that could mislead a search for words."""
    name = st.sampled_from(names)
    field = st.one_of(
        name,
        st.builds('{}(text: "mutation {{ }}")'.format, name),
        st.builds('{}(text: """ }} mutation \\""" X {{ """)'.format, name),
        st.builds("{} {{ {} }}".format, name, name),
        st.builds("{} # mutation }}\n".format, name),
        st.builds("... on {} {{ {} }}".format, name, name),
    )
    body = st.builds(lambda fields: "{ " + " ".join(fields) + " }", st.lists(field, min_size=1, max_size=3))
    variables = st.sampled_from(["", '($v: In = {a: [{b: 1}], c: "}"})', "($v: [Int!]!, $w: String)"])
    kind = st.sampled_from(["query", "mutation", "subscription"])
    operation = st.builds("{} {}{} {}".format, kind, name | st.just(""), variables, body)
    fragment = st.builds("fragment {} on {} {}".format, name, name, body)
    definitions = st.lists(operation | fragment | body, min_size=1, max_size=4)
    return definitions.map("\n".join)


def mutates(text: str, name: str | None = None) -> bool:
    """Return what graphql-core says."""
    return any(
        isinstance(node, OperationDefinitionNode)
        and node.operation is OperationType.MUTATION
        and (name is None or (node.name is not None and node.name.value == name))
        for node in parse(text, no_location=True).definitions
    )


@given(documents(HARMLESS), st.none() | st.sampled_from(HARMLESS))
def test_it_agrees_with_a_real_parser(text: str, name: str | None) -> None:
    """For any valid document, with or without an operation's name."""
    assert may_mutate(text, name) == mutates(text, name)


@given(documents([*HARMLESS, *KEYWORDS]), st.none() | st.sampled_from([*HARMLESS, *KEYWORDS]))
def test_no_name_hides_a_mutation(text: str, name: str | None) -> None:
    """Keywords are legal names in GraphQL; whatever a definition is called, a mutation is seen."""
    assert may_mutate(text, name) or not mutates(text, name)


@pytest.mark.parametrize(
    "text",
    ["{ a }", "query { a }", "query Q { mutation }", "subscription { a }", "# mutation\n{ a }", "", '{ a(b: "mutation") }',
     "query Q @live(if: true) { a }", "{ a { mutation { b } } }", "fragment F on T { mutation }"],
)  # fmt: skip
def test_a_query_is_not_taken_for_a_mutation(text: str) -> None:
    """A query is repeated after a refusal; the word inside names, strings, comments and selections does not count."""
    assert not may_mutate(text)


@pytest.mark.parametrize(
    "text",
    ["mutation { a }", "mutation M { a }", "query Q { a } mutation M { b }", "mutation M @live { a }", "mutation{a}",
     "fragment F on T { a }\nmutation { ...F }", "\ufeffmutation { a }", '"doc" mutation { a }', "{ a } mutation { b }",
     'mutation($a: String = "}{") { a }', "# query\nmutation { a }", "mutation # {\n { a }",
     "mutation query { a }", "mutation fragment { a }", "mutation subscription($a: Int) { a }"],
)  # fmt: skip
def test_a_mutation_is_seen_wherever_it_stands(text: str) -> None:
    """The first word of a definition is its kind, whatever its name is; one mutation is enough."""
    assert may_mutate(text)


def test_the_operations_name_chooses() -> None:
    """Of several operations only the one that the request names is run."""
    both = "query Q { a } mutation M { b }"
    assert may_mutate(both, "M")
    assert not may_mutate(both, "Q")
    assert may_mutate(both)


@pytest.mark.parametrize("name", [None, ""])
def test_no_name_chooses_nothing(name: str | None) -> None:
    """Null and empty text name no operation: servers run the only one there is."""
    assert may_be_mutations(json.dumps({"query": "mutation M { a }", "operationName": name})) == [True]


@pytest.mark.parametrize(
    "body",
    [None, "", "no JSON", "[]", "[5]", "5", "null", '"{ a }"', "{}", '{"query": null}', '{"query": 5}',
     '{"query": ["{ a }"]}', "[" * 100_000, "--boundary\r\n\r\n{ a }"],
    ids=lambda body: str(body)[:12],
)  # fmt: skip
def test_a_body_that_cannot_be_read_may_contain_a_mutation(body: str | None) -> None:
    """A missing, foreign or damaged body is not sent twice."""
    assert may_be_mutations(body) == [True]


def test_each_request_of_a_batch_is_looked_at() -> None:
    """Only the parts of a batch that ask for a mutation, or cannot be read, may be one."""
    batch = [{"query": "{ a }"}, {"query": "mutation { a }"}, {"query": "{ b }"}, None, {"query": ""}]
    assert may_be_mutations(json.dumps(batch)) == [False, True, False, True, False]


@pytest.mark.parametrize(
    "text",
    ['{ a(b: "c) }', '{ a(b: "c\n") }', '{ a(b: "\\") }', '{ a(b: \'"\') }', '{ a(b: """c) }', '{ a(b: """c\\""") }',
     '{ a(b: """c"") }', '"', '"""', '""""', '"""x"' + '\\"""x"' * 3],
)  # fmt: skip
def test_a_string_that_is_not_closed_may_hide_a_mutation(text: str) -> None:
    """What follows cannot be known, so the document is not sent twice."""
    assert may_mutate(text)


@pytest.mark.parametrize(
    "text",
    ['{ a(b: "") }', '{ a(b: "\\"") }', '{ a(b: "\\\\") }', '{ a(b: """""") }', '{ a(b: """\\"""""") }', '{ a(b: """ " "" \\ """) }',
     '{ a(b: """\n}mutation\n""") }', '{ a(b: ["", "", """"""]) }', '{ a # "\n }', '{ a(b: "#") }', '{ a(b: """"c""") }'],
)  # fmt: skip
def test_a_string_ends_where_the_grammar_says(text: str) -> None:
    """Escapes, empty strings and quotes inside a block string: graphql-core reads the same document."""
    assert not mutates(text)
    assert not may_mutate(text)
    assert may_mutate(text + " mutation M { a }")
