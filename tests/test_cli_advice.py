"""What the command says about each error, and what it never says."""

from __future__ import annotations

import inspect
from pathlib import Path

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from exterview_auth import errors
from exterview_auth._cli._account import credentials_of
from exterview_auth._cli._advice import Credentials, Situation, advice
from exterview_auth._cli._scrubber import Scrubber

PASSWORD = Situation(Credentials.PASSWORD, Scrubber({}))
FIXED = Situation(Credentials.FIXED_TOKEN, Scrubber({}))

KEY = ConnectionKey(
    host="api.exterview.ai",
    port=443,
    is_ssl=True,
    ssl=True,
    proxy=None,
    proxy_auth=None,
    proxy_headers_hash=None,
)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.BadRequestError("", status=400), "Content-Type"),
        (errors.UnauthorizedError("Invalid API key", status=401), "header x-api-key is not accepted"),
        (errors.UnauthorizedError("token expired", status=401), "fresh login"),
        (errors.UnauthorizedError("", status=401), "x-api-key or Authorization"),
        (errors.ForbiddenError("no.", status=403), '403 ("no")'),
        (errors.ApiError("", status=503), "later"),
        (errors.CredentialsRejectedError("no", reason="client"), "x-api-key"),
        (errors.CredentialsRejectedError("no", reason="refresh_token"), "EXTERVIEW_PASSWORD"),
        (errors.LoginUnavailableError("busy", retry_after=7.4), "try again in 7 s"),
        (errors.LoginBudgetExceededError(), "each new token is refused"),
        (errors.LoginError("odd."), "the login failed (odd)"),
        (errors.LoginError(""), "the login failed (LoginError)"),
        (aiohttp.ClientConnectorError(KEY, OSError(111, "refused")), "no connection to api.exterview.ai:443"),
        (aiohttp.ClientConnectorCertificateError(KEY, ValueError("self-signed")), "certificate of api.exterview.ai"),
        (aiohttp.ServerTimeoutError(), "in time"),
        (aiohttp.ServerDisconnectedError(), "ServerDisconnectedError"),
        (TimeoutError(), "--timeout"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (OSError(), "OSError"),
        (ValueError("whatever"), "cannot be understood (ValueError)"),
    ],
)
def test_each_error_has_its_sentence(error: Exception, says: str) -> None:
    """It says what is wrong and what to do, on one line."""
    told = advice(error, PASSWORD)
    assert says in told.sentence
    assert "\n" not in told.sentence
    assert told.hint
    assert told.exit_code == 1


def test_a_configuration_error_is_wrong_use() -> None:
    """Its own sentence is kept as it is, and the exit code is 2."""
    told = advice(errors.InsecureTransportError("it is not HTTPS; use https://"), PASSWORD)
    assert told.sentence == "it is not HTTPS; use https://"
    assert (told.message, told.hint, told.exit_code) == ("it is not HTTPS", "use https://", 2)


def test_a_refused_fixed_token_is_to_be_replaced() -> None:
    """Unlike one from a fresh login, about which the environments are to be compared."""
    error = errors.UnauthorizedError("Invalid bearer token", status=401)
    assert "put a new token into EXTERVIEW_BEARER_TOKEN" in advice(error, FIXED).sentence
    assert "put a new token" not in advice(error, PASSWORD).sentence


def test_every_error_of_the_library_has_advice() -> None:
    """None falls through to the words for what nobody expected."""
    for kind in vars(errors).values():
        if inspect.isclass(kind) and issubclass(kind, errors.ExterviewAuthError):
            assert advice.dispatch(kind) is not advice.dispatch(Exception), kind


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"EXTERVIEW_EMAIL": "a@b.example", "EXTERVIEW_BEARER_TOKEN": "t"}, Credentials.PASSWORD),
        ({"EXTERVIEW_EMAIL": " ", "EXTERVIEW_BEARER_TOKEN": "t"}, Credentials.FIXED_TOKEN),
        ({"EXTERVIEW_BEARER_TOKEN_FILE": "/run/token"}, Credentials.TOKEN_FILE),
    ],
)
def test_the_credentials_in_use(environ: dict[str, str], expected: Credentials) -> None:
    """The same order as in `ExterviewAuth.from_env`."""
    assert credentials_of(environ) is expected


def test_the_scrubber_knows_variables_files_and_what_it_is_told(tmp_path: Path) -> None:
    """A file that cannot be read has no secret to hide."""
    (tmp_path / "key").write_text("file-key\n")
    scrubber = Scrubber(
        {
            "EXTERVIEW_PASSWORD": " pass word ",
            "EXTERVIEW_API_KEY_FILE": str(tmp_path / "key"),
            "EXTERVIEW_BEARER_TOKEN_FILE": str(tmp_path / "missing"),
        }
    )
    scrubber.hide("new-token")
    scrubber.hide("")
    assert scrubber.clean("pass word, file-key and new-token") == "***, *** and ***"


def test_the_scrubber_takes_the_longer_secret_first() -> None:
    """A token that begins with the key does not leave its rest behind."""
    scrubber = Scrubber({"EXTERVIEW_API_KEY": "abcd", "EXTERVIEW_BEARER_TOKEN": "abcd-efgh"})
    assert scrubber.clean("abcd-efgh abcd") == "*** ***"


def test_the_scrubber_makes_one_short_line() -> None:
    """No line end, no control code, no page of text."""
    assert Scrubber({}).clean("a\r\n\x1b[2Jb\u2028c") == "a [2Jb c"
    assert len(Scrubber({}).clean("x" * 10_000)) < 250
