"""The environment's variables become an owner's arguments, or an error that names the variable."""

from __future__ import annotations

import contextlib
import inspect
import pydoc
import re
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from cryptography.fernet import Fernet
from redis.asyncio import Redis

from exterview_auth import (
    AuthSession,
    ConfigurationError,
    CredentialsRejectedError,
    ExterviewAuth,
    FileStore,
    InsecureTransportError,
    LoginContext,
    OAuth2Login,
    PasswordLogin,
    StaticLogin,
    Token,
)
from exterview_auth._environment import VARIABLES, CredentialSource, arguments_from, source_of
from exterview_auth._overrides import Overrides
from exterview_auth.emulator import Emulator
from tests.kit.login_endpoint import Reply, log_in, login_endpoint
from tests.kit.showing import assert_shows_none
from tests.kit.stores import eventually, told

USER = {"EXTERVIEW_EMAIL": "user@example.com", "EXTERVIEW_PASSWORD": "pass word"}
FULL = {"EXTERVIEW_API_KEY": "key", **USER}
CLIENT = {
    "EXTERVIEW_TOKEN_URL": "https://login.example/token",
    "EXTERVIEW_CLIENT_ID": "client",
    "EXTERVIEW_CLIENT_SECRET": "client secret",
}


def arguments(*removed: str, **changed: str) -> dict[str, Any]:
    """Arguments from a full environment with some variables *removed* or *changed*."""
    environ = {name: value for name, value in FULL.items() if name not in removed}
    return arguments_from({**environ, **changed}, {})


def test_key_and_user_are_enough() -> None:
    """With the API key, e-mail and password the rest keeps its defaults."""
    made = arguments()
    assert set(made) == {"api_key", "login"}
    assert made["api_key"] == "key"
    assert isinstance(made["login"], PasswordLogin)
    assert made["login"].identity == "user@example.com"


def test_a_password_is_taken_as_it_is() -> None:
    """Spaces around a password are part of it; around any other value they are not."""
    login = arguments(EXTERVIEW_PASSWORD=" secret ", EXTERVIEW_EMAIL=" a@b ")["login"]
    assert login._password.last == " secret "
    assert login._email == "a@b"
    assert arguments(EXTERVIEW_API_KEY=" key \n")["api_key"] == "key"


