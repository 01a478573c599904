"""PasswordLogin: what it sends, where it finds the token, and what each refusal is called."""

from __future__ import annotations

import copy
import functools
import json
import pickle
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from yarl import URL

from exterview_auth._seconds import MAX_SECONDS
from exterview_auth._secret import Secret
from exterview_auth._token import Token
from exterview_auth.errors import ConfigurationError, CredentialsRejectedError, LoginError, LoginUnavailableError
from exterview_auth.logins import PasswordLogin
from exterview_auth.logins._context import IdentifiedLogin
from exterview_auth.logins._request import LoginResponse
from exterview_auth.logins._token_search import names_in
from tests.kit import costs
from tests.kit.login_endpoint import (
    DATE,
    EMAIL,
    KEY,
    NOW,
    PASSWORD,
    SECRETS,
    LoginEndpoint,
    Reply,
    assert_no_secret,
    log_in,
    login_endpoint,
    raised,
)
from tests.kit.showing import assert_shows_none

FINE = Reply(200, {"data": {"login": {"token": "t-1", "expiresIn": 3600}}})


async def sent_by(login: PasswordLogin) -> LoginEndpoint:
    """The endpoint after one login, which made one request."""
    async with login_endpoint(FINE) as endpoint:
        assert (await log_in(login, endpoint.url)).value == "t-1"
    assert len(endpoint.bodies) == 1
    return endpoint


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_callable_is_asked_for_the_password_at_each_login(*, is_async: bool) -> None:
    """A password that is rotated needs no restart, and the one that was sent shows in no message."""
    passwords = ["second", "s3cret-first"]

    async def asynchronous() -> str:
        return passwords.pop()

    login = PasswordLogin(EMAIL, asynchronous if is_async else passwords.pop)
    async with login_endpoint(Reply(401, {"error": "no s3cret-first"}), FINE) as endpoint:
        with pytest.raises(CredentialsRejectedError) as caught:
            await log_in(login, endpoint.url)
        assert_shows_none(caught.value, "s3cret-first")
        await log_in(login, endpoint.url)
    assert [document["variables"]["password"] for document in endpoint.documents] == ["s3cret-first", "second"]


@pytest.mark.parametrize(
    ("returned", "says"), [("", "password is empty"), (None, "must be text"), (b"x", "must be text")]
)
async def test_a_callable_that_returns_no_password_sends_nothing(returned: Any, says: str) -> None:
    """The error names what came instead by its type."""
    async with login_endpoint(FINE) as endpoint:
        with pytest.raises(ConfigurationError, match=says):
            await log_in(PasswordLogin(EMAIL, lambda: returned), endpoint.url)
    assert endpoint.bodies == []


def token_from(
    payload: object, status: int = 200, *, headers: Mapping[str, str] = MappingProxyType({}), **options: Any
) -> Token:
    """The token in a response."""
    body = json.dumps(payload).encode()
    response = LoginResponse(URL("https://api.example"), status, {"Date": DATE, **headers}, body, SECRETS)
    return raised(PasswordLogin(EMAIL, PASSWORD, **options)._read(response))


def refusal(payload: object, status: int = 200, **options: Any) -> LoginError:
    """The error of a response, which shows no secret."""
    with pytest.raises(LoginError) as caught:
        token_from(payload, status, **options)
    assert_no_secret(caught.value)
    return caught.value


async def test_the_request_is_the_documented_one() -> None:
    """One POST of the default document with e-mail and password, the API key and JSON's content type."""
    endpoint = await sent_by(PasswordLogin(EMAIL, PASSWORD))
    assert endpoint.documents == [
        {
            "query": "mutation Login($email: String!, $password: String!) {"
            " login(email: $email, password: $password) { token expiresIn } }",
            "variables": {"email": EMAIL, "password": PASSWORD},
        }
    ]
    [headers] = endpoint.headers
    assert headers["x-api-key"] == KEY
    assert headers["Content-Type"] == "application/json"
    assert "Authorization" not in headers


