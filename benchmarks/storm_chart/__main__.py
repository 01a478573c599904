"""
A picture of a storm: ``python -m benchmarks.storm_chart FILE.svg [--quick]``.

Both runs are real: the requests go over sockets to the API process. The picture works in light and in dark mode.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from ..harness.api import opened_api
from .drawing import Chart, svg
from .storm import Size, naive, ours, storm

FULL = Size(requests=1000, seconds=2.0, connections=100, login_seconds=0.2)
QUICK = Size(requests=60, seconds=0.3, connections=5, login_seconds=0.05)


def record(*, quick: bool) -> Chart:
    """Run the storm with each middleware."""
    return asyncio.run(_record(QUICK if quick else FULL))


async def _record(size: Size) -> Chart:
    async with opened_api() as api:
        async with naive(api, size) as middleware:
            theirs = await storm(api, size, middleware)
        async with ours(api, size) as middleware:
            return Chart(size, theirs, await storm(api, size, middleware))


def draw(chart: Chart, path: str | Path) -> None:
    """Write the picture of *chart* to *path*."""
    Path(path).write_text(svg(chart), encoding="utf-8")


def main() -> None:
    """Record the storm, and draw it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storm_chart", description="Draw a storm as SVG.")
    parser.add_argument("file", help="where to write the picture")
    parser.add_argument("--quick", action="store_true", help="a tiny storm, in a second")
    arguments = parser.parse_args()
    draw(record(quick=arguments.quick), arguments.file)


if __name__ == "__main__":
    main()