def test_an_owner_is_made_from_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_env` reads ``os.environ`` by default, and takes overrides."""
    for name, value in FULL.items():
        monkeypatch.setenv(name, value)
    owner = ExterviewAuth.from_env(account="team", endpoint="sandbox")
    assert owner.account == "team"
    assert owner.endpoint.host == "sandbox-api.exterview.ai"
    assert ExterviewAuth.from_env({**FULL, "EXTERVIEW_EMAIL": "other@example.com"}).account == "other@example.com"


# -- what is missing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("EXTERVIEW_API_KEY", "the API key is missing; set EXTERVIEW_API_KEY or EXTERVIEW_API_KEY_FILE"),
        (
            "EXTERVIEW_PASSWORD",
            "EXTERVIEW_PASSWORD is missing; set it, or EXTERVIEW_PASSWORD_FILE, together with EXTERVIEW_EMAIL",
        ),
        (
            "EXTERVIEW_EMAIL",
            "EXTERVIEW_EMAIL is missing; set it together with EXTERVIEW_PASSWORD or EXTERVIEW_PASSWORD_FILE",
        ),
    ],
)
def test_a_missing_variable_is_named(missing: str, sentence: str) -> None:
    """An absent, an empty and a blank variable are the same: an error that names what to set. Blanks may be a password."""
    blank = {} if missing == "EXTERVIEW_PASSWORD" else {missing: " "}
    for changed in ({}, {missing: ""}, blank):
        with pytest.raises(ConfigurationError) as caught:
            arguments(missing, **changed)
        assert str(caught.value) == sentence


def test_without_any_credentials_all_ways_are_named() -> None:
    """If there is neither user nor token, the error names each variable that would do."""
    with pytest.raises(ConfigurationError, match="credentials are missing") as caught:
        arguments(*USER)
    assert all(name in str(caught.value) for name in (*USER, "EXTERVIEW_BEARER_TOKEN", "EXTERVIEW_BEARER_TOKEN_FILE"))


def test_overrides_win() -> None:
    """Overrides win over the environment, whose variables may then be missing or wrong."""
    login = StaticLogin("abc")
    given = {"login": login, "api_key": "own", "endpoint": "sandbox", "account": "team"}
    assert arguments_from({"EXTERVIEW_ENDPOINT": "nonsense"}, given) == given


@pytest.mark.parametrize("variable", ["EXTERVIEW_BEARER_TOKEN", "EXTERVIEW_ENDPOINT", "EXTERVIEW_ENVIRONMENT"])
def test_a_variable_that_is_none_is_not_set(variable: str) -> None:
    """As in what ``dotenv_values()`` returns for a line without ``=``."""
    assert set(arguments_from({**FULL, variable: None}, {})) == {"api_key", "login"}


@pytest.mark.parametrize("variable", ["EXTERVIEW_API_KEY", "EXTERVIEW_PASSWORD", "EXTERVIEW_ENDPOINT"])
@pytest.mark.parametrize("value", [12345678, b"12345678", ["12345678"]], ids=["int", "bytes", "list"])
def test_a_variable_that_is_not_text_is_named(variable: str, value: object) -> None:
    """A mapping need not come from an environment; its values are not shown."""
    with pytest.raises(ConfigurationError) as caught:
        ExterviewAuth.from_env({**FULL, variable: value})  # type: ignore[dict-item]
    assert str(caught.value) == f"{variable} must be text, not {type(value).__name__}"
    assert_shows_none(caught.value, "12345678")


# -- the endpoint --------------------------------------------------------------------------------------------------------


def test_an_endpoint_outranks_an_environment() -> None:
    """``EXTERVIEW_ENVIRONMENT`` is one of two names, in any case; ``EXTERVIEW_ENDPOINT`` is more exact, so it wins."""
    assert arguments(EXTERVIEW_ENVIRONMENT="SANDBOX ")["endpoint"] == "sandbox"
    assert arguments(EXTERVIEW_ENVIRONMENT="Production")["endpoint"] == "production"
    made = arguments(EXTERVIEW_ENDPOINT="http://localhost:8000/graphql", EXTERVIEW_ENVIRONMENT="production")
    assert made["endpoint"] == "http://localhost:8000/graphql"
    assert arguments(EXTERVIEW_ENDPOINT="  ", EXTERVIEW_ENVIRONMENT="sandbox")["endpoint"] == "sandbox"


@pytest.mark.parametrize(
    ("variable", "value", "kind"),
    [
        ("EXTERVIEW_ENVIRONMENT", "staging", ConfigurationError),
        ("EXTERVIEW_ENVIRONMENT", "https://h.example/", ConfigurationError),
        ("EXTERVIEW_ENDPOINT", "graphql", ConfigurationError),
        ("EXTERVIEW_ENDPOINT", "http://h.example/", InsecureTransportError),
        ("EXTERVIEW_API_KEY", "k ey", ConfigurationError),
        ("EXTERVIEW_PASSWORD", "  ", ConfigurationError),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, kind: type[ConfigurationError]) -> None:
    """The error begins with the variable's name and keeps its type."""
    with pytest.raises(ConfigurationError, match=f"^{variable}") as caught:
        arguments(**{variable: value})
    assert type(caught.value) is kind


def test_a_wrong_token_is_named_and_not_shown() -> None:
    """A bearer token that cannot be sent shows neither in the error nor in its context."""
    with pytest.raises(ConfigurationError, match=r"^EXTERVIEW_BEARER_TOKEN: ") as caught:
        arguments(*USER, EXTERVIEW_BEARER_TOKEN="s3cret token")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None


# -- the user's token ----------------------------------------------------------------------------------------------------


def test_email_and_password_outrank_a_token() -> None:
    """If both are set, the credentials are used: they can get a new token."""
    assert isinstance(arguments(EXTERVIEW_BEARER_TOKEN="abc")["login"], PasswordLogin)


def test_a_token_is_used_if_no_user_is_named(tmp_path: Path) -> None:
    """``EXTERVIEW_BEARER_TOKEN`` outranks ``EXTERVIEW_BEARER_TOKEN_FILE``."""
    file = tmp_path / "token"
    file.write_text("abc\n")
    fixed = arguments(*USER, EXTERVIEW_BEARER_TOKEN="abc", EXTERVIEW_BEARER_TOKEN_FILE=str(file))["login"]
    assert repr(fixed) == "StaticLogin('***')"
    from_file = arguments(*USER, EXTERVIEW_BEARER_TOKEN_FILE=f" {file} ")["login"]
    assert isinstance(from_file, StaticLogin)
    assert repr(from_file) == f"StaticLogin(file={str(file)!r})"


def test_a_source_names_each_of_its_variables_once() -> None:
    """In sentences, which a reader searches for the variable to mend."""
    assert str(CredentialSource.PASSWORD_FILE) == "EXTERVIEW_EMAIL and EXTERVIEW_PASSWORD_FILE"
    assert all(len(source.variables) == len(set(source.variables)) for source in CredentialSource)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({**USER, "EXTERVIEW_BEARER_TOKEN": "t"}, CredentialSource.PASSWORD),
        ({**USER, "EXTERVIEW_PASSWORD_FILE": "/run/password"}, CredentialSource.PASSWORD),
        ({**USER, "EXTERVIEW_PASSWORD": "", "EXTERVIEW_PASSWORD_FILE": "/run/p"}, CredentialSource.PASSWORD_FILE),
        ({"EXTERVIEW_EMAIL": " ", "EXTERVIEW_BEARER_TOKEN": "t"}, CredentialSource.FIXED_TOKEN),
        ({"EXTERVIEW_BEARER_TOKEN_FILE": "/run/token"}, CredentialSource.TOKEN_FILE),
        ({"EXTERVIEW_EMAIL": "a@b.example", "EXTERVIEW_BEARER_TOKEN": "t"}, None),
        ({"EXTERVIEW_PASSWORD": "p", "EXTERVIEW_BEARER_TOKEN": "t"}, None),
        ({"EXTERVIEW_API_KEY": "key"}, None),
        ({**CLIENT, **USER, "EXTERVIEW_BEARER_TOKEN": "t"}, CredentialSource.CLIENT),
        ({**CLIENT, "EXTERVIEW_EMAIL": "a@b.example"}, CredentialSource.CLIENT),
        (
            {**CLIENT, "EXTERVIEW_CLIENT_SECRET": "", "EXTERVIEW_CLIENT_SECRET_FILE": "/run/s"},
            CredentialSource.CLIENT_FILE,
        ),
        ({"EXTERVIEW_TOKEN_URL": "https://l.example/", **USER}, None),
        ({"EXTERVIEW_CLIENT_ID": "client", "EXTERVIEW_BEARER_TOKEN": "t"}, None),
        ({"EXTERVIEW_CLIENT_SECRET_FILE": "/run/s", **USER}, None),
        ({"EXTERVIEW_SCOPE": "read", **USER}, CredentialSource.PASSWORD),
    ],
)
def test_one_place_says_where_the_token_comes_from(environ: dict[str, str], expected: CredentialSource | None) -> None:
    """The command names what `from_env` uses; a user without a password, or the reverse, is an error and no source."""
    assert source_of(environ) is expected


# -- OAuth 2.0 ------------------------------------------------------------------------------------------------------------


async def test_a_client_logs_in_at_its_token_endpoint() -> None:
    """URL, client, secret and scope are what the variables say; the organization's key is not sent there."""
    async with login_endpoint(Reply(200, {"access_token": "t-1", "expires_in": 60})) as endpoint:
        environ = {**CLIENT, "EXTERVIEW_TOKEN_URL": f" {endpoint.url} ", "EXTERVIEW_SCOPE": "read write"}
        async with ExterviewAuth.from_env({"EXTERVIEW_API_KEY": "key", **environ}) as auth:
            assert (await auth.token()).value == "t-1"
            assert auth.account.startswith("client ")
    assert endpoint.forms == [{"grant_type": "client_credentials", "scope": "read write"}]
    assert endpoint.headers[0]["Authorization"] == f"Basic {b64encode(b'client:client%20secret').decode()}"
    assert "x-api-key" not in endpoint.headers[0]


def test_a_client_outranks_a_user_and_a_token() -> None:
    """Nobody names a token endpoint without wanting it."""
    assert isinstance(arguments(**CLIENT, EXTERVIEW_BEARER_TOKEN="t")["login"], OAuth2Login)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("URL", "EXTERVIEW_CLIENT_ID is missing; set it together with EXTERVIEW_TOKEN_URL"),
        ("ID", "EXTERVIEW_TOKEN_URL is missing; set it together with EXTERVIEW_CLIENT_ID"),
        ("SECRET", "EXTERVIEW_TOKEN_URL is missing; set it together with EXTERVIEW_CLIENT_SECRET"),
        ("ID SECRET", "EXTERVIEW_TOKEN_URL is missing; set it together with EXTERVIEW_CLIENT_ID and EXTERVIEW_CLIENT_SECRET"),
        ("URL SECRET", "EXTERVIEW_CLIENT_ID is missing; set it together with EXTERVIEW_TOKEN_URL and EXTERVIEW_CLIENT_SECRET"),
        (
            "URL ID",
            "EXTERVIEW_CLIENT_SECRET is missing; set it, or EXTERVIEW_CLIENT_SECRET_FILE, together with EXTERVIEW_TOKEN_URL and EXTERVIEW_CLIENT_ID",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("beside", [{}, USER, {"EXTERVIEW_BEARER_TOKEN": "t"}], ids=["alone", "user", "token"])
def test_half_a_client_is_an_error_that_names_the_rest(given: str, sentence: str, beside: dict[str, str]) -> None:
    """Also beside a user or a token that would do: whoever began it wants it."""
    begun = {name: value for name, value in CLIENT.items() if name.rpartition("_")[2] in given.split()}
    with pytest.raises(ConfigurationError) as caught:
        arguments_from({"EXTERVIEW_API_KEY": "key", **beside, **begun}, {})
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("url", "kind"), [("http://login.example/token", InsecureTransportError), ("login.example", ConfigurationError)]
)
def test_a_wrong_token_endpoint_is_named(url: str, kind: type[ConfigurationError]) -> None:
    """By its variable, and held to the same safety as the API."""
    with pytest.raises(ConfigurationError, match=r"^EXTERVIEW_TOKEN_URL: ") as caught:
        arguments(**{**CLIENT, "EXTERVIEW_TOKEN_URL": url})
    assert type(caught.value) is kind


# -- the store ------------------------------------------------------------------------------------------------------------


async def test_two_owners_from_one_environment_share_a_token(tmp_path: Path) -> None:
    """A directory becomes a store of files: what one logs in for, the other adopts, encrypted if there is a key."""
    keys = [Fernet.generate_key().decode() for _ in range(2)]
    (tmp_path / "keys").write_text(f"{keys[1]},\n{keys[0]}\n")
    async with login_endpoint(Reply(200, {"data": {"login": {"token": "t", "expiresIn": 60}}})) as endpoint:
        environ = {**FULL, "EXTERVIEW_ENDPOINT": str(endpoint.url), "EXTERVIEW_STORE": f"{tmp_path / 'tokens'}\n"}
        async with ExterviewAuth.from_env({**environ, "EXTERVIEW_STORE_KEY": keys[0]}) as first:
            assert (await first.token()).value == "t"
        async with ExterviewAuth.from_env({**environ, "EXTERVIEW_STORE_KEY_FILE": str(tmp_path / "keys")}) as second:
            assert (await second.token()).value == "t"
            assert second.stats().adopted == 1
    assert len(endpoint.bodies) == 1
    [entry] = (tmp_path / "tokens").glob("*.token")
    assert b'"t"' not in entry.read_bytes()


async def test_a_redis_of_the_environment_is_closed_with_its_owner(redis_url: str) -> None:
    """Nobody else has the store: no connection is left behind."""
    async with login_endpoint(Reply(200, {"data": {"login": {"token": "t"}}})) as endpoint:
        environ = {**FULL, "EXTERVIEW_ENDPOINT": str(endpoint.url), "EXTERVIEW_STORE": redis_url}
        async with ExterviewAuth.from_env(environ) as auth:
            await auth.token()
    async with Redis.from_url(redis_url) as client:
        assert len(await client.keys("exterview_auth:*:token")) == 1
        await eventually(lambda: _alone(client), 5.0)


async def _alone(client: Any) -> bool:
    return len(await client.client_list()) == 1


async def test_a_store_that_is_given_stays_open(tmp_path: Path) -> None:
    """``store=`` outranks the variable, and belongs to whoever made it."""
    closed: list[FileStore] = []

    class Watched(FileStore):
        async def aclose(self) -> None:
            closed.append(self)

    environ = {**FULL, "EXTERVIEW_STORE": str(tmp_path / "absent")}
    async with ExterviewAuth.from_env(environ, store=Watched(tmp_path / "given")):
        pass
    assert closed == []
    assert not (tmp_path / "absent").exists()
    assert arguments_from({**FULL, "EXTERVIEW_STORE": "x:/"}, {"store": None})["store"] is None


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("STORE", "memcached://h", " must be a directory, or a URL that begins with redis:// or rediss://"),
        ("STORE", "redis:/h", " must be a directory, or a URL that begins with redis:// or rediss://"),
        ("STORE", "redis://u:s3cr3t/x@h/0", ": RedisStore needs a URL such as redis://HOST:6379/0"),
        ("STORE", "/dev/null/tokens", ": FileStore cannot use /dev/null/tokens: "),
        ("STORE_KEY", "s3cr3t", ": encryption_key must be one or several Fernet keys"),
        ("STORE_KEY_FILE", "/absent", ": the encryption key's file /absent cannot be read"),
    ],
)
def test_a_wrong_store_is_named(variable: str, value: str, said: str, tmp_path: Path) -> None:
    """By its variable; a password or a key in it is not shown."""
    with pytest.raises(ConfigurationError, match=f"^EXTERVIEW_{variable}{re.escape(said)}") as caught:
        ExterviewAuth.from_env({**FULL, "EXTERVIEW_STORE": str(tmp_path / "tokens"), f"EXTERVIEW_{variable}": value})
    assert_shows_none(caught.value, "s3cr3t")


def test_a_directory_is_not_made_for_a_configuration_that_is_wrong(tmp_path: Path) -> None:
    """What is missing is found first."""
    with pytest.raises(ConfigurationError, match="EXTERVIEW_PASSWORD is missing"):
        arguments("EXTERVIEW_PASSWORD", EXTERVIEW_STORE=str(tmp_path / "tokens"))
    assert list(tmp_path.iterdir()) == []


async def _login_without_identity(_context: LoginContext) -> Token:
    return Token("t")


class _OwnerInARegion(ExterviewAuth):
    """A subclass with an option of its own, which it checks last."""

    def __init__(self, login: Any, api_key: Any, *, region: str = "eu", **options: Any) -> None:
        super().__init__(login, api_key=api_key, **options)
        if region != "eu":
            raise ConfigurationError("region must be 'eu'")


@pytest.mark.parametrize(
    ("kind", "refused", "sentence"),
    [
        (ExterviewAuth, {"account": ""}, "an account is named by text that is not empty"),
        (ExterviewAuth, {"login": _login_without_identity}, "a store needs to know whose token it holds"),
        (ExterviewAuth, {"max_logins": 3}, "max_logins must be a count and seconds"),
        (ExterviewAuth, {"origins": ["ftp://files.example"]}, "origins must be an absolute"),
        (_OwnerInARegion, {"region": "us"}, "region must be 'eu'"),
    ],
)
def test_a_directory_is_not_made_for_an_argument_that_is_refused(
    kind: type[ExterviewAuth], refused: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    """Overrides, and what a subclass adds, are checked first."""
    with pytest.raises(ConfigurationError, match=f"^{sentence}"):
        kind.from_env({**FULL, "EXTERVIEW_STORE": str(tmp_path / "tokens")}, **refused)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_made_with_its_owner(tmp_path: Path) -> None:
    """One that cannot be used is an error at the start, and not with the first login."""
    ExterviewAuth.from_env({**FULL, "EXTERVIEW_STORE": str(tmp_path / "tokens")})
    assert (tmp_path / "tokens").is_dir()


def test_a_token_needs_a_name_in_a_store(tmp_path: Path) -> None:
    """It does not say whose it is, and the store would not know it again; ``account=`` says so."""
    environ = {"EXTERVIEW_API_KEY": "key", "EXTERVIEW_BEARER_TOKEN": "t", "EXTERVIEW_STORE": str(tmp_path / "tokens")}
    with pytest.raises(ConfigurationError, match=r"^EXTERVIEW_STORE does not know whose token it is") as caught:
        ExterviewAuth.from_env(environ)
    assert "EXTERVIEW_BEARER_TOKEN" in str(caught.value)
    assert ExterviewAuth.from_env(environ, account="acme").account == "acme"


def test_the_readme_has_each_variable() -> None:
    """Its table names all that are read, and no other."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    rows = [line.partition(" | ")[0] for line in text.splitlines() if line.startswith("| `EXTERVIEW_")]
    assert sorted(re.findall(r"`(EXTERVIEW_\w+)`", " ".join(rows))) == sorted(VARIABLES)