async def test_headers_go_along_but_replace_none_that_the_api_needs() -> None:
    """A gateway's own, in any spelling; what they hold is shown nowhere."""
    given = {"X-Shop": "s3cret-shop", "accept": "*/*", "content-TYPE": "text/plain", "X-API-Key": "another"}
    login = PasswordLogin(EMAIL, PASSWORD, headers=given)
    async with login_endpoint(Reply(401, {"error": "no shop s3cret-shop"})) as endpoint:
        with pytest.raises(CredentialsRejectedError) as caught:
            await log_in(login, endpoint.url)
    [headers] = endpoint.headers
    assert headers["X-Shop"] == "s3cret-shop"
    assert headers.getall("Accept") == ["*/*"]
    assert headers.getall("Content-Type") == ["application/json"]
    assert headers.getall("x-api-key") == [KEY]
    assert_shows_none(caught.value, "s3cret-shop")
    assert set(given.values()) <= set(login._known_secrets())


@pytest.mark.parametrize(
    "variables",
    [MappingProxyType({"input": {"email": EMAIL}}), lambda email, _: MappingProxyType({"input": {"email": email}})],
)
async def test_document_and_variables_are_the_callers(variables: Any) -> None:
    """A mapping replaces the variables, a callable builds them from e-mail and password."""
    endpoint = await sent_by(PasswordLogin(EMAIL, PASSWORD, document="mutation { signIn }", variables=variables))
    assert endpoint.documents == [{"query": "mutation { signIn }", "variables": {"input": {"email": EMAIL}}}]


async def test_a_callable_for_variables_gets_a_password_that_does_not_print_itself() -> None:
    """A traceback or a log line of the callable shows '***'; the server gets the text."""
    shown: list[str] = []

    def variables(email: str, password: str) -> dict[str, str]:
        shown.append(repr((email, password)))
        return {"email": email, "password": password}

    endpoint = await sent_by(PasswordLogin(EMAIL, PASSWORD, variables=variables))
    assert shown == [repr((EMAIL, Secret("x")))]
    assert endpoint.documents[0]["variables"]["password"] == PASSWORD


async def test_a_password_may_be_read_at_each_login() -> None:
    """Sync or async, so that a rotated one needs no restart; each one read is hidden in messages."""
    numbers = iter(range(10))

    async def read() -> str:
        return f"password-{next(numbers)}"

    async with login_endpoint(FINE, FINE, Reply(401, {"error": "not password-2"})) as endpoint:
        for login in (PasswordLogin(EMAIL, read), PasswordLogin(EMAIL, lambda: f"password-{next(numbers)}")):
            assert not set(login._known_secrets())
            await log_in(login, endpoint.url)
        login = PasswordLogin(EMAIL, read, variables=lambda email, password: {"p": password})
        with pytest.raises(CredentialsRejectedError, match=r"'not \*\*\*'"):
            await log_in(login, endpoint.url)
    sent = [document["variables"] for document in endpoint.documents]
    assert [variables.get("password", variables.get("p")) for variables in sent] == [f"password-{n}" for n in range(3)]
    assert set(login._known_secrets()) == {"password-2"}


@pytest.mark.parametrize(("returned", "said"), [(7, "must be text, not int"), ("", "is empty")])
async def test_a_password_callable_that_returns_nonsense_is_told(returned: Any, said: str) -> None:
    """Nothing is sent."""
    async with login_endpoint(FINE) as endpoint:
        with pytest.raises(ConfigurationError, match=f"^password {said}"):
            await log_in(PasswordLogin(EMAIL, lambda: returned), endpoint.url)
    assert endpoint.bodies == []


async def test_a_token_may_be_in_a_header() -> None:
    """Vendure's are: of an answer that refuses nothing, because a server may open a session for a refused login too."""
    session = {"Vendure-Auth-Token": "t-9"}
    login = PasswordLogin(EMAIL, PASSWORD, token_header="vendure-auth-token")
    refused = {"data": {"login": {"__typename": "InvalidCredentialsError", "errorCode": "X", "message": "no"}}}
    async with login_endpoint(
        Reply(200, {"data": {"login": {"id": "1", "token": "no"}}}, session), Reply(200, refused, session), FINE
    ) as endpoint:
        assert (await log_in(login, endpoint.url)).value == "t-9"
        with pytest.raises(CredentialsRejectedError, match="'no'"):
            await log_in(login, endpoint.url)
        with pytest.raises(LoginError, match="without a token in the header vendure-auth-token; check the name"):
            await log_in(login, endpoint.url)


