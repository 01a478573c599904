"""The list of surviving mutants fits the package."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import exterview_auth
from tests.mutation.__main__ import JUDGEMENTS, Mutant, judged

LIST = Path(__file__).with_name("survivors.toml")
ROOT = Path(exterview_auth.__file__).parent.parent
ENTRY = '[[survivor]]\nfunction = "f"\nbefore = "a"\nafter = "b"\njudgement = "{}"\nreason = "{}"\n'


@cache
def _functions(module: str) -> dict[str, str]:
    """Return the source of each function of *module*, in one line, by its name within it."""
    source = ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text()
    tree = ast.parse(source)
    classes = [(f"{node.name}.", node.body) for node in tree.body if isinstance(node, ast.ClassDef)]
    return {
        prefix + node.name: _one_line(ast.get_source_segment(source, node) or "")
        for prefix, body in [("", tree.body), *classes]
        for node in body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _one_line(source: str) -> str:
    return " ".join(line.strip() for line in source.splitlines())


def _fits(mutant: Mutant) -> bool:
    """Return whether the line that *mutant* changes is still in its function."""
    parts = mutant.function.split(".")
    cut = next(at for at, part in enumerate(parts) if at and ROOT.joinpath(*parts[:at], f"{part}.py").is_file()) + 1
    source = _functions(".".join(parts[:cut])).get(".".join(parts[cut:]), "")
    # The list leaves out the name of a function, where its signature is what changes.
    return mutant.before in source.replace(f"def {parts[-1]}(", "def (")


def test_every_judgement_fits_the_package() -> None:
    """A judgement whose code has changed must be made again, or removed."""
    assert sorted(mutant for mutant in judged(LIST) if not _fits(mutant)) == []


def test_a_line_that_is_gone_is_noticed() -> None:
    """The check finds another line, and a function that does not exist."""
    known = next(iter(judged(LIST)))
    assert _fits(known)
    assert not _fits(known._replace(before="no such line"))
    assert not _fits(known._replace(function=f"{known.function}_gone"))


@pytest.mark.parametrize(("judgement", "reason"), [("perhaps", "because"), (JUDGEMENTS[0], " ")])
def test_a_judgement_has_a_kind_and_a_reason(tmp_path: Path, judgement: str, reason: str) -> None:
    """A judgement says which kind of difference the mutant makes, and why no test can show it."""
    file = tmp_path / "survivors.toml"
    file.write_text(ENTRY.format(judgement, reason))
    with pytest.raises(SystemExit, match="the judgement is one of"):
        judged(file)
    file.write_text(ENTRY.format(JUDGEMENTS[0], "because"))
    assert judged(file) == {Mutant("f", "a", "b")}
