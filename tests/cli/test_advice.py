"""What the command says about each error, and what it never says."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from exterview_auth import errors
from exterview_auth._cli.account import expiry_of
from exterview_auth._cli.advice import ErrorContext, advice
from exterview_auth._cli.scrubber import Scrubber, passwords_in
from exterview_auth._environment import CredentialSource
from tests.kit.tokens import jwt_of

PASSWORD = ErrorContext(CredentialSource.PASSWORD, Scrubber({}))

USER = {"EXTERVIEW_EMAIL": "a@b.example", "EXTERVIEW_PASSWORD": "pass word"}

REQUEST = aiohttp.RequestInfo(URL("https://api.exterview.ai/"), "GET", CIMultiDictProxy(CIMultiDict()))

KEY = ConnectionKey("api.exterview.ai", 443, True, True, None, None, None, None)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.BadRequestError("", status=400), "Content-Type"),
        (errors.UnauthorizedError("Invalid API key", status=401), "header x-api-key is not accepted"),
        (errors.UnauthorizedError("token expired", status=401), "fresh login"),
        (errors.UnauthorizedError("", status=401), "x-api-key or Authorization"),
        (errors.ForbiddenError("no.", status=403), '403 ("no")'),
        (errors.ApiError("", status=503), "later"),
        (errors.ApiError("slow", status=429, retry_after=30), 'the API answered 429 ("slow"); try again in 30 s'),
        (errors.CredentialsRejectedError("no", reason="client"), "x-api-key"),
        (errors.CredentialsRejectedError("no", reason="refresh_token"), "EXTERVIEW_PASSWORD"),
        (errors.LoginUnavailableError("busy", retry_after=7.4), "any proxy, and try again in 7 s"),
        (
            errors.LoginUnavailableError("busy; too many logins: share it", status=429, retry_after=7),
            "no login was possible (busy); too many logins: share it, and try again in 7 s",
        ),
        (errors.LoginUnavailableError("away", status=503), "no login was possible (away); try again later"),
        (errors.LoginUnavailableError("away", status=503, retry_after=9), "(away); try again in 9 s"),
        (
            errors.GraphQLError(
                "Not authenticated", status=200, errors=[{"extensions": {"code": "UNAUTHENTICATED"}}], data=None
            ),
            'the API answered UNAUTHENTICATED ("Not authenticated"): the header Authorization is not accepted',
        ),
        (errors.LoginBudgetExceededError(), "each new token is refused"),
        (errors.LoginError("odd."), "the login failed (odd)"),
        (errors.StoreError("Redis is away; check it."), "Redis is away; check it"),
        (errors.LoginError(""), "the login failed (LoginError)"),
        (aiohttp.ClientConnectorError(KEY, OSError(111, "refused")), "no connection to api.exterview.ai:443"),
        (aiohttp.ClientConnectorCertificateError(KEY, ValueError("self-signed")), "certificate of api.exterview.ai"),
        (
            aiohttp.ClientProxyConnectionError(KEY, OSError(111, "refused")),
            "the proxy http://api.exterview.ai:443 cannot be reached: the connection was refused, or there is no route to it; correct the",
        ),
        (
            aiohttp.ClientHttpProxyError(REQUEST, (), status=407, message="who"),
            "answered 407; check its URL, user and password",
        ),
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
    advised = advice(error, PASSWORD)
    assert says in advised.sentence
    assert "\n" not in advised.sentence
    assert advised.hint
    assert advised.exit_code == 1


CLIENT = ErrorContext(CredentialSource.CLIENT, Scrubber({}))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.CredentialsRejectedError("no", reason="client"), "the client or its secret is wrong (no); correct EXTERVIEW_TOKEN_URL"),
        (errors.CredentialsRejectedError("no", reason=None), "refused (no); check EXTERVIEW_TOKEN_URL"),
        (errors.LoginUnavailableError("busy"), "no login was possible (busy); check EXTERVIEW_TOKEN_URL, the network and any proxy"),
        (errors.LoginError("it answered 404; check its URL"), "check that EXTERVIEW_TOKEN_URL is the token endpoint's"),
        (errors.LoginError("it leads away: give its final URL"), "set EXTERVIEW_TOKEN_URL to its final URL"),
        (errors.LoginError("odd"), "the login failed (odd); check EXTERVIEW_TOKEN_URL"),
        (errors.UnauthorizedError("token expired", status=401), "fresh login"),
    ],
)  # fmt: skip
def test_a_clients_login_is_not_the_apis(error: Exception, says: str) -> None:
    """Its endpoint is another one, and takes no API key: neither variable of the API is blamed for a login."""
    sentence = advice(error, CLIENT).sentence
    assert says in sentence
    if isinstance(error, errors.LoginError):
        assert "EXTERVIEW_ENDPOINT" not in sentence
        assert "EXTERVIEW_API_KEY" not in sentence


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.ApiError("Come back later.", status=503), 'the API answered 503 ("Come back later")'),
        (
            errors.ApiError("the API answered with text/html that is no JSON object", status=200),
            "the API answered with text/html that is no JSON object",
        ),
    ],
)
def test_the_librarys_own_words_are_not_quoted(error: Exception, message: str) -> None:
    """Only a server's are: the library's would say the same twice."""
    assert advice(error, PASSWORD).message == message


@pytest.mark.parametrize(
    ("answer", "header"),
    [
        ("400, 'The x-api-key header is missing'", "x-api-key"),
        ("400, 'Missing required header: X-API-KEY'", "x-api-key"),
        ("400, 'an API key is required'", "x-api-key"),
        ("400, 'The Content-Type header is missing'", "Content-Type"),
        ("401, 'The x-api-key is missing'", None),
        ("400, 'Invalid API key'", None),
        ("400", None),
    ],
)
def test_a_header_that_a_login_lost_is_not_called_wrong(answer: str, header: str | None) -> None:
    """It was sent, so a proxy has dropped it; but only 400 and "missing" together speak of that."""
    advised = advice(errors.CredentialsRejectedError(f"refused: it answered {answer}", reason="api_key"), PASSWORD)
    if header:
        assert advised.message == f"the login answered 400: the header {header} did not arrive"
        assert "proxy" in advised.hint
    assert ("not accepted" in advised.sentence) == (header is None)


def test_an_expired_token_is_called_expired() -> None:
    """If the token was refused, and not the key."""
    context = ErrorContext(CredentialSource.FIXED_TOKEN, Scrubber({}), datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC))
    says = "the token itself says that it expired on 2025-01-02 03:04:05 UTC"
    assert says in advice(errors.UnauthorizedError("Invalid bearer token", status=401), context).message
    assert says in advice(errors.UnauthorizedError("", status=401), context).message
    assert says in advice(errors.LoginBudgetExceededError(), context).message
    assert says not in advice(errors.UnauthorizedError("Invalid API key", status=401), context).sentence


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"EXTERVIEW_BEARER_TOKEN": jwt_of(exp=1735787045, iat=1735783445)}, 1735787045),
        ({"EXTERVIEW_BEARER_TOKEN": f" Bearer {jwt_of(exp=1735787045)} "}, 1735787045),
        ({"EXTERVIEW_BEARER_TOKEN": jwt_of(exp=4102444800)}, None),
        ({"EXTERVIEW_BEARER_TOKEN": jwt_of(exp="soon")}, None),
        ({"EXTERVIEW_BEARER_TOKEN": "opaque"}, None),
        ({"EXTERVIEW_BEARER_TOKEN": f"\ufeff{jwt_of(exp=1735787045)}\r\n"}, 1735787045),
        ({**USER, "EXTERVIEW_BEARER_TOKEN": jwt_of(exp=1735787045)}, None),
        ({}, None),
    ],
)
def test_when_the_environments_token_expired(environ: dict[str, str], expected: int | None) -> None:
    """By its own words, in UTC; not where it has not, does not say, or is not in use."""
    expired = expiry_of(environ)
    assert (None if expired is None else expired.timestamp()) == expected


def test_every_error_of_the_library_has_advice() -> None:
    """None falls through to the words for what nobody expected."""
    for kind in vars(errors).values():
        if inspect.isclass(kind) and issubclass(kind, errors.ExterviewAuthError):
            assert advice.dispatch(kind) is not advice.dispatch(Exception), kind


def test_the_scrubber_knows_variables_files_and_what_it_is_told(tmp_path: Path) -> None:
    """A file that cannot be read has no secret to hide."""
    (tmp_path / "key").write_text("file-key\n")
    scrubber = Scrubber(
        {
            "EXTERVIEW_PASSWORD": "\ufeff pass word \r\n",
            "EXTERVIEW_CLIENT_SECRET": "client-secret",
            "EXTERVIEW_STORE_KEY": "store-key",
            "EXTERVIEW_API_KEY_FILE": str(tmp_path / "key"),
            "EXTERVIEW_BEARER_TOKEN_FILE": str(tmp_path / "missing"),
            "EXTERVIEW_EMAIL": "ada@example.com",
            "EXTERVIEW_ENVIRONMENT": "sandbox",
        }
    )
    scrubber.hide("new-token")
    scrubber.hide("")
    scrubber.hide(None)
    assert scrubber.quote("pass word, file-key and new-token") == "***, *** and ***"
    assert scrubber.quote("client-secret, store-key") == "***, ***"
    assert scrubber.quote("ada@example.com in sandbox") == "ada@example.com in sandbox"
    assert "file-key" not in repr(vars(scrubber))


def test_the_scrubber_knows_passwords_in_urls_and_each_of_several_keys() -> None:
    """Those of a store and of a proxy, as they stand there and decoded; a short word of a password is no secret."""
    first, second = "k" * 44, "m" * 44
    scrubber = Scrubber(
        {
            "EXTERVIEW_STORE": "redis://user:store%40word@h.example/0",
            "https_proxy": "http://clerk:proxy-word@proxy.example:3128",
            "EXTERVIEW_STORE_KEY": f"{first}, {second}",
            "EXTERVIEW_PASSWORD": "the pass word",
        }
    )
    assert scrubber.quote("store%40word store@word proxy-word") == "*** *** ***"
    assert scrubber.quote(f"{second} {first}") == "*** ***"
    assert scrubber.quote("the word of clerk at proxy.example") == "the word of clerk at proxy.example"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("redis://u:p%40q@h/0", ["p%40q", "p@q"]),
        ("redis://h/0?password=abc", ["abc", "abc"]),
        ("redis://user@h/0", []),
        ("/run/tokens", []),
        ("a:b@c", []),
        ("http://[", []),
    ],
)
def test_passwords_are_found_in_urls_alone(url: str, found: list[str]) -> None:
    """A directory may have any name."""
    assert passwords_in(url) == found


def test_a_secret_file_without_end_does_not_stop_the_command() -> None:
    """The scrubber reads as much of a file as a credential can have."""
    assert Scrubber({"EXTERVIEW_API_KEY_FILE": "/dev/zero"}).clean("fine") == "fine"


def test_the_librarys_advice_is_not_cut() -> None:
    """Only the server's text in a sentence is short, and what follows it is whole."""
    quote = "x" * 200
    error = errors.LoginError(
        f"the login endpoint https://a.example does not accept this login: {quote!r}; set document="
    )
    assert f"{quote!r}; set document=)" in advice(error, PASSWORD).message