# -- what stands around a value -------------------------------------------------------------------------------------------

WRAPPED = "\ufeff{}\r\n"
"""What a file of variables holds that was written on Windows."""


def test_a_value_loses_its_byte_order_mark_and_line_end() -> None:
    """As in a file for ``docker run --env-file`` with CRLF: whatever the variable is, both are nowhere a part of it."""
    plain = {**FULL, "EXTERVIEW_ENDPOINT": "https://h.example/"}
    made, wrapped = (
        arguments_from({name: frame.format(value) for name, value in plain.items()}, {}) for frame in ("{}", WRAPPED)
    )
    assert (
        (wrapped["api_key"], wrapped["endpoint"])
        == (made["api_key"], made["endpoint"])
        == ("key", "https://h.example/")
    )
    assert (wrapped["login"]._email, wrapped["login"]._password.last) == ("user@example.com", "pass word")
    token = arguments(*USER, EXTERVIEW_BEARER_TOKEN=WRAPPED.format("token"))["login"]
    assert list(token._known_secrets()) == ["token"]
    sandbox = arguments(EXTERVIEW_ENVIRONMENT=WRAPPED.format("sandbox"))
    assert sandbox["endpoint"] == "sandbox"


def test_only_line_ends_are_taken_off_a_password() -> None:
    """What stands before them, and a line end in the middle, may be a part of it."""
    assert arguments(EXTERVIEW_PASSWORD=" two\nlines \r\n\n")["login"]._password.last == " two\nlines "


