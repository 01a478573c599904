"""What holds for every message of the package and the command: read from their sources."""

from __future__ import annotations

import ast
from pathlib import Path

import exterview_auth
from exterview_auth._cli import _requirements

SOURCES = sorted(Path(exterview_auth.__file__).parent.rglob("*.py"))


def texts(path: Path) -> list[str]:
    """Every text in a module's code."""
    return [
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def test_no_message_names_a_command_to_install_the_package() -> None:
    """It comes from a clone, and an environment need not have pip: such a command fails, or installs a stranger's package."""
    found = [(path.parent.name, text) for path in SOURCES for text in texts(path) if "pip install" in text]
    # This one installs what the command needs beside the package, where there is a pip.
    assert found == [("_cli", " -m pip install ")]
    assert not any("exterview" in _requirements(extra, []) for extra in ("cli", "emulator"))
