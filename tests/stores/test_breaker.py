"""The circuit breaker: when it opens, for how long, and what closes it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from exterview_auth import FileStore, MemoryStore, RedisStore, StoreError
from exterview_auth.stores._breaker import CircuitBreaker, breaker_of


def test_a_store_need_not_be_hashable() -> None:
    """An application's store may be any object; each of its owners then has a separate breaker."""

    class Odd:
        __hash__ = None  # type: ignore[assignment]  # as a dataclass with eq has it

    store: Any = Odd()
    assert breaker_of(store) is not breaker_of(store)
    memory = MemoryStore()
    assert breaker_of(memory) is breaker_of(memory)


def test_an_outage_ends_with_a_call_that_requires_as_much() -> None:
    """A store that can be read and not written has not recovered because it was read; where only reading failed, it has."""
    breaker = CircuitBreaker(MemoryStore())
    breaker.record_failure("save", StoreError("full"), 0.0)
    breaker.record_success("load", 0.2)
    breaker.record_success("lock", 0.2)
    assert breaker.is_open(0.5)
    breaker.record_success("save", 0.2)
    for call in ("load", "lock", "save"):
        breaker.record_failure(call, StoreError("down"), 0.0)
        assert breaker.is_open(0.5)
        breaker.record_success(call, 0.2)
        assert not breaker.is_open(0.5)


def test_a_call_that_began_before_the_recovery_opens_no_second_outage(caplog: pytest.LogCaptureFixture) -> None:
    """It ran into its time limit only after the store had answered another; one that began later counts."""
    caplog.set_level(logging.INFO, "exterview_auth")
    breaker = CircuitBreaker(MemoryStore())
    breaker.record_failure("lock", TimeoutError(), 2.0, began=0.0)
    breaker.record_success("lock", 5.0)
    breaker.record_failure("unlock", TimeoutError(), 5.1, began=4.1)
    assert not breaker.is_open(5.1)
    assert [message.split()[0] for message in caplog.messages] == ["store.unavailable", "store.recovered"]
    breaker.record_failure("unlock", TimeoutError(), 6.1, began=5.1)
    assert breaker.is_open(6.1)
    assert caplog.messages[-1].endswith("problem='it does not answer in time; check its load and the network'")


def test_the_breaker_stays_open_longer_with_each_failure() -> None:
    """1 s, 2 s, 4 s, ... 30 s, also after ten thousand of them."""
    breaker = CircuitBreaker(MemoryStore())
    for number in range(10_000):
        breaker.record_failure("load", StoreError("down"), 0.0)
        rest = min(30.0, 2.0**number) if number < 10 else 30.0
        assert breaker.is_open(rest - 0.01)
        assert not breaker.is_open(rest)


@pytest.mark.parametrize("kind", [FileStore, RedisStore])
@pytest.mark.parametrize("key", [None, Fernet.generate_key()], ids=["plain", "encrypted"])
def test_all_events_call_a_store_the_same(
    kind: type[FileStore | RedisStore], key: bytes | None, tmp_path: Path
) -> None:
    """What it is and where, as in its repr; whether it encrypts is not a part of its name."""
    place = str(tmp_path) if kind is FileStore else "redis://user:pass-word@h.example:6379/1"
    store = kind(place, encryption_key=key)
    lock: Any = store._account_lock("a")
    names = {store._entries.codec._store, lock._backend.store, CircuitBreaker(store)._store}
    assert names == {repr(store).replace(", encrypted", "")}


class Telling(FileStore):
    """An application's subclass whose repr is its own."""

    def __repr__(self) -> str:
        return "Telling(url='redis://:pass-word@h')"


class Quiet(FileStore):
    """An application's subclass whose repr is inherited."""


class Wrapping(FileStore):
    """An application's subclass that is not made as ours are."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory


@pytest.mark.parametrize(
    ("kind", "named"), [(Telling, "FileStore('"), (Quiet, "FileStore('"), (Wrapping, "'Wrapping'")]
)
def test_an_event_names_a_store_by_what_ours_are_called(
    kind: type[FileStore], named: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What an application's class says of itself may hold a secret."""
    breaker_of(kind(tmp_path / "tokens")).record_failure("load", OSError(), 0.0)
    assert named in caplog.text
    assert "pass-word" not in caplog.text