# -- files that are rotated -----------------------------------------------------------------------------------------------

FILES = ("EXTERVIEW_API_KEY", "EXTERVIEW_PASSWORD", "EXTERVIEW_BEARER_TOKEN", "EXTERVIEW_CLIENT_SECRET")

SPOILT: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "a line end": lambda path: path.write_bytes(b"\r\n"),
    "not readable as text": lambda path: path.write_bytes(b"\xff"),
}


class Rotated(NamedTuple):
    """The file of a variable, and what is sent by one login after another."""

    path: Path
    sent: Callable[[], Awaitable[str]]


@contextlib.asynccontextmanager
async def rotated(variable: str, directory: Path) -> AsyncIterator[Rotated]:
    """An owner whose *variable* is in a file, which holds ``first``, and an API that refuses every token but one."""
    path = directory / "secret"
    path.write_bytes(b"\xef\xbb\xbffirst\r\n")
    async with login_endpoint(Reply(200, {"access_token": "t", "data": {"login": {"token": "t"}}})) as endpoint:
        others = {name: value for name, value in FULL.items() if name != variable}
        if variable == "EXTERVIEW_BEARER_TOKEN":
            others = {"EXTERVIEW_API_KEY": "key"}
        if variable == "EXTERVIEW_CLIENT_SECRET":
            client = {"EXTERVIEW_TOKEN_URL": str(endpoint.url), "EXTERVIEW_CLIENT_ID": "client"}
            others = {"EXTERVIEW_API_KEY": "key", **client}
        async with ExterviewAuth.from_env(
            {**others, f"{variable}_FILE": str(path), "EXTERVIEW_ENDPOINT": str(endpoint.url)}
        ) as auth:

            async def sent() -> str:
                token = await auth.token()
                auth.invalidate(token)
                if variable == "EXTERVIEW_BEARER_TOKEN":
                    return str(token.value)
                if variable == "EXTERVIEW_API_KEY":
                    return endpoint.headers[-1]["x-api-key"]
                if variable == "EXTERVIEW_CLIENT_SECRET":
                    _, _, basic = endpoint.headers[-1]["Authorization"].partition(" ")
                    return b64decode(basic).decode().removeprefix("client:")
                return str(endpoint.documents[-1]["variables"]["password"])

            yield Rotated(path, sent)


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("variable", FILES)
async def test_a_file_in_the_middle_of_its_rotation_keeps_its_value(
    variable: str, spoil: Callable[[Path], object], tmp_path: Path
) -> None:
    """Missing or empty for a moment, before the first login too, it keeps what it held."""
    async with rotated(variable, tmp_path) as at:
        spoil(at.path)
        assert await at.sent() == "first"
        at.path.write_text("second\n")
        if variable != "EXTERVIEW_BEARER_TOKEN":
            assert await at.sent() == "second"
            spoil(at.path)
            assert await at.sent() == "second"


