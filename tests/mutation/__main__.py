"""
The results of ``mutmut run``, module by module: ``python -m tests.mutation``, in the folder in which it ran.

Fails if a mutant survived that ``survivors.toml`` does not judge, if one has no result, or if fewer than `KILLED_AT_LEAST` of
those that pass the type checker were killed; a judged survivor counts as not killed.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

KILLED_AT_LEAST = 0.9
JUDGEMENTS = ("equivalent", "wording")
COLUMNS = ("mutants", "mistyped", "killed", "timeout", "survived", "judged", "open")
_TIMEOUTS = (-24, 24, 36, 152, 255)
_OUTCOMES = {0: "survived", 5: "survived", 33: "survived", 1: "killed", 3: "killed", 37: "mistyped"} | dict.fromkeys(
    _TIMEOUTS, "timeout"
)
"""By mutmut's exit code: a mutant that no test reaches has survived; any other code is examined by hand."""
_MANGLED = re.compile(r"\bx\w*__mutmut_\w+")


class Mutant(NamedTuple):
    """A line of a function before and after the change, or all lines of a longer expression."""

    function: str
    before: str
    after: str


def found(folder: Path) -> Iterator[tuple[str, Mutant, str]]:
    """Yield the module, the mutant and its outcome, for each result of mutmut in *folder*."""
    for kept in sorted(folder.rglob("*.py.meta")):
        source = kept.with_suffix("")
        lines = source.read_text().splitlines()
        spans = json.loads(Path(f"{source}.spans").read_text())["spans"]
        for name, code in json.loads(kept.read_text())["exit_code_by_key"].items():
            module, _, mangled = name.rpartition(".")
            original = mangled.rpartition("__mutmut_")[0]
            before, after = _change(_body(lines, spans[f"{original}__mutmut_orig"]), _body(lines, spans[mangled]))
            yield module, Mutant(f"{module}.{_named(original)}", before, after), _OUTCOMES.get(code, "open")


def judged(file: Path) -> set[Mutant]:
    """Return the survivors of *file*, each of which must have a judgement and a reason."""
    entries = tomllib.loads(file.read_text())["survivor"]
    for entry in entries:
        if entry["judgement"] not in JUDGEMENTS or not entry["reason"].strip():
            sys.exit(f"the judgement is one of {JUDGEMENTS}, for a reason: {entry}")
    return {Mutant(entry["function"], entry["before"], entry["after"]) for entry in entries}


def _named(mangled: str) -> str:
    """Return ``x_name`` or ``xǁClassǁname`` as the source names it."""
    return mangled[2:].replace("ǁ", ".")


def _body(lines: list[str], span: list[int]) -> list[str]:
    """Return a function's lines without its name, which differs between mutants."""
    return [_MANGLED.sub("", line.strip()) for line in lines[span[0] - 1 : span[1]]]


def _change(before: list[str], after: list[str]) -> tuple[str, str]:
    """Return the lines that differ: one run of them, as a mutant is one change."""
    while before and after and before[0] == after[0]:
        before, after = before[1:], after[1:]
    while before and after and before[-1] == after[-1]:
        before, after = before[:-1], after[:-1]
    return " ".join(before), " ".join(after)


def _share(counts: Counter[str]) -> float:
    """Return the share of mutants that tests killed, of those that they should."""
    tried = counts["mutants"] - counts["mistyped"]
    return (counts["killed"] + counts["timeout"]) / tried if tried else 1.0


def main() -> int:
    """Print the table and the mutants that need a judgement; return 1 if there are any."""
    known = judged(Path(__file__).with_name("survivors.toml"))
    table: dict[str, Counter[str]] = {}
    unjudged = set()
    for module, mutant, outcome in found(Path("mutants")):
        counts = table.setdefault(module, Counter())
        counts.update(["mutants", outcome])
        if outcome == "survived":
            counts["judged"] += mutant in known
            unjudged |= {mutant} - known
    if not table:
        sys.exit("no results here; run: mutmut run")
    table["all"] = sum(table.values(), Counter())
    shares = {module: _share(counts) for module, counts in table.items()}
    print(f"{'':39}", *(f"{column:>8}" for column in (*COLUMNS, "share")))
    for module, counts in table.items():
        print(f"{module:39}", *(f"{counts[column]:8}" for column in COLUMNS), f"{shares[module]:8.1%}")
    for mutant in sorted(unjudged):
        print(f"not judged: {mutant.function}\n  - {mutant.before}\n  + {mutant.after}")
    return int(bool(unjudged) or table["all"]["open"] > 0 or shares["all"] < KILLED_AT_LEAST)


if __name__ == "__main__":
    sys.exit(main())
