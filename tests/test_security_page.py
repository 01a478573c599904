"""The page about threats names tests that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / ".github" / "SECURITY.md"


def _tests_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def _rows() -> list[str]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith("| threat")]


def test_every_threat_names_a_test_that_exists() -> None:
    """Each row names at least one file of tests, and each test named after it is one of that file's."""
    rows = _rows()
    assert len(rows) > 20, "the page's tables were not found"
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)?(?:::(test_\w+))?`", row.rpartition(" | ")[2])
        file = None
        assert any(path for path, _ in named), row
        for path, test in named:
            file = ROOT / path if path else file
            assert file is not None, row
            assert file.is_file(), row
            assert not test or test in _tests_of(file), f"{file.name} has no {test}"


def test_the_readme_leads_to_the_page() -> None:
    """Whoever reads the README's security section finds the page."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Security\n")[2].partition("\n## ")[0]
    assert ".github/SECURITY.md" in section
