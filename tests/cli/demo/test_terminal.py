"""What the demo leaves on a real terminal."""

from __future__ import annotations

import sys

import pytest

from tests.kit.terminal import seen_after

COMMAND = (sys.executable, "-m", "exterview_auth", "demo", "--requests", "300")
LABELS = ("Sending", "sent", "refused", "waiting", "replayed", "answered", "requests", "logins", "replays", "failures")


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(50, 100), (17, 80), (16, 80), (15, 80), (14, 80), (8, 80), (8, 40), (3, 80), (2, 80), (1, 80)],
)
def test_a_terminal_of_any_size_keeps_no_row_of_the_progress(rows: int, columns: int) -> None:
    """The progress is gone at the end, also where the picture is higher than the terminal: each row stands there once."""
    lines = seen_after(COMMAND, rows=rows, columns=columns)
    assert [label for label in LABELS for line in lines if line.split()[:1] == [label]] == list(LABELS)
    assert [line for line in lines if "answered, " in line or line.strip() in {"...", "…"} or "━" in line] == []
