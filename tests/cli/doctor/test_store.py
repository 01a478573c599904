"""What the doctor says of a store: files and a real Redis, other users, and real holders of the lock."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from redis import Redis

from exterview_auth import PasswordLogin
from exterview_auth._endpoint import endpoint_url
from exterview_auth._environment import store_from
from exterview_auth.emulator import Emulator
from exterview_auth.logins._identity import store_key
from exterview_auth.stores._entry import key_of
from tests.cli.doctor.examined import examined
from tests.kit.command import ran


@pytest.fixture(params=["file", "redis"])
def place(request: pytest.FixtureRequest, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The store of the environment."""
    assert emulator
    place = str(tmp_path / "tokens") if request.param == "file" else str(request.getfixturevalue("redis_url"))
    monkeypatch.setenv("EXTERVIEW_STORE", place)
    return place


def account_of(emulator: Emulator) -> str:
    """The name of the environment's account in its store."""
    login = PasswordLogin(emulator.email, emulator.password)
    return store_key(endpoint_url(emulator.endpoint), emulator.email, login)[0]


def test_an_empty_store_works(place: str) -> None:
    """It can be used, it is private, and holds nothing; nobody has the lock."""
    found = examined()
    assert found.code == 0
    if "://" in place:
        assert found["store"] == "ok Redis works: a token can be locked, saved, read and deleted"
        assert "store-permissions" not in found.checks
        assert Redis.from_url(place).keys() == []
    else:
        assert found["store"] == "ok the directory can be read and written"
        assert found["store-permissions"] == "ok a new directory, for this user alone"
        assert examined()["store-permissions"] == "ok for this user alone (0700)"
    assert found["store-token"] == "ok none is held for this account; for another one, set EXTERVIEW_ACCOUNT"
    assert found["store-lock"].startswith("ok free")


@pytest.mark.usefixtures("place")
def test_what_the_workers_hold_is_shown_and_left_alone(emulator: Emulator) -> None:
    """The doctor's login is its own: it replaces no token of theirs."""
    held = ran("token").printed()
    assert emulator.stats().logins == 1
    assert examined()["store-token"] == "ok one is held, and lives 60 min; it was not tried"
    assert emulator.stats().logins == 2
    assert ran("token", "--no-login").printed() == held
    assert examined()["store-lock"] == "ok free"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look at another user's directory")
@pytest.mark.usefixtures("emulator")
def test_another_users_store_fails_for_root_as_for_a_service(tmp_path: Path) -> None:
    """In the words with which a service of this user stops, and nothing is changed in it."""
    store = tmp_path / "tokens"
    store.mkdir(0o700)
    os.chown(store, 65534, 65534)
    found = examined(environ={"EXTERVIEW_STORE": str(store)})
    assert found.code == 1
    stopped = ran("token", environ={"EXTERVIEW_STORE": str(store)}).failed(2)
    assert found["store"] == f"fail {stopped.removeprefix('exterview-auth: ')}"
    assert "belongs to another user (uid 65534, mode 0700, and this process has uid 0); run all" in found["store"]
    assert (list(store.iterdir()), store.stat().st_uid) == ([], 65534)


