"""Sending a login request and reading its response: every fault of an endpoint ends in one typed error without a secret."""

from __future__ import annotations

import json
import re
import ssl
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from aiohttp import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientHttpProxyError,
    ClientProxyConnectionError,
    ClientResponseError,
    ClientSession,
    ConnectionTimeoutError,
    RequestInfo,
    ServerDisconnectedError,
    ServerTimeoutError,
)
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from exterview_auth._aiohttp.login_call import _typed
from exterview_auth._core.limits import remembered
from exterview_auth._redaction import MAX_SENTENCE
from exterview_auth.errors import (
    CredentialsRejectedError,
    InsecureTransportError,
    LoginError,
    LoginUnavailableError,
    ReentrantLoginError,
)
from exterview_auth.logins import OAuth2Login, PasswordLogin
from exterview_auth.logins._context import MAX_RESPONSE, LoginContext
from exterview_auth.logins._graphql_answer import graphql_refusal
from exterview_auth.logins._http_dates import retry_after, server_time
from exterview_auth.logins._oauth2_response import read_token
from exterview_auth.logins._request import LoginResponse, post
from exterview_auth.logins._unreachable import unreachable, without_secrets
from tests.faults._raw_server import Call, RawServer
from tests.kit.login_endpoint import (
    EMAIL,
    KEY,
    PASSWORD,
    SECRET,
    SECRETS,
    Reply,
    assert_no_secret,
    login_endpoint,
    raised,
    refusal,
)

API = URL("https://api.example")
LOGIN = PasswordLogin(EMAIL, PASSWORD)


async def refusal_of(reply: Reply) -> LoginError:
    """The error of a login that gets *reply*."""
    async with login_endpoint(reply) as endpoint:
        error = await refusal(LOGIN, endpoint.url)
    assert len(endpoint.bodies) == 1
    return error


# -- no response ---------------------------------------------------------------------------------------------------------

TO_API = ConnectionKey("api.example", 443, True, True, None, None, None, None)
UNTRUSTED = ssl.SSLCertVerificationError(1, "x")
UNTRUSTED.verify_message = "self-signed certificate"


@pytest.mark.parametrize(
    ("error", "reason", "cause"),
    [
        (ConnectionResetError(104, "reset"), "the connection was lost (Conn", ConnectionResetError),
        (ServerDisconnectedError(f"{PASSWORD} {KEY}"), "the connection was lost (Server", ClientError),
        (ServerTimeoutError(KEY), "it did not answer in time", TimeoutError),
        (ConnectionTimeoutError(f"https://a.example/?token={KEY}"), "it did not accept the connection in time", TimeoutError),
        (ClientConnectorError(TO_API, OSError(111, "refused")), "the connection was refused, or", ConnectionRefusedError),
        (ClientConnectorCertificateError(TO_API, UNTRUSTED), "self-signed certificate); for a private CA set SSL_CERT_FILE to its certificates, or pass login_session=", ssl.SSLError),
        (ClientConnectionError(KEY), "the request failed (ClientConnectionError)", ClientError),
        (UnicodeError(KEY), "its host name was not found (UnicodeError)", ClientError),
    ],
)  # fmt: skip
def test_only_the_systems_own_errors_are_chained(error: Exception, reason: str, cause: type[Exception]) -> None:
    """The message names the origin and the class; aiohttp's errors, which quote requests and URLs, are not chained."""
    failure = unreachable(API, error)
    assert str(failure).startswith("the login endpoint https://api.example cannot be reached: ")
    assert getattr(failure, "status", ...) is None
    assert reason in str(failure)
    assert isinstance(failure.__cause__, cause)
    assert_no_secret(failure)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (ClientProxyConnectionError, "the connection was refused"),
        (ClientConnectorDNSError, "its host name was not found"),
    ],
)
def test_a_proxy_that_cannot_be_reached_is_not_the_login_endpoint(
    kind: type[ClientConnectorError], reason: str
) -> None:
    """The sentence names the proxy, whose error aiohttp may give the endpoint's type."""
    to_proxy = ConnectionKey("proxy.example", 3128, False, True, None, None, None, None)
    failure = unreachable(API, kind(to_proxy, OSError(111, "refused")))
    proxy = f"the proxy http://proxy.example:3128 cannot be reached: {reason}"
    assert str(failure).startswith(f"the login endpoint {API} cannot be reached: {proxy}")


