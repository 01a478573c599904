"""A bound that no installation can reach is named."""

from __future__ import annotations

from tests.lowest.__main__ import above, direct_requirements


def test_a_bound_below_what_can_be_installed_is_named() -> None:
    """What is written with fewer digits is reached all the same."""
    lowest = {
        one.name: next(each.version for each in one.specifier if each.operator == ">=") for one in direct_requirements()
    }
    pins = {**lowest, "click": f"{lowest['click']}.0", "redis": "99.0"}
    lines = ["# resolved by a==tool", *(f"{name}=={version}" for name, version in pins.items()), "    # via others"]
    assert list(above(lines)) == [f"redis>={lowest['redis']}: 99.0"]
