"""``exterview_auth/llms.txt``: the README and the public API for language models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILE = ROOT / "exterview_auth" / "llms.txt"


def test_the_file_is_what_the_command_writes() -> None:
    """A change of the README or of a public docstring is followed by a run of the command."""
    command = [sys.executable, str(ROOT / ".ci" / "llms"), "--print"]
    now = subprocess.run(command, capture_output=True, check=True, text=True, encoding="utf-8", cwd=ROOT).stdout
    # Compared line by line, and not by `==`: pytest would spend minutes on the difference.
    lines = FILE.read_text(encoding="utf-8").splitlines()
    changed = next((line for line, other in zip(now.splitlines(), lines, strict=False) if line != other), None)
    assert changed is None, f"exterview_auth/llms.txt is not current at {changed!r}; run .venv/bin/python .ci/llms"
    assert len(now.splitlines()) == len(lines), "exterview_auth/llms.txt is not current; run .venv/bin/python .ci/llms"


def test_the_file_has_the_shape_of_llmstxt_org() -> None:
    """A title, a summary as a quotation, and sections; no tag and no picture of the README is left."""
    title, empty, summary, *_ = text = FILE.read_text(encoding="utf-8").splitlines()
    assert title.startswith("# ")
    assert empty == ""
    assert summary.startswith("> ")
    assert "# Public API" in text
    assert not [line for line in text if line.startswith(("<details", "<p", "<img", "!["))]
