"""Instructions are counted by valgrind, for each way to send a request; what is missing is named, with what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks.instructions import callgrind, scenario

from . import running

STATIC = "static headers"
FORMS = ("str URL", "relative URL", "bytes to a str URL")
COMPARED = {
    f"{STATIC} again": STATIC,
    "middleware that does nothing": STATIC,
    "middleware that sets two headers": STATIC,
    "aiohttp's documented middleware": STATIC,
    "ExterviewAuth": STATIC,
    "AuthSession": STATIC,
    "google-auth aio, bytes to a str URL": f"{STATIC}, bytes to a str URL",
    **{f"AuthSession, {form}": f"{STATIC}, {form}" for form in FORMS},
}
BLOCKS = """
import sys
from pathlib import Path
from benchmarks.instructions.callgrind import Counter
counter = Counter(Path(sys.argv[1]))
for name, size in (("once", 50_000), ("once again", 50_000), ("twice", 100_000)):
    numbers = list(range(size))
    with counter.counting(name):
        sum(numbers)
"""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """The functions that control the counter; where they cannot be made, the test fails in CI and is skipped elsewhere."""
    try:
        return callgrind.compiled(tmp_path)
    except SystemExit as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))


@pytest.fixture
def figures(library: Path) -> Any:
    return running.figures("instructions")


def test_each_way_to_send_a_request_is_counted_on_each_loop(figures: Any) -> None:
    """Each contestant has its instructions, and all but those with static headers are compared with the same request."""
    assert "asyncio" in figures
    for found in figures.values():
        assert set(found) == {*COMPARED, *COMPARED.values()}
        for name, one in found.items():
            assert one["instructions"]["min"] > 100_000
            assert ("more" in one) == ("ratio" in one) == (name in COMPARED)


def test_requests_are_compared_one_by_one() -> None:
    """Each count is compared with the one at its place among those with static headers."""
    more, ratios = scenario.compared([125, 400, 250], [100, 200, 200]).values()
    assert (more.median, more.low, more.high) == (50, 25, 200)
    assert (ratios.median, ratios.low, ratios.high) == (0.8, 0.5, 0.8)


def test_each_loop_has_a_table(figures: Any) -> None:
    """A table names its loop, and has a row for each contestant."""
    tables = running.quick("instructions").stdout.split("\ninstructions: ")[1:]
    assert [table.partition(";")[0] for table in tables] == list(figures)
    for table, found in zip(tables, figures.values(), strict=True):
        for name in found:
            assert sum(line.startswith(f"  {name}  ") for line in table.splitlines()) == 1


def test_the_same_block_has_the_same_count(library: Path, tmp_path: Path) -> None:
    """What is done twice costs twice as much, but for what Python does of itself."""
    found = tmp_path / "found"
    found.mkdir()
    program = (sys.executable, "-c", BLOCKS, str(library))
    subprocess.run(callgrind.command(found, *program), cwd=running.CHECKOUT, check=True, timeout=120)
    counts = callgrind.counts(found)
    assert set(counts) == {"once", "once again", "twice"}
    assert counts["once again"] == pytest.approx(counts["once"], rel=0.05)
    assert counts["twice"] == pytest.approx(2 * counts["once"], rel=0.05)


def test_a_process_that_is_not_under_valgrind_is_refused(library: Path) -> None:
    """Otherwise all counts would be missing in the end, without a reason."""
    with pytest.raises(RuntimeError, match="does not run under valgrind"):
        callgrind.Counter(library)


@pytest.mark.parametrize(
    ("installed", "sentence"),
    [
        ((), "needs valgrind: install valgrind (Debian: apt-get install valgrind)"),
        (("valgrind",), "needs a C compiler: install gcc (Debian: apt-get install gcc)"),
        (
            ("valgrind", "gcc"),
            "needs the header valgrind/callgrind.h: install valgrind (Debian: apt-get install valgrind)",
        ),
    ],
)
def test_what_is_missing_is_named_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    installed: tuple[str, ...],
    sentence: str,
) -> None:
    """One sentence says what to install; the scenarios before it do not run for nothing."""
    for name in installed:
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "cancel", "instructions", "--quick"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == f"The scenario instructions {sentence}"
    assert capsys.readouterr().out == ""


def test_a_missing_peer_is_named_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has rows of other libraries, which the extra `peers` brings."""
    monkeypatch.setitem(sys.modules, "google", None)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "instructions", "--quick"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == "The scenario instructions needs google: install exterview_auth with its extra `peers`"