def test_the_scrubber_makes_one_short_line_without_a_rest_of_a_secret() -> None:
    """A token that begins with the key is removed as a whole; no line end, no control code, no page of text."""
    scrubber = Scrubber({"EXTERVIEW_API_KEY": "abcd", "EXTERVIEW_BEARER_TOKEN": "abcd-efgh"})
    assert scrubber.quote("abcd-efgh abcd a\r\n\x1b[2Jb\u2028c") == "*** *** a [2Jb c"
    assert scrubber.quote("abcd-efgh") == "***"
    assert len(scrubber.quote("x" * 10_000)) <= 200
    assert scrubber.clean("a\r\n\x1b[2Jb" + "x" * 300 + "; set it") == "a [2Jb" + "x" * 300 + "; set it"


@pytest.mark.parametrize(
    ("sentence", "cleaned"),
    [
        ("the password is wrong; correct it", "the password is wrong; correct it"),
        ("it answered 401, 'the password is wrong'; correct it", "it answered 401, 'the *** is wrong'; correct it"),
        ("""the key's file: 401, "don't: \\"password\\""; correct it""", """the key's file: 401, "don't: \\"***\\""; correct it"""),
        ('the API answered 403 ("password" is short)', 'the API answered 403 ("***" is short)'),
    ],
)  # fmt: skip
def test_a_secret_that_is_a_word_is_masked_only_in_what_a_sentence_quotes(sentence: str, cleaned: str) -> None:
    """A gap among the library's own words would show which word the password is."""
    assert Scrubber({"EXTERVIEW_PASSWORD": "password"}).clean(sentence) == cleaned


@pytest.mark.parametrize("secret", ["hunter2", "correct horse", "J7-mX_9qLr", "4711", "x" * 30])
def test_a_secret_that_is_no_word_is_masked_in_the_whole_sentence(secret: str) -> None:
    """The library's own sentences cannot have it, so that wherever it stands it came from elsewhere."""
    cleaned = Scrubber({"EXTERVIEW_PASSWORD": secret}).clean(f"it answered {secret}, '{secret}'; correct it")
    assert cleaned == "it answered ***, '***'; correct it"
