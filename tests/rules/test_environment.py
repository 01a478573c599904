"""The environment's variables become an owner's arguments, or an error that names the variable."""

from __future__ import annotations

import inspect
import pydoc
from pathlib import Path
from typing import Any

import pytest

from exterview_auth import ConfigurationError, ExterviewAuth, InsecureTransportError, PasswordLogin, StaticLogin
from exterview_auth._environment import arguments_from
from tests.kit.showing import assert_shows_none

USER = {"EXTERVIEW_EMAIL": "user@example.com", "EXTERVIEW_PASSWORD": "pass word"}
FULL = {"EXTERVIEW_API_KEY": "key", **USER}


def arguments(*removed: str, **changed: str) -> dict[str, Any]:
    """Arguments from a full environment with some variables *removed* or *changed*."""
    environ = {name: value for name, value in FULL.items() if name not in removed}
    return arguments_from({**environ, **changed}, {}, ())


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
    assert login._password == " secret "
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
        ("EXTERVIEW_PASSWORD", "EXTERVIEW_PASSWORD is missing; set it together with EXTERVIEW_EMAIL"),
        ("EXTERVIEW_EMAIL", "EXTERVIEW_EMAIL is missing; set it together with EXTERVIEW_PASSWORD"),
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
    assert arguments_from({"EXTERVIEW_ENDPOINT": "nonsense"}, given, given) == given


@pytest.mark.parametrize("variable", ["EXTERVIEW_BEARER_TOKEN", "EXTERVIEW_ENDPOINT", "EXTERVIEW_ENVIRONMENT"])
def test_a_variable_that_is_none_is_not_set(variable: str) -> None:
    """As in what ``dotenv_values()`` returns for a line without ``=``."""
    assert set(arguments_from({**FULL, variable: None}, {}, ())) == {"api_key", "login"}


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


@pytest.mark.parametrize(
    "content", [None, b"\xff\xfe", b"", b" \n", b"a b"], ids=["missing", "binary", "empty", "blank", "words"]
)
def test_a_keys_file_that_gives_no_key_is_named_at_once(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing, empty or not text is an error when the owner is created, not at the first login."""
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"^EXTERVIEW_API_KEY_FILE: ") as caught:
        arguments("EXTERVIEW_API_KEY", EXTERVIEW_API_KEY_FILE=str(file))
    assert "a b" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_misspelt_override_and_a_missing_environment_are_named() -> None:
    """Wrong arguments are reported before missing variables."""
    with pytest.raises(ConfigurationError, match="no argument 'endpont'"):
        ExterviewAuth.from_env({}, endpont="production")
    with pytest.raises(ConfigurationError, match=r"os\.environ, not str"):
        ExterviewAuth.from_env("production")  # type: ignore[arg-type]  # a wrong use


def test_help_does_not_show_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signature names the process's environment, not its values."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "s3cret")
    assert "s3cret" not in str(inspect.signature(ExterviewAuth.from_env))
    assert "s3cret" not in pydoc.render_doc(ExterviewAuth)
