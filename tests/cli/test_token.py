"""`token`: formats, the workers' store, lifetimes, and what is held without a login."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from exterview_auth import ExterviewAuth
from exterview_auth.emulator import Emulator
from tests.kit.command import COMMAND, Elsewhere, ran
from tests.kit.tokens import jwt_of

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture(params=["file", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where workers share a token: a directory, or a real Redis."""
    return str(tmp_path / "tokens") if request.param == "file" else str(request.getfixturevalue("redis_url"))


def seconds_until(moment: str) -> float:
    """Return the seconds until *moment*, which is written as RFC 3339 says."""
    assert RFC_3339.fullmatch(moment)
    return (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()


# -- formats --------------------------------------------------------------------------------------------------------------


def test_each_format_has_the_token_where_its_reader_looks(fixed_token: str, emulator: Emulator) -> None:
    """Text and header alone on a line; JSON as OAuth calls it; ExecCredential as Kubernetes does."""
    printed = {form: ran("token", "--format", form).printed() for form in ("text", "header", "json", "exec-credential")}
    assert printed["text"] == f"{fixed_token}\n"
    assert printed["header"] == f"Authorization: Bearer {fixed_token}\n"
    assert json.loads(printed["json"]) == {
        "access_token": fixed_token,
        "token_type": "Bearer",
        "expires_at": None,
        "expires_in": None,
        "endpoint": emulator.endpoint,
    }
    assert json.loads(printed["exec-credential"]) == {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": fixed_token},
    }
    assert ran("token").printed() == printed["text"]
    assert ran("token", "--header").printed() == printed["header"]
    assert ran("token", "--header", "--format", "header").printed() == printed["header"]


def test_an_expiry_is_told_as_programs_read_it(emulator: Emulator) -> None:
    """Absolute as RFC 3339 in UTC, and relative in whole seconds, which promise nothing that has gone by."""
    emulator.token_lifetime = 600.0
    answer = json.loads(ran("token", "--format", "json").printed())
    assert 590 < seconds_until(answer["expires_at"]) <= 600
    assert isinstance(answer["expires_in"], int)
    assert 590 < answer["expires_in"] <= 600
    status = json.loads(ran("token", "--format", "exec-credential").printed())["status"]
    assert 590 < seconds_until(status["expirationTimestamp"]) <= 600


def test_a_bearer_tokens_own_expiry_is_told_also_if_it_is_over(
    fixed_token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token says 2025, and so do we: a new expiry would be made up."""
    assert fixed_token
    monkeypatch.setenv("EXTERVIEW_BEARER_TOKEN", jwt_of(exp=1735787045, iat=1735783445))
    answer = json.loads(ran("token", "--format", "json").printed())
    assert (answer["expires_at"], answer["expires_in"]) == ("2025-01-02T03:04:05Z", 0)


def test_the_query_of_the_endpoint_is_not_in_the_json(fixed_token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature in the URL is as secret as a key."""
    monkeypatch.setenv("EXTERVIEW_ENDPOINT", f"{os.environ['EXTERVIEW_ENDPOINT']}?sig=s3cr3t-signature")
    printed = ran("token", "--format", "json").printed()
    assert fixed_token in printed
    assert "s3cr3t" not in printed


needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("bash") is None, reason="this machine has no curl, or no bash"
)
SIGNED = (
    "curl -sS --max-time 60 -K <({command} token --format curl) -H 'Content-Type: application/json'"
    ' -d \'{{"query": "{{ __typename }}"}}\' "$EXTERVIEW_ENDPOINT"'
)


def signed_by_curl() -> subprocess.Popen[str]:
    """Let a shell do what the help text shows."""
    line = SIGNED.format(command=" ".join(COMMAND))
    return subprocess.Popen(["bash", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@needs_curl
def test_curl_takes_any_key_that_can_be_sent(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quotes and backslashes have a meaning in curl's file, and arrive as they are."""
    emulator = Emulator(api_key="a\"b\\c'd\\n#e$f")
    elsewhere.run(emulator.start())
    for name in ("endpoint", "api_key", "email", "password"):
        monkeypatch.setenv(f"EXTERVIEW_{name.upper()}", getattr(emulator, name))
    with signed_by_curl() as shell:
        out, err = shell.communicate(timeout=120)
    assert (json.loads(out), err) == ({"data": {"__typename": "Query"}}, "")
    elsewhere.run(emulator.stop())


@needs_curl
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="the list of processes is read as Linux shows it")
def test_no_secret_stands_in_the_list_of_processes(emulator: Emulator) -> None:
    """While the command and curl run, neither the key nor the password nor a token is anybody's argument."""
    emulator.latency = 0.5
    seen: set[bytes] = set()
    with signed_by_curl() as shell:
        while shell.poll() is None:
            seen.update(arguments_of_all())
        out, err = shell.communicate()
    assert (json.loads(out), err) == ({"data": {"__typename": "Query"}}, "")
    assert any(line.startswith(b"curl\0") and b"/dev/fd/" in line for line in seen)
    assert any(b"exterview_auth\0token" in line for line in seen)
    tokens = list(emulator._state.accounts._tokens)
    assert len(tokens) == 1
    for secret in (*tokens, emulator.api_key, emulator.password):
        assert not any(secret.encode() in line for line in seen)


def arguments_of_all() -> set[bytes]:
    """Return the command line of every process."""
    found = set()
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                found.add((directory / "cmdline").read_bytes())
            except OSError:  # ended meanwhile
                continue
    return found


# -- the workers' store ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_store_is_shared_with_the_workers(place: str, by: str, emulator: Emulator, elsewhere: Elsewhere) -> None:
    """One login: what the command gets, another command prints and a worker adopts, and the other way round."""
    option = ["--store", place] if by == "option" else []
    environ = {} if by == "option" else {"EXTERVIEW_STORE": place}
    token = ran("token", *option, environ=environ).printed().strip()
    assert ran("token", *option, environ=environ).printed().strip() == token
    assert ran("token", "--no-login", *option, environ=environ).printed().strip() == token

    async def worker() -> str:
        async with ExterviewAuth.from_env({**os.environ, "EXTERVIEW_STORE": place}) as auth:
            return str((await auth.token()).value)

    assert elsewhere.run(worker()) == token
    assert emulator.stats().logins == 1


def test_a_stores_key_encrypts(emulator: Emulator, tmp_path: Path) -> None:
    """Without it, the entry is unreadable, and the token not held."""
    keyed = {"EXTERVIEW_STORE": str(tmp_path / "tokens"), "EXTERVIEW_STORE_KEY": Fernet.generate_key().decode()}
    token = ran("token", environ=keyed).printed().strip()
    [entry] = (tmp_path / "tokens").glob("*.token")
    assert token.encode() not in entry.read_bytes()
    assert ran("token", "--no-login", environ=keyed).printed().strip() == token
    ran("token", "--no-login", environ={**keyed, "EXTERVIEW_STORE_KEY": ""}).failed(4, "no token is held in the store")
    assert emulator.stats().logins == 1


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize(
    "place",
    ["redis://user:s3cr3t@h.example/0", "rediss://:s3cr3t@h.example", "redis://h.example/0?password=s3cr3t"],
)
def test_a_password_in_the_option_is_refused_and_not_repeated(place: str) -> None:
    """Everybody on the machine sees an argument; the variable may have it."""
    sentence = ran("token", "--store", place).failed(2, "--store has a password in it", "EXTERVIEW_STORE")
    assert "s3cr3t" not in sentence


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("memcached://h", "--store must be a directory, or a URL that begins with redis:// or rediss://"),
        ("/dev/null/tokens", "--store: FileStore cannot use /dev/null/tokens"),
        (" ", "--store is empty"),
    ],
)
def test_a_wrong_store_is_called_as_it_was_given(place: str, says: str) -> None:
    """By the option, which the user has written, and not by the variable that it stands for."""
    assert "EXTERVIEW_STORE" not in ran("token", "--store", place).failed(2, says)


def test_a_store_that_is_down_is_said_and_does_not_matter(emulator: Emulator) -> None:
    """The token is there and works; that nobody shares it stands on standard error, without the password."""
    environ = {"EXTERVIEW_STORE": "redis://user:s3cr3t-word@127.0.0.1:1/0"}
    done = ran("token", environ=environ)
    assert (done.code, done.err.count("\n")) == (0, 1)
    assert done.err.startswith("exterview-auth: the store does not work, so this token is not shared; see")
    assert done.out.strip() in emulator._state.accounts._tokens
    done = ran("token", "--no-login", environ=environ)
    assert "s3cr3t" not in done.failed(1, "Redis cannot be used: it cannot be reached; check")


def test_a_bearer_token_needs_no_store(fixed_token: str, tmp_path: Path) -> None:
    """It does not say whose it is, so it is not put there, and counts all the same."""
    environ = {"EXTERVIEW_STORE": str(tmp_path / "tokens")}
    assert ran("token", environ=environ).printed().strip() == fixed_token
    assert ran("token", "--store", environ["EXTERVIEW_STORE"], "--no-login").printed().strip() == fixed_token
    assert not (tmp_path / "tokens").exists()


# -- how long it lives ----------------------------------------------------------------------------------------------------


def test_a_token_that_ends_too_soon_is_replaced_for_all(place: str, emulator: Emulator) -> None:
    """`--min-lifetime`: a held one that lives long enough is printed as it is, and otherwise the new one is in the store."""
    emulator.token_lifetime = 40.0
    short = ran("token", "--store", place).printed()
    assert ran("token", "--store", place, "--min-lifetime", "20").printed() == short
    emulator.token_lifetime = 600.0
    long = ran("token", "--store", place, "--min-lifetime", "60").printed()
    assert long != short
    assert ran("token", "--store", place, "--no-login", "--min-lifetime", "60").printed() == long
    assert emulator.stats().logins == 2


def test_a_lifetime_that_no_login_gives_is_an_error(emulator: Emulator) -> None:
    """A job that needs an hour is to know now; one more second than asked for is not needed."""
    emulator.token_lifetime = 30.0
    assert ran("token", "--min-lifetime", "30").printed().strip()
    says = ("a login gives tokens of only 30 s", "--min-lifetime asks for 60 s; ask for less")
    ran("token", "--min-lifetime", "60").failed(1, *says)
    assert emulator.stats().logins == 2


def test_a_token_without_an_expiry_lives_long_enough(fixed_token: str) -> None:
    """Only a 401 will tell."""
    assert ran("token", "--min-lifetime", "1e6").printed().strip() == fixed_token


@pytest.mark.usefixtures("fixed_token")
def test_a_bearer_token_that_ends_too_soon_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No login can replace it."""
    monkeypatch.setenv("EXTERVIEW_BEARER_TOKEN", jwt_of(exp=int(time.time()) + 100))
    ran("token", "--min-lifetime", "600").failed(
        1, "the token in EXTERVIEW_BEARER_TOKEN lives only ", "; put a new one there"
    )


# -- what is held ---------------------------------------------------------------------------------------------------------


def test_without_a_store_nothing_is_held(emulator: Emulator) -> None:
    """Exit code 4, what to do, and no request."""
    ran("token", "--no-login").failed(4, "no token is held: there is no store; set EXTERVIEW_STORE, or give --store")
    assert emulator.stats().requests == 0


def test_an_empty_store_holds_nothing(place: str, emulator: Emulator) -> None:
    """Exit code 4, and no request."""
    if "://" not in place:
        Path(place).mkdir(mode=0o700)
    ran("token", "--no-login", "--store", place).failed(
        4, "no token is held in the store for this account", "leave out --no-login"
    )
    assert emulator.stats().requests == 0


def test_a_held_token_that_ends_too_soon_is_not_printed(place: str, emulator: Emulator) -> None:
    """Exit code 4: a login is what it would take."""
    emulator.token_lifetime = 100.0
    ran("token", "--store", place).printed()
    says = ("the token that is held lives only ", " s, and --min-lifetime asks for 600 s; leave out --no-login")
    ran("token", "--store", place, "--no-login", "--min-lifetime", "600").failed(4, *says)
    assert emulator.stats().logins == 1


def test_another_accounts_token_is_not_held(emulator: Emulator, tmp_path: Path) -> None:
    """An entry belongs to the endpoint and the user that it was made for."""
    store = ["--store", str(tmp_path / "tokens")]
    ran("token", *store).printed()
    for other in (
        {"EXTERVIEW_EMAIL": "else@example.com"},
        {"EXTERVIEW_ENDPOINT": emulator.endpoint.replace("127.0.0.1", "localhost")},
    ):
        ran("token", "--no-login", *store, environ=other).failed(4, "no token is held")


@pytest.mark.usefixtures("emulator")
def test_without_a_login_no_directory_is_made(tmp_path: Path) -> None:
    """A place that was mistyped stays as it is: nothing."""
    place = tmp_path / "tokns"
    ran("token", "--no-login", "--store", str(place)).failed(
        4, "no token is held: --store names no directory that exists"
    )
    assert not place.exists()


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("place", ["redis:6379", "rediss:host", "redis//user:p4ssw0rd@host", "REDIS:/x"])
def test_a_mistyped_url_is_no_directory(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its password would become a name of a file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXTERVIEW_STORE", place)
    sentence = ran("token").failed(2, "must be a directory, or a URL that begins with redis:// or rediss://")
    assert "p4ssw0rd" not in sentence
    assert list(tmp_path.iterdir()) == []


def test_the_token_of_an_account_with_a_name(place: str, emulator: Emulator) -> None:
    """Workers with ``account=``, as in a pool, share it by that name: an option, or a variable."""
    token = ran("token", "--store", place, "--account", "acme").printed()
    assert ran("token", "--store", place, "--no-login", environ={"EXTERVIEW_ACCOUNT": "acme"}).printed() == token
    ran("token", "--store", place, "--no-login").failed(4, "for this account")
    ran("token", "--store", place, "--account", " ").failed(2, "--account is empty")
    assert emulator.stats().logins == 1


def test_a_revoked_token_is_replaced_if_the_api_is_asked(place: str, emulator: Emulator) -> None:
    """By itself, a held token is printed as it is."""
    token = ran("token", "--store", place).printed()
    emulator.revoke()
    assert ran("token", "--store", place).printed() == token
    renewed = ran("token", "--store", place, "--verify").printed()
    assert ran("token", "--store", place, "--verify").printed() == renewed != token
    assert emulator.stats().logins == 2
    ran("token", "--store", place, "--verify", "--no-login").failed(2, "--verify may log in")


@pytest.mark.usefixtures("emulator")
def test_a_token_needs_an_output() -> None:
    """Nobody would get it, and a script would go on with nothing."""
    line = ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, "token"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (
        2, "exterview-auth: standard output is closed; leave it open, because the token is printed there\n"
    )  # fmt: skip


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("expires", [1_796_000_000_000, 253_402_300_800, 10**15, 1e300])
def test_a_date_that_does_not_exist_is_no_crash(expires: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JWT with its expiry in milliseconds is printed as one that lives for years."""
    monkeypatch.setenv("EXTERVIEW_BEARER_TOKEN", jwt_of(exp=expires))
    monkeypatch.delenv("EXTERVIEW_EMAIL")
    monkeypatch.delenv("EXTERVIEW_PASSWORD")
    assert json.loads(ran("token", "--format", "json").printed())["expires_in"] > 365 * 86_400


@pytest.mark.parametrize("kind", ["variable", "file"])
def test_a_bearer_token_counts_as_held(
    kind: str, fixed_token: str, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there, and nothing is sent."""
    if kind == "file":
        (tmp_path / "token").write_text(f"{fixed_token}\n")
        monkeypatch.delenv("EXTERVIEW_BEARER_TOKEN")
        monkeypatch.setenv("EXTERVIEW_BEARER_TOKEN_FILE", str(tmp_path / "token"))
    assert ran("token", "--no-login").printed().strip() == fixed_token
    assert emulator.stats().requests == 0


@pytest.mark.usefixtures("fixed_token")
def test_a_bearer_token_that_has_expired_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own words; where a login is allowed, only the API can say whether it works."""
    token = jwt_of(exp=1735787045)
    monkeypatch.setenv("EXTERVIEW_BEARER_TOKEN", token)
    ran("token", "--no-login").failed(4, "the token in EXTERVIEW_BEARER_TOKEN has expired; put a new one there")
    assert ran("token").printed().strip() == token


# -- OAuth 2.0 ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Let the environment name the emulator's OAuth client, in the place of its user."""
    for name in ("EMAIL", "PASSWORD"):
        monkeypatch.delenv(f"EXTERVIEW_{name}")
    monkeypatch.setenv("EXTERVIEW_TOKEN_URL", emulator.token_endpoint)
    monkeypatch.setenv("EXTERVIEW_CLIENT_ID", emulator.client_id)
    monkeypatch.setenv("EXTERVIEW_CLIENT_SECRET", emulator.client_secret)
    return emulator


def test_a_client_gets_a_token_and_passes_the_check(client: Emulator, place: str) -> None:
    """The variables of OAuth 2.0 serve every command, and a store knows the client."""
    assert (
        "the token from EXTERVIEW_TOKEN_URL, EXTERVIEW_CLIENT_ID and EXTERVIEW_CLIENT_SECRET" in ran("check").printed()
    )
    token = ran("token", "--store", place).printed()
    assert ran("token", "--store", place, "--no-login").printed() == token
    assert token.strip() in client._state.accounts._tokens


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("command", ["check", "token"])
def test_a_wrong_secret_is_not_a_wrong_key(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the client's variables, and not the organization's key."""
    monkeypatch.setenv("EXTERVIEW_CLIENT_SECRET", "wrong-4711")
    sentence = ran(command).failed(
        1, "the login was refused: the client or its secret is wrong (it answered 401, 'invalid_client: "
    )
    assert "; correct EXTERVIEW_TOKEN_URL" in sentence
    assert "EXTERVIEW_API_KEY" not in sentence
    assert "4711" not in sentence


@pytest.mark.usefixtures("client")
def test_a_token_endpoint_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is another server than the API's."""
    monkeypatch.setenv("EXTERVIEW_TOKEN_URL", "http://127.0.0.1:1/token")
    sentence = ran("token", "--timeout", "0.2").failed(1, "check EXTERVIEW_TOKEN_URL, the network and any proxy")
    assert "EXTERVIEW_ENDPOINT" not in sentence