@pytest.mark.usefixtures("place")
def test_an_entry_that_no_key_reads_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next login would replace it, and log the others out of their cache."""
    monkeypatch.setenv("EXTERVIEW_STORE_KEY", Fernet.generate_key().decode())
    ran("token").printed()
    assert examined()["store-token"] == "ok one is held, and lives 60 min; it was not tried"
    monkeypatch.setenv("EXTERVIEW_STORE_KEY", Fernet.generate_key().decode())
    assert examined()["store-token"].startswith(
        "warn there is an entry that cannot be read, or that is over; check EXTERVIEW_STORE_KEY"
    )


# -- what does not work ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("redis://127.0.0.1:1/0", "fail Redis cannot be used: it cannot be reached; check that it runs"),
        (
            "redis://user:s3cr3t/x@127.0.0.1/0",
            "fail EXTERVIEW_STORE: RedisStore needs a URL such as redis://HOST:6379/0",
        ),
        ("memcached://h", "fail EXTERVIEW_STORE must be a directory, or a URL"),
        ("/dev/null/tokens", "fail EXTERVIEW_STORE: FileStore cannot use /dev/null/tokens"),
    ],
)
def test_a_store_that_cannot_be_used_fails(place: str, says: str) -> None:
    """With the remedy; credentials that work are still shown to work."""
    found = examined("--timeout", "3", environ={"EXTERVIEW_STORE": place})
    assert found["store"].startswith(says)
    assert found["token"].startswith("ok ")
    assert found.code == 1
    assert "s3cr3t" not in found.text
    assert "store-lock" not in found.checks


@pytest.mark.usefixtures("emulator")
def test_a_user_of_redis_without_a_right_fails(redis_url: str) -> None:
    """Reading alone would not show it: all that a login does is tried."""
    with Redis.from_url(redis_url) as client:
        client.execute_command("ACL", "SETUSER", "reader", "on", ">word", "~*", "&*", "+@all", "-set")
        place = redis_url.replace("//", "//reader:word@")
        found = examined(environ={"EXTERVIEW_STORE": place})
        client.execute_command("ACL", "DELUSER", "reader")
    assert found["store"].startswith(
        "fail Redis cannot be used: the user's ACL lacks a command, key or channel (NOPERM)"
    )


def test_the_rights_that_the_readme_lists_are_enough(emulator: Emulator, redis_url: str) -> None:
    """For the doctor too: what it may not ask, it does not say."""
    with Redis.from_url(redis_url) as client:
        rights = "+eval +get +set +del +pexpire +time +publish +subscribe +unsubscribe"
        client.execute_command(
            "ACL", "SETUSER", "app", "on", ">word", "~exterview_auth:*", "&exterview_auth:*", *rights.split()
        )
        place = redis_url.replace("//", "//app:word@")
        key = f"exterview_auth:{{{key_of(account_of(emulator))}}}:lock"
        client.set(key, "0123456789", px=60_000)
        found = examined(environ={"EXTERVIEW_STORE": place})
        client.execute_command("ACL", "DELUSER", "app")
    assert found.code == 0
    assert found["store-lock"] == "ok held by the owner 01234567, which logs in"


@pytest.mark.usefixtures("emulator")
def test_rights_of_other_users_are_a_warning(tmp_path: Path) -> None:
    """As they were before the store took them away."""
    place = tmp_path / "tokens"
    place.mkdir()
    place.chmod(0o755)
    found = examined(environ={"EXTERVIEW_STORE": str(place)})
    assert found["store-permissions"].startswith("warn other users had rights to the directory (0755); ")
    assert examined(environ={"EXTERVIEW_STORE": str(place)})["store-permissions"] == "ok for this user alone (0700)"


# -- whose lock -----------------------------------------------------------------------------------------------------------

HOLDER = """
import asyncio, os, sys
from exterview_auth._environment import store_from

async def hold():
    async with store_from(os.environ).lock(sys.argv[1]):
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(hold())
"""


@pytest.fixture
def holder(place: str, emulator: Emulator) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Return a function that starts a process which holds the account's lock."""
    assert place
    running: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, account_of(emulator)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert running[-1].stdout is not None
        assert running[-1].stdout.readline() == "held\n"
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_the_holder_of_the_lock_is_named(place: str, holder: Callable[[], subprocess.Popen[str]]) -> None:
    """A process and its last sign of life, or an owner and its lease; looking takes nothing away."""
    process = holder()
    for _ in range(2):
        lock = examined()["store-lock"]
        if "://" in place:
            assert lock.startswith("ok held by the owner ")
            assert "; its lease ends in " in lock
        else:
            assert lock.startswith("ok held by ")
            if Path("/proc/locks").exists():
                assert lock.startswith(f"ok held by process {process.pid} (python")
    assert process.poll() is None


@pytest.mark.parametrize("place", ["file"], indirect=True)
def test_a_frozen_holder_is_a_warning(place: str, holder: Callable[[], subprocess.Popen[str]]) -> None:
    """Its last sign of life is older than its lease; the others take the lock from it."""
    process = holder()
    process.send_signal(signal.SIGSTOP)
    [file] = Path(place).glob("*.lock")
    then = time.time() - 60
    os.utime(file, (then + 5, then))
    lock = examined()["store-lock"]
    process.send_signal(signal.SIGCONT)
    assert lock.startswith("warn held by ")
    assert "its last sign of life was 6" in lock
    assert lock.endswith("it is frozen: the others take the lock from it; end that process")


@pytest.mark.parametrize("place", ["file"], indirect=True)
def test_a_link_in_the_place_of_the_lock_is_not_followed(place: str, emulator: Emulator) -> None:
    """Whoever put it there may have meant another file."""

    async def used() -> None:
        store = store_from(os.environ)
        async with store.lock(account_of(emulator)):
            pass

    asyncio.run(used())
    [file] = [file for file in Path(place).glob("*.lock") if file.stem == key_of(account_of(emulator))]
    file.unlink()
    file.symlink_to("/dev/null")
    assert examined()["store-lock"].startswith("warn its file cannot be opened (")
