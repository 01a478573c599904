"""A fleet larger than one machine allows: the library's decisions in virtual time, against a simulated Redis and API."""

from __future__ import annotations

from tests.simulation.fleet.scenes import SCENES, figures

from ..harness.report import Report, Spread, Table, plain, progress, spreads

SIZES = {10: 3, 100: 3, 1000: 3, 10_000: 1}
"""Number of processes, and of seeds for each scene."""
QUICK_SIZES = {10: 1, 100: 1}

COLUMNS = (
    "",
    "processes",
    "logins",
    "failed",
    "commands each",
    "peak/s",
    "queue ms",
    "half serve",
    "all serve",
    "longest request",
    "seconds",
)
SENTENCE = (
    "simulation: processes with the library's own keeper and RedisStore; network, clocks, Redis and the API are simulated.\n"
    "  logins: per revocation or renewal, + those whose process died; failed: requests; commands each: at the store, of each\n"
    "  process; peak/s: commands in the busiest 10 ms; queue ms: longest wait for the server (10 us a command); half, all\n"
    "  serve: seconds until so many processes serve again; seconds: until all are at rest. Virtual time, medians of {} seeds."
)


def report(*, quick: bool) -> Report:
    """Measure each scene for fleets of several sizes."""
    sizes = QUICK_SIZES if quick else SIZES
    found: dict[str, dict[int, dict[str, Spread]]] = {name: {} for name in SCENES}
    for processes, seeds in sizes.items():
        for number, name in enumerate(SCENES, 1):
            progress(number, len(SCENES), f"{processes} processes:")
            found[name][processes] = _spreads(name, processes, seeds)
    rows = [_row(name, processes, one) for name, by_size in found.items() for processes, one in by_size.items()]
    data = {name: {str(processes): plain(one) for processes, one in sizes.items()} for name, sizes in found.items()}
    table = Table(SENTENCE.format("/".join(str(seeds) for seeds in sizes.values())), COLUMNS, rows)
    return Report([table], data)


def _spreads(name: str, processes: int, seeds: int) -> dict[str, Spread]:
    return spreads([figures(name, processes, seed) for seed in range(1, seeds + 1)])


def _row(name: str, processes: int, one: dict[str, Spread]) -> list[str]:
    serve = [_seconds(one.get(key)) for key in ("half_serve", "all_serve")]
    return [
        name,
        str(processes),
        _logins(one),
        one["failures"].count(),
        f"{one['commands_each'].median:.2f}",
        f"{one['peak_commands'].median:.0f}",
        f"{one['longest_queue'].median * 1e3:.1f}",
        *serve,
        _seconds(one["longest_request"]),
        _seconds(one["seconds"]),
    ]


def _logins(one: dict[str, Spread]) -> str:
    died = one["logins_died"].median
    return f"{one['logins'].median:g}" + (f" + {died:g}" if died else "")


def _seconds(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.median:.2f}"
