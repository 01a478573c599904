"""What the doctor says of each variable, of files and of the installation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exterview_auth.emulator import Emulator
from tests.cli.doctor.examined import examined

USER = "EXTERVIEW_EMAIL and EXTERVIEW_PASSWORD"
pytestmark = pytest.mark.usefixtures("emulator")


@pytest.mark.parametrize(
    ("environ", "name", "says"),
    [
        ({"EXTERVIEW_SCOPE": " "}, "EXTERVIEW_SCOPE", "warn is empty, as if it were not set; set it, or remove it"),
        ({"EXTERVIEW_BEARER_TOKEN": "another-token"}, "EXTERVIEW_BEARER_TOKEN", f"warn is set, and not used: {USER} counts; remove one of them"),
        ({"EXTERVIEW_API_KEY_FILE": "/absent"}, "EXTERVIEW_API_KEY_FILE", "warn is set, and not used: EXTERVIEW_API_KEY counts; remove one of them"),
        ({"EXTERVIEW_ENVIRONMENT": "sandbox"}, "EXTERVIEW_ENVIRONMENT", "warn is set, and not used: EXTERVIEW_ENDPOINT counts; remove one of them"),
        ({"EXTERVIEW_SCOPE": "read"}, "EXTERVIEW_SCOPE", "warn is set, and of no use without EXTERVIEW_TOKEN_URL; set EXTERVIEW_TOKEN_URL, or remove it"),
        ({"EXTERVIEW_STORE_KEY": "no-fernet-key"}, "EXTERVIEW_STORE_KEY", "warn is set, and of no use without EXTERVIEW_STORE; set EXTERVIEW_STORE, or remove it"),
        ({"EXTERVIEW_APIKEY": "k"}, "EXTERVIEW_APIKEY", "warn is set, and nothing reads it; did you mean EXTERVIEW_API_KEY?"),
        ({"EXTERVIEW_EMAIL": ""}, "EXTERVIEW_EMAIL", "warn is empty, as if it were not set; set it, or remove it"),
    ],
)  # fmt: skip
def test_a_variable_that_does_nothing_is_a_warning(environ: dict[str, str], name: str, says: str) -> None:
    """What is not used, is empty or is misspelt: nobody would find it otherwise."""
    assert examined(environ=environ)[name] == says


def test_a_variable_of_the_applications_own_is_not_examined() -> None:
    """Names that begin like ours are nobody's property."""
    assert "EXTERVIEW_ORGANIZATION" not in examined(environ={"EXTERVIEW_ORGANIZATION": "acme"}).checks


@pytest.mark.parametrize("name", ["EXTERVIEW_TOKEN_FIELD", "EXTERVIEW_STORE"])
def test_what_a_bearer_token_has_no_use_for_is_named(name: str, fixed_token: str, tmp_path: Path) -> None:
    """It is no login, and nobody's in particular."""
    found = examined(environ={name: str(tmp_path / "tokens"), "EXTERVIEW_BEARER_TOKEN": fixed_token})
    assert found[name].startswith(f"warn is set, and of no use without {USER}")
    assert found["login"] == "ok none: the token comes from EXTERVIEW_BEARER_TOKEN"


def test_a_users_variables_are_not_used_beside_a_clients(emulator: Emulator) -> None:
    """The one that counts is named."""
    client = {
        "TOKEN_URL": emulator.token_endpoint,
        "CLIENT_ID": emulator.client_id,
        "CLIENT_SECRET": emulator.client_secret,
    }
    found = examined(environ={f"EXTERVIEW_{name}": value for name, value in client.items()})
    assert found["EXTERVIEW_EMAIL"].startswith(
        "warn is set, and not used: EXTERVIEW_TOKEN_URL, EXTERVIEW_CLIENT_ID and"
    )
    assert found["login"].startswith("ok a login with EXTERVIEW_TOKEN_URL, EXTERVIEW_CLIENT_ID and")
    assert found.code == 0


def test_quotation_marks_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker's --env-file keeps them, and the login fails."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", f'"{os.environ["EXTERVIEW_PASSWORD"]}"')
    found = examined()
    assert found["EXTERVIEW_PASSWORD"].startswith(
        "warn stands in quotation marks, which docker's --env-file does not remove"
    )
    assert found["login"].startswith("fail the login was refused for this user: it answered 200")


# -- files ----------------------------------------------------------------------------------------------------------------


def test_an_empty_file_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret's file that its orchestrator has not filled."""
    file = tmp_path / "password"
    file.touch()
    monkeypatch.delenv("EXTERVIEW_PASSWORD")
    found = examined(environ={"EXTERVIEW_PASSWORD_FILE": str(file)})
    assert found["EXTERVIEW_PASSWORD_FILE"] == f"fail file {file} is empty; put the password into it"


