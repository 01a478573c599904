"""How every failure of the command ends: one sentence on standard error."""

from __future__ import annotations

import sys


def complain(sentence: str) -> None:
    """Say on standard error what is wrong and what to do."""
    print(f"exterview-auth: {sentence}", file=sys.stderr, flush=True)