@pytest.mark.parametrize("variable", FILES)
async def test_a_file_is_read_again_at_each_login(variable: str, tmp_path: Path) -> None:
    """A rotated key, password or token is picked up without a restart."""
    async with rotated(variable, tmp_path) as at:
        assert await at.sent() == "first"
        at.path.write_text("second\n")
        assert await at.sent() == "second"


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"", b" \n"], ids=["missing", "UTF-16", "empty", "blank"])
@pytest.mark.parametrize("variable", FILES)
def test_a_file_that_never_had_a_value_is_named_at_once(variable: str, content: bytes | None, tmp_path: Path) -> None:
    """A wrong path is an error when the owner is created, not at the first login."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    removed = USER if variable == "EXTERVIEW_BEARER_TOKEN" else (variable,)
    client = {name: CLIENT[name] for name in CLIENT if variable == "EXTERVIEW_CLIENT_SECRET" and name != variable}
    with pytest.raises(ConfigurationError, match=rf"^{variable}_FILE: the .*'s file {file} .*; \w+") as caught:
        arguments(*removed, **client, **{f"{variable}_FILE": str(file)})
    assert caught.value.__context__ is None


# -- the login mutation ---------------------------------------------------------------------------------------------------

SIGN_IN = "mutation ($email: String!, $password: String!) { signIn(user: $email, secret: $password) { key } }"


async def sent_by(login: PasswordLogin) -> list[Any]:
    """The documents of one login at a server whose token is ``{"data": {"signIn": {"key": "t"}}}``."""
    async with login_endpoint(Reply(200, {"data": {"signIn": {"key": "t"}}})) as endpoint:
        assert (await log_in(login, endpoint.url)).value == "t"
    return endpoint.documents


async def test_another_mutation_comes_from_variables(tmp_path: Path) -> None:
    """The API does not publish its own: a document, or a file with one, and the name of the token's field."""
    file = tmp_path / "login.graphql"
    file.write_text(f"{SIGN_IN}\n")
    for variable, value in (("EXTERVIEW_LOGIN_DOCUMENT", SIGN_IN), ("EXTERVIEW_LOGIN_DOCUMENT_FILE", str(file))):
        login = arguments(**{variable: value, "EXTERVIEW_TOKEN_FIELD": "signIn.key"})["login"]
        [sent] = await sent_by(login)
        assert sent == {"query": SIGN_IN, "variables": {"email": "user@example.com", "password": "pass word"}}
    both = {
        "EXTERVIEW_LOGIN_DOCUMENT": SIGN_IN,
        "EXTERVIEW_LOGIN_DOCUMENT_FILE": "absent",
        "EXTERVIEW_TOKEN_FIELD": " key ",
    }
    assert [document["query"] for document in await sent_by(arguments(**both)["login"])] == [SIGN_IN]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("EXTERVIEW_LOGIN_DOCUMENT_FILE", "/absent/login.graphql", "the login document's file /absent/login.graphql cannot be read"),
        ("EXTERVIEW_TOKEN_FIELD", "a..b", "it must be a name or a dotted path"),
    ],
)  # fmt: skip
def test_a_wrong_description_of_the_mutation_is_named(variable: str, value: str, said: str) -> None:
    """At the start, and not with the first login."""
    with pytest.raises(ConfigurationError, match=f"^{variable}: {said}"):
        arguments(**{variable: value})