async def test_later_changes_to_the_callers_mapping_change_nothing() -> None:
    """The constructor copies the variables."""
    variables = {"input": {"email": EMAIL}}
    login = PasswordLogin(EMAIL, PASSWORD, variables=variables)
    variables["input"]["email"] = "mallory@example.com"
    assert (await sent_by(login)).documents[0]["variables"] == {"input": {"email": EMAIL}}


@pytest.mark.parametrize(
    "data",
    [
        *({"login": {name: "t"}} for name in ("token", "accessToken", "access_token", "jwt", "id_token", "authToken")),
        {"login": {"AccessToken": "Bearer t"}},
        {"login": {"token": "bearer  t "}},
        {"token": "t"},
        {"login": {"idToken": "id", "accessToken": "t"}},
        {"login": {"accessToken": "a", "token": "t"}},
        {"deep": {"token": "no"}, "accessToken": "t"},
        {"login": {"refreshToken": {"token": "r"}, "session": {"accessToken": {"token": "t"}}}},
        {"login": {"token": None, "session": [{"jwt": "t"}]}},
        {"login": {"token": "", "accessToken": "t"}},
        {"login": {"tokens": {"refresh": {"token": "r"}, "access": {"token": "t"}}}},
        {"login": {"tokens": {"access": {"token": "t"}, "refresh": {"token": "r"}}}},
        {"login": {"tokens": [{"type": "REFRESH", "token": "r"}, {"type": "access", "token": "t"}]}},
        {"login": {"refreshJwt": "r", "accessJwt": "t"}},
        {"login": {"refresh": {"jwt": "r"}, "session": {"user": {"jwt": "t"}}}},
    ],
)
def test_the_token_is_found_under_the_usual_names(data: object) -> None:
    """The shallowest wins, then the order of preference; a refresh token is never taken for it."""
    assert token_from({"data": data}).value == "t"


@pytest.mark.parametrize(
    "path", ["signIn.session.key", "session.key", "key", "data.signIn.session.key", "signIn.all.1.key"]
)
def test_token_field_names_where_the_token_is(path: str) -> None:
    """A name, or a dotted path from the answer, its data, or any object below."""
    data = {"signIn": {"token": "wrong", "session": {"key": "t"}, "all": [{"key": "no"}, {"key": "t"}]}}
    assert token_from({"data": data}, token_field=path).value == "t"


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        ({"token": "t", "expiresIn": 60}, 60),
        ({"token": "t", "expires_in": "60"}, 60),
        ({"token": "t", "expiresAt": NOW + 60}, 60),
        ({"token": "t", "expires_at": (NOW + 60) * 1000}, 60),
        ({"token": "t", "exp": str(NOW + 60)}, 60),
        ({"token": "t", "expiresAt": "2026-01-01T00:01:00Z"}, 60),
        ({"token": "t", "expiresAt": "2026-01-01T00:01:00"}, 60),
        ({"token": "t", "expiresIn": "2026-01-01T01:01:00+01:00"}, 60),
        ({"login": {"accessToken": {"token": "t"}, "expiresIn": 60}}, 60),
        ({"login": {"accessToken": "t", "refreshToken": {"token": "r", "expiresIn": 9}}}, None),
        ({"login": {"token": "t", "user": {"subscription": {"expiresAt": NOW + 60}}}}, None),
        ({"token": "t", "expiresIn": None, "expiresAt": NOW + 60}, 60),
        (
            {
                "access": {"token": "t", "expires": "2026-01-01T00:01:00Z"},
                "refresh": {"token": "r", "expires": NOW + 9},
            },
            60,
        ),
        ({"token": "t", "expires": NOW + 60}, 60),
        ({"token": "t", "expires": 900_000}, None),  # Directus: milliseconds, as nothing says
        ({"token": "t", "expiresIn": "1h"}, None),
        ({"token": "t", "expiresIn": 10**400}, MAX_SECONDS),
        ({"token": "t", "expiresAt": 10**400}, None),
        ({"token": "t", "expiresAt": NOW - 60}, None),
    ],
)
def test_the_lifetime_is_read_beside_the_token_or_around_it(data: object, seconds: float | None) -> None:
    """A lifetime, or an instant on the server's clock; nonsense is ignored, and a long lifetime is capped."""
    assert token_from({"data": data}).expires_in == seconds


