"""An `oidc-provider` of node in a process of its own, installed into the clone."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".node"
VERSION = "9.13.3"
MISSING = "these tests need node and npm, which are not on this machine; install them: apt-get install nodejs npm"
SCRIPT = Path(__file__).with_suffix(".mjs")
LIBRARY = CACHE / "node_modules" / "oidc-provider" / "lib" / "index.js"
INSTALL_SECONDS = 240.0


def require_library() -> None:
    """Have the library in the clone; without node, the tests fail where ``CI`` is set, and are skipped elsewhere."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING, pytrace=False)
        pytest.skip(MISSING)
    CACHE.mkdir(exist_ok=True)
    with FileLock(CACHE / "lock"):  # tests run in several processes, and npm in one
        if LIBRARY.exists():
            return
        # Nothing outside the clone is changed: npm's own cache is there too.
        install = (
            "npm",
            "install",
            "--no-audit",
            "--no-fund",
            "--no-save",
            "--prefix",
            CACHE,
            "--cache",
            CACHE / "cache",
        )
        done = subprocess.run(
            (*install, f"oidc-provider@{VERSION}"),
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
        assert LIBRARY.exists(), f"npm could not install oidc-provider: {done.stderr}"


@asynccontextmanager
async def oidc_provider(clients: list[dict[str, Any]]) -> AsyncIterator[str]:
    """Yield the issuer of a provider that knows *clients*."""
    await asyncio.to_thread(require_library)
    pipe = asyncio.subprocess.PIPE
    node = await asyncio.create_subprocess_exec(
        "node", SCRIPT, LIBRARY, json.dumps(clients), stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
    )
    assert node.stdin is not None
    assert node.stdout is not None
    try:
        async with asyncio.timeout(60):
            issuer = (await node.stdout.readline()).decode().strip()
        assert issuer.startswith("http://127.0.0.1:")
        yield issuer
    finally:
        node.stdin.close()
        await node.wait()
