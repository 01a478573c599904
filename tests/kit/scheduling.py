"""Which tests the processes of ``pytest -n`` run: single ones, or a whole module whose tests share something costly."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it has no types

TOGETHER = {
    "tests/benchmarks/test_main.py": "scenarios",
    "tests/benchmarks/test_scenarios.py": "scenarios",
    "tests/benchmarks/test_fleet.py": "fleet",
    "tests/benchmarks/test_instructions.py": "instructions",
    "tests/benchmarks/test_peers.py": "peers",
    "tests/benchmarks/test_soak.py": "soak",
    "tests/benchmarks/test_storm_chart.py": "storm chart",
    "tests/cli/test_credentials.py": "servers elsewhere",
    "tests/rules/test_fleet_processes.py": "workers",
    "tests/simulation/fleet/test_fleet.py": "simulated fleet",
    "tests/simulation/test_schedules.py": "schedules",
}
"""For each module what its tests share. Those of the last one share only that they must begin early, so as not to end last."""


class SharedCosts(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """Give all tests that share something to one process, and the largest groups first."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER.get(nodeid.partition("::")[0], nodeid)