@pytest.mark.parametrize(("status", "kind"), [(407, LoginError), (403, LoginError), (502, LoginUnavailableError)])
def test_a_proxy_that_refuses_is_not_the_login_endpoint(status: int, kind: type[LoginError]) -> None:
    """The sentence names the proxy, and what no retry helps is not tried again for as long as a login may take."""
    request = RequestInfo(API, "CONNECT", CIMultiDictProxy(CIMultiDict({"Proxy-Authorization": SECRET})), API)
    failure = unreachable(API, ClientHttpProxyError(request, (), status=status, message=SECRET))
    assert type(failure) is kind
    assert str(failure).startswith(f"the login endpoint {API} cannot be reached: the proxy answered {status}")
    assert getattr(failure, "status", status) == status
    assert_no_secret(failure)


async def test_a_response_that_is_not_http_is_not_quoted() -> None:
    """It may repeat the request, which aiohttp's error would quote."""

    async def echo(call: Call) -> None:
        await call.write(call.body + PASSWORD.encode() + KEY.encode() + b"\r\n\r\n")

    async with RawServer() as server:
        server.login = echo
        error = await refusal(LOGIN, URL(server.endpoint))
    assert isinstance(error, LoginUnavailableError)
    assert "does not speak HTTP" in str(error)
    assert error.__cause__ is not None


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (200, LoginError, f"more than {MAX_RESPONSE} bytes"),
        (401, CredentialsRejectedError, "401"),
        (503, LoginUnavailableError, "503"),
    ],
)
async def test_a_response_that_is_too_long_has_its_status(status: int, kind: type, says: str) -> None:
    """It is read up to one mebibyte, and the status still counts."""
    error = await refusal_of(Reply(status, b" " * (MAX_RESPONSE + 1)))
    assert type(error) is kind
    assert says in str(error)


# -- what a response means -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "origin"),
    [
        ("https://evil.example/take?token=1", "https://evil.example;"),
        ("/elsewhere?x=1", "http://127.0.0.1:"),
        ("https://user:pass@evil.example/", "https://evil.example;"),
        (f"https://{KEY}.example/", "https://***.example;"),
        ("mailto:someone", "no usable address"),
        ("http://[bad", "no usable address"),
        ("//[]@", "no usable address"),
    ],
)
async def test_a_redirect_is_refused_with_its_origin_only(location: str, origin: str) -> None:
    """Credentials follow no redirect; the message has neither path nor query of the target."""
    error = await refusal_of(Reply(307, headers={"Location": location}))
    assert type(error) is LoginError
    assert origin in str(error)
    assert not any(text in str(error) for text in ("take", "token=1", "elsewhere", "pass"))


