"""
Valgrind's tool callgrind: what it needs, how a process under it says what is counted, and the counts that it leaves.

Callgrind has no interface for Python. A C compiler makes a library of a few functions from the macros of its header, and
`Counter` calls them.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SOURCE = """
#include <valgrind/callgrind.h>
int is_running(void) { return RUNNING_ON_VALGRIND != 0; }
void start(void) { CALLGRIND_START_INSTRUMENTATION; }
void zero(void) { CALLGRIND_ZERO_STATS; }
void dump(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }
"""
_COMPILERS = ("gcc", "cc", "clang")
_TRIGGER = "desc: Trigger: Client Request: "
_TOTAL = "totals: "


def require() -> None:
    """Raise `SystemExit` with what to install if instructions cannot be counted here."""
    with tempfile.TemporaryDirectory() as directory:
        compiled(Path(directory))


def compiled(directory: Path) -> Path:
    """Compile the functions that `Counter` calls, and return the library."""
    if shutil.which("valgrind") is None:
        raise _missing("valgrind", "valgrind")
    compiler = next(filter(shutil.which, _COMPILERS), None)
    if compiler is None:
        raise _missing("a C compiler", "gcc")
    library = directory / "counter.so"
    # Without the C library, which the functions do not use: its headers are often not installed beside a compiler.
    command = (compiler, "-shared", "-fPIC", "-O1", "-nostdlib", "-x", "c", "-", "-o", library)
    done = subprocess.run(command, input=_SOURCE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise _missing("the header valgrind/callgrind.h", "valgrind", done.stderr)
    return library


def _missing(what: str, package: str, output: str = "") -> SystemExit:
    return SystemExit(
        f"{output}The scenario instructions needs {what}: install {package} (Debian: apt-get install {package})"
    )


def command(directory: Path, *program: str) -> tuple[str, ...]:
    """Return the command that runs *program*, counts when the program says so, and leaves its counts in *directory*."""
    return (
        "valgrind",
        "--quiet",
        "--tool=callgrind",
        "--instr-atstart=no",
        f"--callgrind-out-file={directory}/counts",
        *program,
    )


class Counter:
    """The counter of the process that it is created in."""

    def __init__(self, library: Path) -> None:
        self._functions = ctypes.CDLL(str(library))
        if not self._functions.is_running():
            raise RuntimeError("this process does not run under valgrind")
        # From here on the process is several times as slow.
        self._functions.start()

    @contextmanager
    def counting(self, name: str) -> Iterator[None]:
        """Count the instructions of the block, and write their number to a file under *name*."""
        self._functions.zero()
        yield
        self._functions.dump(name.encode())


def counts(directory: Path) -> dict[str, int]:
    """Return the counts that a process has left in *directory*, by name."""
    found = (_count(file) for file in directory.iterdir())
    return dict(one for one in found if one is not None)


def _count(file: Path) -> tuple[str, int] | None:
    name = None
    with file.open() as lines:
        for line in lines:
            if line.startswith(_TRIGGER):
                name = line.removeprefix(_TRIGGER).strip()
            elif line.startswith(_TOTAL) and name is not None:
                return name, int(line.removeprefix(_TOTAL))
    return None  # the last dump of every process, which has no name
