"""What an owner counts, and its frozen snapshot."""

from __future__ import annotations

import dataclasses
import inspect
import re

import pytest

from exterview_auth import Stats
from exterview_auth._records import Counters

PROMISED = {
    "logins", "login_failures", "replays", "unauthorized", "waiting", "waiting_peak", "refreshes_ahead", "adopted",
}  # fmt: skip
FIELDS = [field.name for field in dataclasses.fields(Stats)]


def test_the_promised_counters_are_there() -> None:
    """The contract's names are fields of the snapshot, and each counts from zero."""
    assert set(FIELDS) >= PROMISED
    assert dataclasses.asdict(Counters().snapshot()) == dict.fromkeys(FIELDS, 0)
    assert dataclasses.asdict(Stats()) == dict.fromkeys(FIELDS, 0)


def test_its_help_explains_each_counter() -> None:
    """``help(Stats)`` is a page: a dataclass shows its fields without a word."""
    assert sorted(re.findall(r"^- ``(\w+)``: .", inspect.getdoc(Stats) or "", re.MULTILINE)) == sorted(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_each_counter_shows_in_its_own_field(name: str) -> None:
    """What is counted under a name shows under that name alone."""
    counters = Counters()
    setattr(counters, name, 7)
    assert dataclasses.asdict(counters.snapshot()) == {**dict.fromkeys(FIELDS, 0), name: 7}


def test_a_snapshot_does_not_count_on() -> None:
    """A snapshot is frozen: neither the application nor later counting changes it."""
    counters = Counters()
    counters.logins = 1
    snapshot = counters.snapshot()
    counters.logins += 1
    assert snapshot.logins == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        snapshot.logins = 5  # type: ignore[misc]
    assert counters.snapshot().logins == 2
