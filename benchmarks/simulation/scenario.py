"""A fleet larger than one machine allows: the library's decisions in virtual time, against a simulated Redis and API."""

from __future__ import annotations

from tests.simulation.fleet.scenes import SCENES, figures

from ..harness.report import Column, Report, Spread, Table, median, plain, progress, spreads

SIZES = {10: 3, 100: 3, 1000: 3, 10_000: 1}
"""Number of processes, and of seeds for each scene."""
QUICK_SIZES = {10: 1, 100: 1}

COLUMNS: list[Column] = [
    ("logins", "logins", median("g")),
    ("died", "logins_died", median("g")),
    ("failed", "failures", Spread.count),
    ("commands each", "commands_each", median(".2f")),
    ("peak/s", "peak_commands", median(".0f")),
    ("queue ms", "longest_queue", lambda spread: f"{spread.median * 1e3:.1f}"),
    ("half serve", "half_serve", median(".2f")),
    ("all serve", "all_serve", median(".2f")),
    ("longest request", "longest_request", median(".2f")),
    ("seconds", "seconds", median(".2f")),
]
SENTENCE = (
    "simulation: processes with the library's own keeper and RedisStore; network, clocks, Redis and the API are simulated.\n"
    "  logins: per revocation or renewal; died: logins whose process died; failed: requests; commands each: at the store, of each\n"
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
            found[name][processes] = spreads([figures(name, processes, seed) for seed in range(1, seeds + 1)])
    rows = {f"{name}, {processes}": one for name, by_size in found.items() for processes, one in by_size.items()}
    data = {name: {str(processes): plain(one) for processes, one in by_size.items()} for name, by_size in found.items()}
    sentence = SENTENCE.format("/".join(str(seeds) for seeds in sizes.values()))
    return Report([Table.of(sentence, COLUMNS, rows)], data)