# -- the key's file ------------------------------------------------------------------------------------------------------


def test_a_keys_file_is_read_each_time(tmp_path: Path) -> None:
    """``EXTERVIEW_API_KEY_FILE`` becomes a callable, so that a rotated key is picked up; a final newline is not part of it."""
    file = tmp_path / "key"
    file.write_text("first\n")
    api_key = arguments("EXTERVIEW_API_KEY", EXTERVIEW_API_KEY_FILE=str(file))["api_key"]
    assert api_key() == "first"
    file.write_text("second")
    assert api_key() == "second"
    assert arguments(EXTERVIEW_API_KEY_FILE=str(file))["api_key"] == "key"


def test_a_keys_file_that_holds_no_key_is_named_at_once(tmp_path: Path) -> None:
    """The error does not show what is in it."""
    file = tmp_path / "key"
    file.write_text("a b")
    with pytest.raises(ConfigurationError, match=r"^EXTERVIEW_API_KEY_FILE: api_key must be") as caught:
        arguments("EXTERVIEW_API_KEY", EXTERVIEW_API_KEY_FILE=str(file))
    assert "a b" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_misspelt_override_and_a_missing_environment_are_named() -> None:
    """Wrong arguments are reported before missing variables."""
    with pytest.raises(ConfigurationError, match="no argument 'endpont'"):
        ExterviewAuth.from_env({}, endpont="production")  # type: ignore[call-arg]  # a wrong use
    with pytest.raises(ConfigurationError, match=r"os\.environ, not str"):
        ExterviewAuth.from_env("production")  # type: ignore[arg-type]  # a wrong use