def in_a_file(name: str, value: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Move a variable's *value* into a *file* that its other variable names."""
    file.write_text(f"{value}\n")
    monkeypatch.delenv(name)
    monkeypatch.setenv(f"{name}_FILE", str(file))
    return file


@pytest.fixture
def key_file(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The key in a file."""
    return in_a_file("EXTERVIEW_API_KEY", emulator.api_key, tmp_path / "key", monkeypatch)


@pytest.mark.parametrize(
    ("days", "says"),
    [
        (0, "ok the key is 0 days old, and is to be rotated every 90"),
        (90, "ok the key is 90 days old, and is to be rotated every 90"),
        (91, "warn the key is 91 days old; rotate it: Exterview asks for that every 90 days"),
        (-2, "warn its time lies in the future; set this machine's clock, or touch the file"),
    ],
)
def test_the_age_of_the_keys_file_is_held_against_90_days(days: int, says: str, key_file: Path) -> None:
    """The documented rotation, by the time of the file."""
    then = time.time() - days * 86_400 - 60
    os.utime(key_file, (then, then))
    found = examined()
    assert found["EXTERVIEW_API_KEY_FILE"] == "ok from its file"
    assert found["key-file"] == says
    assert found.code == 0


def test_a_file_that_cannot_be_read_fails(key_file: Path) -> None:
    """With the system's words, and what to do."""
    key_file.unlink()
    found = examined()
    assert found["EXTERVIEW_API_KEY_FILE"].startswith(
        f"fail file {key_file} cannot be read (No such file or directory); check"
    )
    assert "key-file" not in found.checks
    assert found.code == 1


@pytest.fixture
def password_file(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The password in a file."""
    return in_a_file("EXTERVIEW_PASSWORD", emulator.password, tmp_path / "password", monkeypatch)


def test_a_files_variables_are_named_as_they_are(password_file: Path) -> None:
    """Each once: the user's e-mail address, and the password's file, whose age is told."""
    found = examined()
    source = "EXTERVIEW_EMAIL and EXTERVIEW_PASSWORD_FILE"
    assert found["configuration"].startswith(f"ok complete: the token comes from {source}")
    assert re.search(r", and events call the account [0-9a-f]{12}$", found["configuration"])
    assert found["login"].startswith(f"ok a login with {source} took")
    assert found["password-file"] == "ok the password is 0 days old"
    assert password_file.exists()


def test_an_empty_file_is_said_once(password_file: Path) -> None:
    """What is to be put into it is named, and nothing else fails for the same cause."""
    password_file.write_text("")
    found = examined()
    assert found["EXTERVIEW_PASSWORD_FILE"] == f"fail file {password_file} is empty; put the password into it"
    assert found["configuration"] == "warn not examined; mend EXTERVIEW_PASSWORD_FILE first"
    assert found["login"] == "warn not examined; mend what stands above first"
    assert found.code == 1


def test_quotation_marks_in_a_file_are_named(password_file: Path) -> None:
    """They are as wrong there as in a variable."""
    password_file.write_text(f'"{password_file.read_text().strip()}"\n')
    found = examined()
    assert found["EXTERVIEW_PASSWORD_FILE"].startswith("warn the password in its file stands in quotation marks")


# -- the installation -----------------------------------------------------------------------------------------------------


def without(module: str, environ: dict[str, str]) -> str:
    """Return what a run prints where *module* is not installed."""
    program = (
        f"import sys; sys.modules[{module!r}] = None\nfrom exterview_auth._cli import main; sys.exit(main(['doctor']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def test_an_extra_that_is_not_needed_may_be_missing() -> None:
    """It is named all the same: somebody may wonder."""
    [line] = [line for line in without("redis", {}).splitlines() if "extras" in line]
    assert line.startswith("ok    extras: cli, ")
    assert line.endswith("; not installed, and not needed: redis")


@pytest.mark.parametrize(
    ("module", "environ", "says"),
    [
        ("redis", {"EXTERVIEW_STORE": "redis://127.0.0.1:1"}, "EXTERVIEW_STORE cannot be used; it needs redis: install exterview_auth with its extra `redis`"),
        ("cryptography", {"EXTERVIEW_STORE": "DIRECTORY", "EXTERVIEW_STORE_KEY": "no-fernet-key"}, "EXTERVIEW_STORE_KEY cannot be used; it needs cryptography: install"),
    ],
)  # fmt: skip
def test_an_extra_that_is_needed_must_be_there(module: str, environ: dict[str, str], says: str, tmp_path: Path) -> None:
    """The variable that needs it is named."""
    environ = {name: str(tmp_path) if value == "DIRECTORY" else value for name, value in environ.items()}
    assert f"fail  extras: {says}" in without(module, environ)


def test_an_aiohttp_that_has_lost_something_fails() -> None:
    """As after an upgrade: nothing would be sent, and here is why."""
    program = (
        "import sys, aiohttp\nfrom exterview_auth._aiohttp.internals.needed import NEEDED\n"
        "delattr(aiohttp.StreamReader, next(iter(NEEDED['StreamReader'])))\n"
        "from exterview_auth._cli import main; sys.exit(main(['doctor']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("fail  versions: exterview-auth ")
    assert "StreamReader" in done.stdout.splitlines()[0]
