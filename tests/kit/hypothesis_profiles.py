"""How much is tried for a property: seconds' worth by default, far more with ``HYPOTHESIS_PROFILE=thorough``."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_TIMES_AS_MANY = {"default": 1, "thorough": 60}

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")
TIMEOUT = 600 * _TIMES_AS_MANY[PROFILE]
"""Seconds that one property may take."""


def examples(number: int, *, steps: int = 50) -> settings:
    """The settings of a property of which *number* examples are tried, each of so many *steps* where it is a machine."""
    return settings(
        settings.get_profile(PROFILE), max_examples=number * _TIMES_AS_MANY[PROFILE], stateful_step_count=steps
    )


for _name, _times in _TIMES_AS_MANY.items():
    settings.register_profile(
        _name,
        max_examples=100 * _times,
        deadline=None,  # a busy machine is no defect
        derandomize=False,  # each run looks elsewhere
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile(PROFILE)