class _PassesOn(ExterviewAuth):
    """A subclass that passes arguments on, as applications write it."""

    def __init__(self, *args: Any, region: str = "eu", **options: Any) -> None:
        self.region = region
        super().__init__(*args, **options)


class _TakesOne(ExterviewAuth):
    """A subclass with an argument of its own, and few others."""

    def __init__(self, login: Any, *, api_key: str, region: str = "eu") -> None:
        self.region = region
        super().__init__(login, api_key=api_key)


def test_a_subclass_may_pass_arguments_on() -> None:
    """Where a subclass's constructor takes any name, overrides have its own names and the owner's."""
    overrides: Any = {"account": "acme", "region": "us"}
    owner = _PassesOn.from_env(FULL, **overrides)
    assert (owner.account, owner.region) == ("acme", "us")


def test_a_misspelt_override_names_the_subclass() -> None:
    """The sentence is about the class whose constructor was called."""
    overrides: Any = {"region": "us"}
    assert _TakesOne.from_env(FULL, **overrides).region == "us"
    with pytest.raises(ConfigurationError, match=r"^_TakesOne has no argument 'account'; see help\(_TakesOne\)$"):
        _TakesOne.from_env(FULL, account="acme")


def test_overrides_are_typed_as_the_constructors_arguments() -> None:
    """A type checker knows each override, by the name and the type that the constructor has."""
    options = {name: parameter.annotation for name, parameter in inspect.signature(ExterviewAuth).parameters.items()}
    assert {name: kind.__forward_arg__ for name, kind in Overrides.__annotations__.items()} == options


