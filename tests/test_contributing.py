"""What CONTRIBUTING says of the code is so: its paths exist, its example runs, and each test states a rule."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
PLACES = (ROOT, ROOT / "exterview_auth")


def quoted() -> Iterator[str]:
    """Each path that the page quotes, without patterns and what a change creates."""
    for path in re.findall(r"`([\w./-]*/[\w.-]+\.(?:py|toml|html|css|js|yml)|[\w./-]+/)`", PAGE):
        if not path.startswith("stores/_postgres"):
            yield path


@pytest.mark.parametrize("path", sorted(set(quoted())))
def test_each_path_exists(path: str) -> None:
    """In the clone, or in the package."""
    assert any((place / path).exists() for place in PLACES)


def test_the_example_of_one_test_is_a_test() -> None:
    """The first command of the table runs as it is."""
    path, name = re.search(r"`python -m pytest (tests/\S+)::(\w+)`", PAGE).groups()  # type: ignore[union-attr]
    assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


def test_each_test_states_its_rule() -> None:
    """In a docstring, which begins with a capital or a quotation, and ends as a sentence does."""
    without = [
        f"{path.relative_to(ROOT)}::{node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        if not (ast.get_docstring(node) or "").rstrip().endswith((".", "?"))
    ]
    assert without == []