def test_a_status_means_the_same_to_every_login() -> None:
    """An application's own login that raises for status fails as the built-in logins do, whatever the status."""
    info = RequestInfo(API, "POST", CIMultiDictProxy(CIMultiDict()), API)
    for status in range(400, 600):
        own = _typed(ClientResponseError(info, (), status=status))
        built_in = LoginResponse(API, status, {}, b"", ()).refused(reason=None)
        assert type(own) is type(built_in), status
        assert getattr(own, "status", None) == getattr(built_in, "status", None)


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (Reply(408, {"error": f"busy, {PASSWORD}"}), LoginUnavailableError, "it answered 408, 'busy, ***'"),
        (Reply(429, {}), LoginUnavailableError, "it answered 429"),
        (Reply(500, {}), LoginUnavailableError, "it answered 500"),
        (Reply(304), LoginError, "redirects (304)"),
        (Reply(404), LoginError, "it answered 404; check its URL"),
        (Reply(422), LoginError, "it answered 422; check its URL"),
        (Reply(200, b"<", {"Content-Type": "text/html; charset=x"}), LoginError, "answered with text/html instead of JSON; check its URL"),
    ],
)  # fmt: skip
async def test_a_status_and_a_type_say_what_is_wrong(reply: Reply, kind: type, says: str) -> None:
    """A server in trouble can be asked later, with its status and Retry-After; any other status, or a page, is a wrong URL."""
    error = await refusal_of(reply._replace(headers={**reply.headers, "Retry-After": "7"}))
    assert type(error) is kind
    assert says in str(error)
    if isinstance(error, LoginUnavailableError):
        assert (error.status, error.retry_after) == (reply.status, 7.0)


BLOCKED = b"<html><head><TITLE>Blocked by &quot;Wall&quot; for p4ss</TITLE></head>"
PAGE = {"Content-Type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    "login", [LOGIN, OAuth2Login("https://api.example/t", "svc", SECRET)], ids=["password", "OAuth2"]
)
@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(403, BLOCKED, PAGE), "it answered 403, 'Blocked by \"Wall\" for p4ss', with text/html instead of JSON"),
        (Reply(401, BLOCKED, PAGE), "it answered 401, 'Blocked by \"Wall\" for p4ss', with text/html instead of JSON"),
        (Reply(403, b"Forbidden", {"Content-Type": "text/plain"}), "it answered 403, 'Forbidden', with text/plain instead of JSON"),
        (Reply(403, b"", PAGE), "it answered 403, with text/html instead of JSON"),
    ],
)  # fmt: skip
def test_a_refusal_without_json_blames_no_credential(login: Any, reply: Reply, says: str) -> None:
    """A firewall's page is no word of the API on its key: it is quoted, and who may have answered is named."""
    response = LoginResponse(API, reply.status, reply.headers, cast("bytes", reply.payload), SECRETS)
    error = login._read(response) if login is LOGIN else read_token(response, "client_credentials", None)
    assert type(error) is CredentialsRejectedError
    assert error.reason is None
    assert f"refused the login: {says}; look for a firewall or proxy on the way" in str(error)


@pytest.mark.parametrize(
    ("reason", "what"),
    [
        ("api_key", "the credentials (the API key): it"),
        ("user", "the credentials (the email or the password): it"),
        ("client", "the credentials (the client or its secret): it"),
        ("refresh_token", "the credentials (the refresh token): it"),
        (None, "the credentials: it"),
    ],
)
def test_a_rejection_says_what_was_rejected(reason: str | None, what: str) -> None:
    """In its text, because few handlers print the attribute."""
    assert f"rejected {what} answered 401" in str(LoginResponse(API, 401, {}, b"{}", ()).refused(reason=reason))


def test_a_page_in_place_of_a_token_is_quoted_by_its_title() -> None:
    """Masked, as whatever else comes from there."""
    secrets = (*SECRETS, "p4ss")
    with pytest.raises(
        LoginError, match=r"""text/html instead of JSON, titled 'Blocked by "Wall" for \*\*\*'; check"""
    ):
        raised(LOGIN._read(LoginResponse(API, 200, PAGE, BLOCKED, secrets)))


