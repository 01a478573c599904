"""Draws the simulation with matplotlib (the extra ``bench``)."""

from __future__ import annotations

from typing import Any

Data = dict[str, dict[str, dict[str, Any]]]
"""Figures as JSON, by scene and number of processes."""

CAPACITY = 100_000
"""Commands a second that one Redis serves, approximately."""
COLOURS = ("#0072b2", "#009e73", "#d55e00", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#8b4513")
MARKS = "os^Dv*Px"
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
MISSING = "--plot needs matplotlib: install exterview_auth with its extra `bench`"


def canvas() -> Any:
    """Return an empty figure. Raises `SystemExit` if matplotlib is not installed."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - only needed for pictures
        from matplotlib.figure import Figure  # noqa: PLC0415 - pyplot would look for a display
    except ImportError:
        raise SystemExit(MISSING) from None
    # A fixed salt: the same data makes the same file.
    mpl.rcParams.update({"svg.hashsalt": "exterview_auth", "font.size": 11, "axes.grid": True, "grid.color": "#dddddd"})
    return Figure(figsize=(11.5, 5.8), facecolor="white", layout="constrained")


def draw(figure: Any, data: Data, path: str) -> None:
    """Draw both halves of the picture and save it as *path*."""
    load, time = figure.subplots(1, 2, width_ratios=(1, 1.35))
    figure.suptitle("A fleet shares one token through Redis (simulated network, clocks and servers)")
    sizes = [int(size) for size in next(iter(data.values()))]
    for axes in (load, time):
        axes.set(xscale="log", yscale="log", xlabel="processes")
        axes.set_xticks(sizes, labels=[f"{size:,}" for size in sizes])
        axes.set_axisbelow(True)
    _draw_load(load, next(iter(data.values())))
    _draw_times(time, data)
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None, dpi=110)


def _draw_load(axes: Any, healthy: dict[str, dict[str, Any]]) -> None:
    peaks, totals = _medians(healthy, "peak_commands"), _medians(healthy, "commands")
    # The straight line through zero that fits best (least squares).
    each = sum(size * total for size, total in totals.items()) / sum(size * size for size in totals)
    axes.plot(*_points(peaks), "o-", color=COLOURS[0], label="commands/s at the peak (10 ms)")
    axes.plot(*_points(totals), "s", color=COLOURS[2], label="commands for one revocation")
    axes.plot(list(totals), [each * size for size in totals], "--", color=COLOURS[2], label=f"{each:.2f} x processes")
    axes.axhline(CAPACITY, color="#555555", linestyle=":", label=f"one Redis: about {CAPACITY:,} commands/s")
    axes.set_ylabel("commands; commands/s")
    axes.set_ylim(top=20 * CAPACITY)
    axes.set_title("(a) Load on Redis: token revoked, healthy")
    axes.legend(loc="upper left", fontsize=9.5)


def _draw_times(axes: Any, data: Data) -> None:
    for number, (name, by_size) in enumerate(data.items()):
        times = _medians(by_size, "all_serve")
        if times:
            style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKS[number % len(MARKS)]}
            axes.plot(*_points(times), label=name, alpha=0.85, **style)
    axes.set_ylabel("virtual seconds")
    axes.set_ylim(0.1, 60)
    axes.set_yticks(TICKS, labels=[f"{tick:g}" for tick in TICKS])
    axes.set_title("(b) Seconds until the last process serves again")
    axes.legend(loc="upper left", fontsize=9, ncols=2, columnspacing=1)


def _medians(by_size: dict[str, dict[str, Any]], key: str) -> dict[int, float]:
    return {int(size): one[key]["median"] for size, one in by_size.items() if key in one}


def _points(by_size: dict[int, float]) -> tuple[list[int], list[float]]:
    return list(by_size), list(by_size.values())
