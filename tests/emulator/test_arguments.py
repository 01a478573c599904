"""What the emulator says to wrong arguments, ports that cannot be listened on, and a missing library."""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientSession

from exterview_auth.emulator import Emulator
from exterview_auth.emulator._emulator import _cannot_listen
from exterview_auth.errors import ConfigurationError
from tests.kit.emulator import log_in


@pytest.mark.parametrize(
    ("wrong", "values", "sentence"),
    [
        (lambda value: Emulator(port=value), (-1, 65_536, "80", True), "port must be a number from 0"),
        (
            lambda value: Emulator(latency=value),
            (-1.0, float("nan"), float("inf"), "1", True),
            "latency must be a number",
        ),
        (lambda value: setattr(Emulator(), "login_delay", value), (-1,), "login_delay must be a number"),
        (lambda value: Emulator().silence(value), (-1,), "silence must be a number of seconds"),
        (lambda value: Emulator().fail_logins(value), (-1, 1.5), "times must be a whole number"),
        (lambda value: Emulator().refuse(1, status=value), (200, "503", True), "status must be an HTTP error status"),
        (
            lambda value: Emulator(host=value),
            ("0.0.0.0", "192.168.1.5", "example.com", "", "::", 2130706433, None),
            "loopback only",
        ),
        (lambda value: Emulator(seed=value), (None, "a", 1.5, [], True), "seed must be a whole number"),
        (lambda value: Emulator(api_key=value), ("", "a key", "k\u00e9y", b"key", 1), "api_key must be"),
        (
            lambda value: Emulator(email=value),
            ("", " ", 1, "a\nB=c", "a\x85", "a\u2028b"),
            "^email (is empty|must be text|contains a control character)",
        ),
        (
            lambda value: Emulator(password=value),
            ("", "\ud800", b"p", "p\0", "p\r"),
            "^password (is empty|must be text|contains half|contains a control character)",
        ),
    ],
    ids=[
        "port",
        "latency",
        "login_delay",
        "silence",
        "times",
        "status",
        "host",
        "seed",
        "api_key",
        "email",
        "password",
    ],
)
def test_wrong_arguments_are_named(wrong: Callable[[Any], object], values: tuple[Any, ...], sentence: str) -> None:
    """Each argument and each control says what it takes; credentials over plain HTTP do not leave the machine."""
    for value in values:
        with pytest.raises(ConfigurationError, match=sentence):
            wrong(value)


async def test_credentials_of_ones_own_are_the_only_ones_that_work() -> None:
    """What a configuration of tests holds already; a credential that is not given is random, or the data's."""
    given = {"api_key": "made-up-key", "email": "ada@lovelace.example", "password": "made up password"}
    async with Emulator(**given) as emulator, ClientSession() as http:  # type: ignore[arg-type]  # all are text
        assert {name: getattr(emulator, name) for name in given} == given
        assert (await log_in(emulator, http)).content["data"]["login"]
        assert "Invalid email or password" in str((await log_in(emulator, http, password="another")).content["errors"])
        assert emulator.rotate_api_key() != "made-up-key"
    async with Emulator(password="only this") as emulator:
        assert emulator.password == "only this"
        assert emulator.email == Emulator()._state.accounts.email
        assert emulator.api_key.startswith("exv_emulator_")


def test_a_refused_value_changes_nothing() -> None:
    """A time that cannot be is not assigned."""
    emulator = Emulator(latency=1.5)
    with pytest.raises(ConfigurationError):
        emulator.latency = -1
    assert emulator.latency == 1.5


def test_other_reasons_not_to_listen_are_named() -> None:
    """A forbidden port and a missing address get a sentence of their own."""
    forbidden = _cannot_listen("127.0.0.1", 80, PermissionError(errno.EACCES, "Permission denied"))
    assert forbidden.startswith("port 80 needs more rights than this user has; choose one ")
    missing = _cannot_listen("127.0.0.1", 80, OSError(errno.EADDRNOTAVAIL, "Cannot assign"))
    assert missing.startswith("cannot listen on port 80 of 127.0.0.1 (Cannot assign); choose ")


def test_it_runs_under_one_event_loop_after_another() -> None:
    """An emulator made outside a loop serves under each `asyncio.run` that starts it."""
    emulator = Emulator(login_delay=0.01)

    async def run() -> int:
        async with emulator, ClientSession() as http:
            return (await log_in(emulator, http)).status

    assert [asyncio.run(run()), asyncio.run(run())] == [200, 200]


def test_without_graphql_core_the_import_says_what_to_install() -> None:
    """Importing the emulator without its extra raises one sentence."""
    program = (
        "import sys; sys.modules['graphql'] = None\n"
        "try:\n    import exterview_auth.emulator\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "the emulator needs graphql-core: install exterview_auth with its extra `emulator`"