@pytest.mark.parametrize(
    ("status", "body", "headers", "wait"),
    [
        (429, {"message": "Too many requests"}, {"Retry-After": "600"}, ""),
        (429, {}, {}, "wait a minute, and "),
        (200, {"errors": [{"message": "no", "extensions": {"code": "RATE_LIMITED"}}]}, {}, "wait a minute, and "),
        (400, {"error": "too_many_requests"}, {}, "wait a minute, and "),
    ],
)
def test_too_many_logins_are_no_network_failure(status: int, body: Any, headers: dict[str, str], wait: str) -> None:
    """The sentence says how to log in less often, and once it is remembered one time: that of the next login."""
    response = LoginResponse(API, status, headers, json.dumps(body).encode(), ())
    error = read_token(response, "client_credentials", None) if "error" in body else LOGIN._read(response)
    assert type(error) is LoginUnavailableError
    assert str(error).endswith(f"; too many logins: {wait}share the token through a store")
    assert re.findall(r"\d+ s\b", str(remembered(error, 60.0))) == ["60 s"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"1", b"\xff\xfe", b"[" * 200_000, b"1" * 5000, b'{"data":' * 50_000, b"NaN"]
)
def test_json_that_is_not_an_object_is_a_login_error(body: bytes) -> None:
    """Also if the parser raises something else."""
    with pytest.raises(LoginError, match="answered with JSON that is not an object; check its URL"):
        raised(LOGIN._read(LoginResponse(API, 200, {"Content-Type": "application/json"}, body, ())))


def test_a_password_logins_answer_is_read_in_its_declared_charset() -> None:
    """As a token endpoint's is."""
    body = '{"data":{"login":{"token":"t","user":"Zo\u00eb"}}}'.encode("latin-1")
    declared = {"Content-Type": 'application/json; charset="ISO-8859-1"'}
    assert raised(LOGIN._read(LoginResponse(API, 200, declared, body, ()))).value == "t"


def test_a_message_is_read_as_far_as_it_could_be_quoted() -> None:
    """A text after ten thousand characters is not a sentence: patterns would hold up the loop for nothing."""
    response = LoginResponse(API, 200, {}, b"", SECRETS)

    def judged(message: str) -> LoginError | None:
        error = {"message": message, "extensions": {"code": "INTERNAL_SERVER_ERROR"}}
        return graphql_refusal(response, {"errors": [error]})

    words = " wrong password"
    assert isinstance(judged("x" * (MAX_SENTENCE - len(words)) + words), CredentialsRejectedError)
    assert isinstance(judged("x" * MAX_SENTENCE + words), LoginUnavailableError)


# -- the session ---------------------------------------------------------------------------------------------------------


async def test_an_endpoint_without_tls_is_refused_before_anything_is_sent() -> None:
    """The context's endpoint must meet the same rule as the owner's."""
    with pytest.raises(InsecureTransportError):
        async with ClientSession() as session:
            await post(session, URL("http://api.example/graphql"), headers={}, body=b"", secrets=())


async def test_an_error_of_the_sessions_own_middleware_passes_through() -> None:
    """A guard's error is not a network failure, which would be retried."""

    async def guard(request: object, handler: object) -> object:
        raise ReentrantLoginError("inside")

    async with ClientSession(middlewares=(guard,)) as session:  # type: ignore[arg-type] # it only raises
        with pytest.raises(ReentrantLoginError, match=r"^inside$"):
            await post(session, URL("http://127.0.0.1:1/"), headers={}, body=b"", secrets=())


async def test_a_session_that_raises_for_status_by_itself_changes_nothing() -> None:
    """The application's own login session may do so; aiohttp's error would carry the request's headers."""
    async with (
        login_endpoint(Reply(401, {"error": "no"})) as endpoint,
        ClientSession(raise_for_status=True) as session,
    ):
        for login in (LOGIN, OAuth2Login(endpoint.url, "id", SECRET)):
            with pytest.raises(CredentialsRejectedError) as caught:
                await login(LoginContext(session=lambda: session, endpoint=endpoint.url, api_key=KEY))
            assert_no_secret(caught.value)