def test_help_does_not_show_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signature names the process's environment, not its values."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "s3cret")
    assert "s3cret" not in str(inspect.signature(ExterviewAuth.from_env))
    assert "s3cret" not in pydoc.render_doc(ExterviewAuth)


async def test_a_file_that_vanishes_while_it_is_in_use_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its last value goes on: one event for each such time, and a note beside the rejection that it leads to."""
    async with Emulator() as server, aiohttp.ClientSession() as http:
        key = tmp_path / "key"
        key.write_text(server.api_key)
        environ = {
            "EXTERVIEW_ENDPOINT": server.endpoint,
            "EXTERVIEW_API_KEY_FILE": str(key),
            "EXTERVIEW_EMAIL": server.email,
            "EXTERVIEW_PASSWORD": server.password,
        }
        async with ExterviewAuth.from_env(environ) as auth:
            api = AuthSession(http, auth)
            await api.graphql("{ __typename }")
            old = key.read_text()
            key.unlink()
            server.revoke()
            await api.graphql("{ __typename }")
            server.revoke()
            server.rotate_api_key()
            await auth.logout()
            with pytest.raises(CredentialsRejectedError) as caught:
                await auth.token()
    problem = f"EXTERVIEW_API_KEY_FILE: the API key's file {key} cannot be read (No such file or directory)"
    [event] = told(caplog, "credential_file.unreadable")
    assert event.startswith("credential_file.unreadable account=")
    assert problem in event
    [note] = caught.value.__notes__
    assert note.startswith(problem)
    assert note.endswith("; the last value that was there is still in use")
    assert old not in caplog.text + str(caught.value) + note