@pytest.mark.parametrize(
    ("field", "value", "seconds"),
    [
        ("ttl", 60, 60),
        ("ttl", NOW + 60, 60),
        ("meta.until", "2026-01-01T00:01:00Z", 60),
        ("meta.expiresAt", NOW + 60, 60),
        ("absent", 60, None),
    ],
)
def test_expires_field_names_the_lifetime(field: str, value: object, seconds: float | None) -> None:
    """Under a name without a meaning, a number after 2001 is an instant."""
    leaf = field.rpartition(".")[2]
    data = {"login": {"token": "t", "meta": {leaf: value}}} if field != "absent" else {"login": {"token": "t"}}
    assert token_from({"data": data}, expires_field=field).expires_in == seconds


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ({"token": "t", "refreshToken": "r"}, {}),
        ({"token": "t", "refresh_token": "r"}, {}),
        ({"login": {"accessToken": {"token": "t"}, "refreshToken": {"token": "r"}}}, {}),
        ({"login": {"token": "t", "renew": {"with": "r"}}}, {"refresh_field": "renew.with"}),
        ({"login": {"tokens": {"refresh": {"token": "r"}, "access": {"token": "t"}}}}, {}),
        ({"accessJwt": "t", "refreshJwt": "r"}, {}),
    ],
)
def test_the_refresh_token_is_kept(data: object, options: dict[str, Any]) -> None:
    """It stands beside the token, around it, or where refresh_field says."""
    assert token_from({"data": data}, **options).refresh_token == "r"


@pytest.mark.parametrize("value", [None, 7, "", {}])
def test_a_refresh_token_that_is_not_text_is_ignored(value: object) -> None:
    """It is ignored."""
    data = {"token": "t", "refreshToken": value}
    assert token_from({"data": data}).refresh_token is None
    assert token_from({"data": data}, refresh_field="refreshToken").refresh_token is None


@pytest.mark.parametrize(
    "code", ["UNAUTHENTICATED", "FORBIDDEN", "BAD_USER_INPUT", "INVALID_CREDENTIALS", "unauthenticated", 401]
)
@pytest.mark.parametrize("status", [200, 400, 401])
def test_a_code_of_refusal_is_a_rejection_of_the_user(code: object, status: int) -> None:
    """Whatever the status: one request, no recursion."""
    error = refusal({"errors": [{"message": f"no, {PASSWORD}", "extensions": {"code": code}}], "data": None}, status)
    assert isinstance(error, CredentialsRejectedError)
    assert error.reason == "user"
    assert "rejected the credentials" in str(error)
    assert "'no, ***'" in str(error)