# -- times ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "9" * 400}, None),
        ({"Retry-After": "1" + "0" * 30}, 1e30),
        ({"Retry-After": "\u0663"}, None),
        ({}, None),
        (None, None),
        ({"Retry-After": "Tue, 01 Jan 2030 00:02:00 GMT", "Date": "Tue, 01 Jan 2030 00:00:00 GMT"}, 120.0),
        ({"Retry-After": "Tue, 01 Jan 2030 00:00:00 GMT", "Date": "Tue, 01 Jan 2030 00:02:00 GMT"}, None),
        ({"Retry-After": "Tue, 01 Jan 2030 00:02:00 -0000", "Date": "Tue, 01 Jan 2030 00:00:00 GMT"}, 120.0),
        ({"Retry-After": "Tue, 01 Jan 2030 00:02:00 +9999999999", "Date": "x"}, None),
        ({"Retry-After": "Mon, 01 Jan 2001 00:02:00 GMT"}, None),
    ],
)
def test_retry_after_is_read_in_both_forms(headers: dict[str, str] | None, seconds: float | None) -> None:
    """A date counts from the response's own Date; nonsense is ignored."""
    assert retry_after(headers) == seconds


def test_without_a_date_the_wall_clock_counts() -> None:
    """An unreadable date of the server is ignored."""
    assert abs(server_time({"Date": "yesterday"}) - datetime.now(UTC).timestamp()) < 60


@pytest.mark.parametrize(
    "login", [LOGIN, OAuth2Login("https://api.example/t", "svc", SECRET)], ids=["password", "OAuth2"]
)
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": "SAID"}, "application/json"),
        ({"error": {"message": "SAID", "code": 5}}, "application/json"),
        ({"message": "SAID"}, "application/json"),
        ({"detail": "SAID", "status": 403}, "application/problem+json"),
        ({"title": "SAID"}, "application/problem+json"),
        ("SAID", "text/plain; charset=utf-8"),
    ],
    ids=str,
)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 422, 429, 500])
async def test_a_refusal_of_any_kind_is_quoted(login: Any, body: Any, kind: str, status: int) -> None:
    """Masked, printable, at most 200 characters of the server's text, and then the library's advice as a whole."""
    said = f"No \u202eentry for {PASSWORD} \x1b[2J{KEY}: " + "x" * 300
    text = (
        body.replace("SAID", said)
        if isinstance(body, str)
        else json.dumps(body).replace("SAID", json.dumps(said)[1:-1])
    )
    async with login_endpoint(Reply(status, text.encode(), {"Content-Type": kind})) as endpoint:
        made = login if login is LOGIN else OAuth2Login(endpoint.url, "svc", SECRET, password=PASSWORD, username="ada")
        error = await refusal(made, endpoint.url)
    if isinstance(body, str) and status == 200:
        assert "text/plain instead of JSON" in str(error)
        return
    quoted = re.search(r"'(No entry for \*\*\* \[2J\*\*\*: x+…)'", str(error))
    assert quoted is not None, error
    assert len(quoted[1]) == 200
    assert str(error).isprintable()
    if type(error) is LoginError:
        assert re.search(
            r"; (check its URL|set token_field= .* of the token|check that it is a token endpoint)$", str(error)
        )


@pytest.mark.parametrize("status", [200, 400, 404, 503])
async def test_a_secret_in_the_endpoints_own_url_is_not_quoted(status: int) -> None:
    """A server says which address it does not know."""
    said = {"error": "no POST /graphql?sig=s1g-of-the-url here", "errors": [{"message": "no s1g-of-the-url"}]}
    async with login_endpoint(Reply(status, said)) as endpoint:
        url = endpoint.url % {"sig": "s1g-of-the-url"}
        for login in (LOGIN, OAuth2Login(url, "svc", SECRET)):
            error = str(await refusal(login, url))
            assert "***" in error
            assert "s1g" not in error


def test_a_chained_error_of_the_system_keeps_no_frames() -> None:
    """Error trackers print the local variables of a cause's frames, which are aiohttp's here."""
    try:
        open("/nowhere/at/all")  # noqa: PTH123, SIM115
    except OSError as error:
        cause = without_secrets(error)
    assert type(cause) is FileNotFoundError
    assert cause.__traceback__ is None
    assert cause.__context__ is None