@pytest.mark.parametrize(
    ("status", "payload", "reason"),
    [
        (401, {"error": "Invalid API key"}, "api_key"),
        (400, {"error": "x-api-key header is missing"}, "api_key"),
        (401, {"error": "Invalid e-mail or password"}, "user"),
        (401, {"message": "no such user"}, "user"),
        (401, {"error": {"code": 1}}, None),
        (401, None, None),
        (400, {}, None),
        (403, {"error": "no permission"}, "api_key"),
        (403, {"error": "account is suspended"}, "user"),
        (403, {"statusCode": 403, "message": "User is locked until noon", "error": "Forbidden"}, "user"),
        (403, {"error": "locked_out", "message": "The account is locked"}, "user"),
        (403, {"code": 7, "message": "USER_DISABLED"}, "user"),
        (403, {"errors": [{"message": "no", "extensions": {"code": "FORBIDDEN"}}]}, "api_key"),
        (200, {"errors": [{"message": "no", "extensions": {"code": "FORBIDDEN"}}]}, "user"),
        (200, {"errors": [{"message": "bad apiKey", "extensions": {"code": "UNAUTHENTICATED"}}]}, "api_key"),
        (200, {"errors": [{"message": "Invalid credentials"}]}, "user"),
        # Apollo's code for a plain Error: asking again and again would lock the account.
        (200, {"errors": [{"message": "User not found", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]}, "user"),
        (200, {"errors": [{"message": "Invalid password", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]}, "user"),
        (200, {"errors": ["nope"]}, None),
        (200, {"errors": [{"message": 7, "extensions": {"code": "SOMETHING_ELSE"}}]}, None),
        (401, {"errors": [{"message": "nope"}]}, None),
        (403, {"errors": [{"message": "nope"}]}, "api_key"),
    ],
)
def test_the_reason_tells_a_wrong_key_from_a_wrong_user(status: int, payload: object, reason: str | None) -> None:
    """Known from the code, the sentence, or (403) from what the API documents; else unknown."""
    error = refusal(payload, status)
    assert isinstance(error, CredentialsRejectedError)
    assert error.reason == reason


@pytest.mark.parametrize(
    "errors",
    [
        [{"message": "no", "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}],
        [{"message": "no", "extensions": {"code": "GRAPHQL_PARSE_FAILED"}}],
        [{"message": "no", "extensions": {"classification": "ValidationError"}}],
        [{"message": 'Cannot query field "login" on type "Mutation".', "locations": [{"line": 1, "column": 1}]}],
        [{"message": 'Variable "$email" got invalid value', "extensions": {"code": "BAD_USER_INPUT"}}],
        [{"message": "Das Feld gibt es nicht", "locations": [{"line": 1, "column": 1}]}],
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_a_document_that_does_not_fit_is_not_a_rejection(errors: object, status: int) -> None:
    """The sentence says what to set."""
    error = refusal({"errors": errors}, status)
    assert type(error) is LoginError
    assert "document or variables do not fit the API; set document= and variables=" in str(error)


@pytest.mark.parametrize("code", ["INTERNAL_SERVER_ERROR", "RATE_LIMITED", "TOO_MANY_REQUESTS", "503"])
def test_a_code_of_trouble_is_unavailable(code: str) -> None:
    """With the Retry-After of the answer; a status of 5xx means the same, whatever the code says."""
    for status, said in ((200, code), (502, "UNAUTHENTICATED")):
        errors = [{"message": "oops", "extensions": {"code": said}}]
        error = refusal({"errors": errors}, status, headers={"Retry-After": "3"})
        assert isinstance(error, LoginUnavailableError)
        assert error.retry_after == 3.0


def test_a_token_beside_errors_is_a_token() -> None:
    """Another field of the mutation may have failed."""
    payload = {"data": {"login": {"token": "t", "user": None}}, "errors": [{"message": "no user", "path": ["user"]}]}
    assert token_from(payload).value == "t"


@pytest.mark.parametrize(
    "payload",
    [{}, {"data": None}, {"data": {"login": {"refreshToken": "r"}}}, {"data": "t"}],
)
def test_an_answer_without_a_token_says_where_it_looked(payload: object) -> None:
    """And which option names the place."""
    error = refusal(payload)
    assert type(error) is LoginError
    assert "without a token in its data, under names like token" in str(error)
    assert "set token_field=" in str(error)


@pytest.mark.parametrize("path", ["login.key", "login.token.key", "list.7", "list.x", "list.0.key", "login"])
def test_a_token_field_that_leads_nowhere_is_named(path: str) -> None:
    """Also if it leads to something that is not text."""
    error = refusal({"data": {"login": {"token": "t"}, "list": [1]}}, token_field=path)
    assert f"without a token at {path}: it has list, login.token; set token_field=" in str(error)


def test_an_answer_without_a_token_is_described_by_its_names() -> None:
    """The name to give to token_field= is among them; values may be secrets, and are not shown."""
    data = {"login": {"sessionKey2": "hidden-1", "user": {"id": 4711, PASSWORD: 1}, "roles": ["hidden-2"]}}
    error = str(refusal({"data": data}))
    assert "it has login.sessionKey2, login.roles, login.user.id, login.user.***; set token_field=" in error
    assert not any(value in error for value in ("hidden", "4711", PASSWORD))
    wide = str(refusal({"data": {"login": {f"name{number}": "x" for number in range(1000)}}}))
    assert "name11;" in wide
    assert "name12" not in wide


@pytest.mark.parametrize(
    "login",
    [
        {"x" * 100_000: {str(number): 1 for number in range(5000)}},
        functools.reduce(lambda inner, _: {"data": inner}, range(5000), dict[str, Any](a=1)),
    ],
    ids=["a long name", "deep"],
)
def test_long_names_are_not_repeated_for_each_member_below(login: dict[str, Any]) -> None:
    """A login endpoint could otherwise answer with 130 kB that take half a gigabyte to describe."""
    price = costs.cost(lambda: names_in({"data": {"login": login}}))
    assert price.peak < 2_000_000


@pytest.mark.parametrize(
    ("data", "name"),
    [({"login": None}, "login"), ({"login": {"token": None, "mfaRequired": True}}, "login.token")],
    ids=str,
)
def test_a_token_that_is_null_is_not_under_another_name(data: object, name: str) -> None:
    """The login worked, and gave nothing: no option of this library helps."""
    error = str(refusal({"data": data}))
    assert f": {name} is null; does the account need a second factor, or is it locked?" in error
    assert "token_field" not in error


def test_an_answer_that_is_very_wide_or_deep_is_searched_in_part() -> None:
    """It does not block the event loop; a token deep inside is not found."""
    wide: object = [*({} for _ in range(100_000)), {"token": "t"}]
    deep: object = {"token": "t"}
    for _ in range(50):
        deep = {"a": deep}
    for data in (wide, deep):
        assert type(refusal({"data": data})) is LoginError


def test_the_login_names_its_account_and_hides_its_password() -> None:
    """The identity is the e-mail; nothing prints, pickles or copies the password."""
    login = PasswordLogin(EMAIL, PASSWORD)
    assert isinstance(login, IdentifiedLogin)
    assert login.identity == EMAIL
    assert repr(login) == f"PasswordLogin({EMAIL!r}, '***')"
    assert PASSWORD not in str(login)
    for copying in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="holds a secret"):
            copying(login)


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("email", ""),
        ("password", b"p"),
        ("document", " "),
        ("token_field", 7),
        ("token_header", ""),
        ("expires_field", ""),
        ("refresh_field", "a..b"),
        ("variables", "x"),
        ("variables", {"a": object()}),
        ("variables", {"a": float("nan")}),
    ],
)
def test_a_wrong_use_is_one_sentence(option: str, wrong: Any) -> None:
    """It begins with the option's name and nothing is chained."""
    with pytest.raises(ConfigurationError, match=f"^{option}") as caught:
        PasswordLogin(**{"email": EMAIL, "password": "p", option: wrong})
    assert caught.value.__context__ is None


def test_a_token_is_in_one_place() -> None:
    """Field and header exclude each other."""
    with pytest.raises(ConfigurationError, match=r"^token_field and token_header"):
        PasswordLogin(EMAIL, PASSWORD, token_field="a", token_header="b")


@pytest.mark.parametrize("returned", [None, "x", {"password": object()}])
async def test_a_callable_that_returns_nonsense_is_told(returned: Any) -> None:
    """Nothing is sent."""
    async with login_endpoint(FINE) as endpoint:
        with pytest.raises(ConfigurationError, match="variables"):
            await log_in(PasswordLogin(EMAIL, PASSWORD, variables=lambda email, password: returned), endpoint.url)
    assert endpoint.bodies == []


async def test_other_secrets_among_the_variables_are_masked_too() -> None:
    """A one-time code that the server repeats does not reach the log; the e-mail may."""
    variables = {"email": EMAIL, "codes": ["135790"], "n": 1}
    async with login_endpoint(Reply(200, {"errors": [{"message": f"bad 135790 for {EMAIL}"}]})) as endpoint:
        with pytest.raises(LoginError, match=rf"'bad \*\*\* for {EMAIL}'"):
            await log_in(PasswordLogin(EMAIL, PASSWORD, variables=variables), endpoint.url)
