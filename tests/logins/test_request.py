"""Sending a login request and reading its answer: every fault of an endpoint ends in one typed error without a secret."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import (
    ClientConnectionError,
    ClientError,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    RequestInfo,
    ServerDisconnectedError,
    web,
)
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from exterview_auth._aiohttp.login_call import _typed
from exterview_auth._options import header_options, path_option, text_option
from exterview_auth._token import Token
from exterview_auth.errors import (
    ConfigurationError,
    CredentialsRejectedError,
    InsecureTransportError,
    LoginError,
    LoginUnavailableError,
    ReentrantLoginError,
)
from exterview_auth.logins import OAuth2Login, PasswordLogin
from exterview_auth.logins._context import MAX_RESPONSE, LoginContext
from exterview_auth.logins._graphql_errors import graphql_refusal
from exterview_auth.logins._http_dates import retry_after, server_time
from exterview_auth.logins._redaction import MAX_QUOTE, MAX_SENTENCE, redacted
from exterview_auth.logins._request import LoginResponse, post, unreachable

PASSWORD = "hunter2 & <wonder>"
KEY = "key-0123456789"
OLD = "old-token-0123"
SECRETS = (PASSWORD, KEY, OLD)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
RawHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[URL]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    async with TestServer(app) as server:
        yield server.make_url("/graphql")


@asynccontextmanager
async def serving_raw(handler: RawHandler) -> AsyncIterator[URL]:
    tasks = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        try:
            await reader.readuntil(b"\r\n\r\n")
            await handler(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/graphql")
    finally:
        server.close()
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)
        await server.wait_closed()


async def log_in(url: URL, *, seconds: float = 5.0) -> Token:
    async with ClientSession(timeout=ClientTimeout(total=seconds)) as session:
        context = LoginContext(session=lambda: session, endpoint=url, api_key=KEY, previous=Token(OLD))
        return await PasswordLogin("ada@example.com", PASSWORD)(context)


async def refusal(url: URL, *, seconds: float = 5.0) -> LoginError:
    with pytest.raises(LoginError) as caught:
        await log_in(url, seconds=seconds)
    assert_clean(caught.value)
    return caught.value


def assert_clean(error: BaseException | None) -> None:
    """No message, argument, cause or context of *error* holds a secret, and each is one line."""
    if error is None:
        return
    shown = [str(error), repr(error), repr(error.args), *traceback.format_exception_only(error)]
    for secret in SECRETS:
        assert not [text for text in shown if secret in text or repr(secret)[1:-1] in text]
    assert "\n" not in str(error)
    assert_clean(error.__cause__)
    assert_clean(error.__context__)


@pytest.mark.asyncio
async def test_a_refused_connection_is_unavailable_and_chains_the_systems_error(unused_tcp_port: int) -> None:
    """Nobody listens: the sentence names the origin, the cause is an OSError."""
    error = await refusal(URL(f"http://127.0.0.1:{unused_tcp_port}/graphql?secret=1"))
    assert isinstance(error, LoginUnavailableError)
    assert f"http://127.0.0.1:{unused_tcp_port} cannot be reached" in str(error)
    assert "secret" not in str(error)
    assert isinstance(error.__cause__, OSError)


@pytest.mark.asyncio
async def test_an_unknown_name_is_unavailable() -> None:
    """A host that no resolver knows is told as such."""
    error = await refusal(URL("https://nobody.invalid/graphql"))
    assert isinstance(error, LoginUnavailableError)
    assert "its host name was not found" in str(error)


@pytest.mark.asyncio
async def test_tls_that_does_not_verify_is_unavailable(tmp_path: Path) -> None:
    """A certificate that nobody signed ends in a typed error that speaks of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    server = TestServer(web.Application(), scheme="https")
    await server.start_server(ssl=context)
    try:
        error = await refusal(server.make_url("/graphql"))
    finally:
        await server.close()
    assert isinstance(error, LoginUnavailableError)
    assert "the TLS handshake failed (ClientConnectorCertificateError: self-signed certificate)" in str(error)


def self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    path = folder / "both.pem"
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, *form) + certificate.public_bytes(pem))
    return path


@pytest.mark.asyncio
async def test_a_reset_in_the_middle_of_the_answer_is_unavailable() -> None:
    """Half a body is no answer."""

    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"data":')
        await writer.drain()
        writer.transport.abort()

    async with serving_raw(reset) as url:
        error = await refusal(url)
    assert isinstance(error, LoginUnavailableError)
    assert error.__cause__ is not None


@pytest.mark.asyncio
async def test_a_body_shorter_than_announced_is_unavailable() -> None:
    """The same with an orderly end of the connection."""

    async def stop(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"data":')
        await writer.drain()

    async with serving_raw(stop) as url:
        error = await refusal(url)
    assert isinstance(error, LoginUnavailableError)
    assert "the response ended too early" in str(error)


@pytest.mark.asyncio
async def test_a_connection_that_ends_without_an_answer_is_unavailable() -> None:
    """The server hangs up."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with serving_raw(hang_up) as url:
        assert isinstance(await refusal(url), LoginUnavailableError)


@pytest.mark.asyncio
async def test_garbage_that_repeats_the_request_is_unavailable_and_not_quoted() -> None:
    """What is no HTTP is told by its class, although aiohttp's error quotes what came and carries the request."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = await reader.read(1000)
        writer.write(body + PASSWORD.encode() + KEY.encode() + b"\r\n\r\n")
        await writer.drain()

    async with serving_raw(echo) as url:
        error = await refusal(url)
    assert isinstance(error, LoginUnavailableError)
    assert "does not speak HTTP" in str(error)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"])
@pytest.mark.asyncio
async def test_silence_and_a_byte_at_a_time_end_with_the_sessions_timeout(head: bytes) -> None:
    """A black hole, and an answer that drips, take no longer than the timeout allows."""

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            if head:
                writer.write(b" ")
                await writer.drain()
            await asyncio.sleep(0.02)

    async with serving_raw(drip) as url:
        error = await refusal(url, seconds=0.1)
    assert isinstance(error, LoginUnavailableError)
    assert "in time" in str(error)
    assert isinstance(error.__cause__, TimeoutError)


@pytest.mark.parametrize("status", [200, 401, 503])
@pytest.mark.asyncio
async def test_an_endless_answer_is_read_up_to_one_mebibyte_and_cut_off(status: int) -> None:
    """The server notices that the connection ends; the status still says what it says."""
    ended = asyncio.Event()
    sent = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 100000000\r\n\r\n".encode())
        try:
            while True:
                writer.write(b"x" * 65536)
                sent += 65536
                await writer.drain()
        except OSError:
            ended.set()

    async with serving_raw(endless) as url:
        error = await refusal(url)
        await asyncio.wait_for(ended.wait(), 5)
    kinds = {200: LoginError, 401: CredentialsRejectedError, 503: LoginUnavailableError}
    assert type(error) is kinds[status]
    assert sent < 32 * MAX_RESPONSE
    if status == 200:
        assert f"more than {MAX_RESPONSE} bytes" in str(error)


@pytest.mark.parametrize(
    ("location", "told"),
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
@pytest.mark.asyncio
async def test_a_redirect_is_refused_with_its_origin_only(location: str, told: str) -> None:
    """Credentials follow no redirect; the sentence has neither path nor query of the target."""
    seen: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=307, headers={"Location": location})

    async with serving(redirect) as url:
        error = await refusal(url)
    assert type(error) is LoginError
    assert told in str(error)
    assert not any(text in str(error) for text in ("take", "token=1", "elsewhere", "pass"))
    assert seen == ["/graphql"]


@pytest.mark.asyncio
async def test_a_redirect_without_a_location_is_refused_too() -> None:
    """Any 3xx is no answer."""

    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=304)

    async with serving(redirect) as url:
        assert "redirects (304)" in str(await refusal(url))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
@pytest.mark.asyncio
async def test_an_endpoint_to_ask_later_is_unavailable_with_its_retry_after(status: int) -> None:
    """The seconds of Retry-After are on the error."""

    async def later(_: web.Request) -> web.Response:
        return web.json_response({"error": f"busy, {PASSWORD}"}, status=status, headers={"Retry-After": "7"})

    async with serving(later) as url:
        error = await refusal(url)
    assert isinstance(error, LoginUnavailableError)
    assert error.retry_after == 7.0
    assert f"it answered {status}, 'busy, ***'" in str(error)


def test_a_status_means_the_same_to_every_login() -> None:
    """Rule 7: an application's own login that raises for status fails as the built-in logins do, whatever the status."""
    info = RequestInfo(URL("https://api.example"), "POST", CIMultiDictProxy(CIMultiDict()), URL("https://api.example"))
    for status in range(400, 600):
        own = _typed(ClientResponseError(info, (), status=status))
        built_in = LoginResponse(URL("https://api.example"), status, {}, b"", ()).refused(reason=None)
        assert type(own) is type(built_in), status


@pytest.mark.asyncio
async def test_html_is_named_by_its_type() -> None:
    """A page instead of JSON: the URL is wrong."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    async with serving(page) as url:
        error = await refusal(url)
    assert type(error) is LoginError
    assert "answered with text/html instead of JSON; check its URL" in str(error)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"1", b"\xff\xfe", b"[" * 200_000, b"1" * 5000, b'{"data":' * 50_000, b"NaN"]
)
@pytest.mark.asyncio
async def test_json_that_is_no_object_is_a_login_error(body: bytes) -> None:
    """Also where the parser would raise something else."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    async with serving(answer) as url:
        error = await refusal(url)
    assert type(error) is LoginError
    assert "JSON that is not an object" in str(error)


@pytest.mark.parametrize("status", [404, 405, 410, 422])
@pytest.mark.asyncio
async def test_any_other_status_says_that_the_url_may_be_wrong(status: int) -> None:
    """It is neither a rejection nor worth asking again."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status)

    async with serving(answer) as url:
        error = await refusal(url)
    assert type(error) is LoginError
    assert f"it answered {status}; check its URL" in str(error)


@pytest.mark.asyncio
async def test_an_endpoint_without_tls_is_refused_before_anything_is_sent() -> None:
    """The context's endpoint is held to the same rule as the owner's."""
    made: list[object] = []

    def session() -> ClientSession:
        made.append(1)
        return ClientSession()

    context = LoginContext(session=session, endpoint=URL("http://api.example/graphql"), api_key=KEY)
    with pytest.raises(InsecureTransportError):
        await PasswordLogin("ada@example.com", PASSWORD)(context)
    if made:
        await context.session.close()


@pytest.mark.asyncio
async def test_an_error_of_the_sessions_own_middleware_passes_through() -> None:
    """What a guard raises is no network failure: it would be retried."""

    async def guard(request: object, handler: object) -> object:
        raise ReentrantLoginError("inside")

    async with ClientSession(middlewares=(guard,)) as session:  # type: ignore[arg-type] # it only raises
        with pytest.raises(ReentrantLoginError, match=r"^inside$"):
            await post(session, URL("http://127.0.0.1:1/"), headers={}, body=b"", secrets=())


@pytest.mark.parametrize("kind", ["password", "oauth2"])
@pytest.mark.asyncio
async def test_a_session_that_raises_for_status_by_itself_changes_nothing(kind: str) -> None:
    """The application's own login session may do so; aiohttp's error would carry the request's headers."""

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": "no"}, status=401)

    async with serving(refuse) as url, ClientSession(raise_for_status=True) as session:
        login = PasswordLogin("a@b.c", PASSWORD) if kind == "password" else OAuth2Login(url, "id", PASSWORD)
        with pytest.raises(CredentialsRejectedError) as caught:
            await login(LoginContext(session=lambda: session, endpoint=url, api_key=KEY))
    assert_clean(caught.value)


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
    """A date counts from the answer's own Date; nonsense is no wish."""
    assert retry_after(headers) == seconds


def test_without_a_date_the_wall_clock_counts() -> None:
    """Unreadable dates of the server do no harm."""
    assert abs(server_time({"Date": "yesterday"}) - datetime.now(UTC).timestamp()) < 60


@pytest.mark.parametrize(
    "text",
    [
        PASSWORD,
        f"wrong: {PASSWORD}!",
        "hunter2+%26+%3Cwonder%3E",
        "hunter2%20%26%20%3cwonder%3e",
        "hunter2 &amp; &lt;wonder&gt;",
        "HUNTER2 & <WONDER>",
        "hunter2\t&\n <wonder>",
        "x" * 190 + PASSWORD,
    ],
)
def test_a_quoted_sentence_masks_every_form_of_a_secret(text: str) -> None:
    """Servers repeat what they were sent, encoded and cut; no part of it is left."""
    quote = redacted(text, [PASSWORD])
    assert "unter" not in quote.lower().replace("hunters", "")
    assert "wonder" not in quote.lower()
    assert len(quote) <= MAX_QUOTE


@pytest.mark.parametrize(
    ("secret", "form"),
    [
        ("ab/cd+ef==", "ab\\/cd+ef=="),
        ("ab/cd+ef==", "ab/cd%2Bef%3D%3D"),
        ("p@ss!w(o)rd*1", "p%40ss!w(o)rd*1"),
        ("p@ss w&rd/1", "p@ss%20w&rd/1"),
        ("p<ss&w>rd", "p\\u003css\\u0026w\\u003erd"),
        ("p's\"word", "p&#39;s&#34;word"),
        ("p's&word", "p's&amp;word"),
    ],
)
def test_a_secret_is_masked_as_other_languages_encode_it(secret: str, form: str) -> None:
    """Rule 22: PHP's JSON, Python's and JavaScript's URLs, Go's JSON, Jinja's HTML."""
    assert redacted(f"rejected: {form}.", [secret]) == "rejected: ***."


@pytest.mark.parametrize(
    ("secret", "form"),
    [
        ("p@ss*w~rd", "p%40ss*w%7Erd"),
        ("p&ssword", "p&amp;amp;ssword"),
        ('p"ss\\word', json.dumps(json.dumps('p"ss\\word'))),
        ("p@ss/word", "p%2540ss%252Fword"),
        ("straße-geheim", "STRASSE-GEHEIM"),
        ("caf\u00e9-geheim", "cafe\u0301-geheim"),
        ("geheimnis", "geheim\u200bnis"),
    ],
)
def test_what_is_a_secret_once_it_is_decoded_is_not_quoted(secret: str, form: str) -> None:
    """Rule 22: escaped twice, in capitals, in pieces: then nothing is quoted at all, which a harmless sentence is."""
    assert redacted(f"rejected: {form}", [secret]) == ""
    assert redacted(f"rejected: {form}", ["something else"]) != ""


@pytest.mark.parametrize(
    ("text", "secrets", "told"),
    [
        ("no HUNTER2", ["hunter2"], "no ***"),
        ("İİİ hunter2 İ", ["HUNTER2"], "İİİ *** İ"),
        ("pa\u017f\u017fword", ["PASSWORD"], "***"),
        ("STRAẞE straße", ["straße"], "*** ***"),
        ("ΟΔΌΣ οδός", ["οδόσ"], "*** ***"),
        ("abcdefgh", ["abcde", "defg"], "***h"),
        ("xababay", ["aba"], "x***y"),
        ("one two", ["one", "two", "one two"], "***"),
        ("a***b", ["*"], "a***b"),
        ("nothing", ["", "something else"], "nothing"),
    ],
)
def test_every_letter_that_belongs_to_a_secret_is_masked(text: str, secrets: list[str], told: str) -> None:
    """Whatever its case, wherever secrets overlap, and whatever letters stand before them; the rest stays as it is."""
    assert redacted(text, secrets) == told


def test_a_secret_as_long_as_a_sentence_can_be_is_masked_and_a_longer_one_costs_nothing() -> None:
    """No text that is quoted has room for it."""
    secret = "s" * MAX_SENTENCE
    assert redacted(secret, [secret]) == "***"
    assert redacted("s" * 50, [secret, "x" * 10_000_000]) == "s" * 50


def test_masking_leaves_no_secret_behind_in_the_caches_of_re() -> None:
    """A pattern is kept for as long as the process lives: none is made of a secret."""
    re.compile("a pattern of the application")
    redacted("wrong: s3cretw0rd", ["s3cretw0rd", "an0ther"])
    kept = repr([value for name, value in vars(re).items() if "cache" in name])
    assert "a pattern of the application" in kept
    assert "s3cretw0rd" not in kept
    assert "an0ther" not in kept


def test_a_message_is_read_as_far_as_it_could_be_quoted() -> None:
    """What stands behind ten thousand characters is no sentence: patterns would hold up the loop for nothing."""
    answer = LoginResponse(URL("https://api.example"), 200, {}, b"", SECRETS)

    def judged(message: str) -> LoginError:
        return graphql_refusal(answer, {}, [{"message": message, "extensions": {"code": "INTERNAL_SERVER_ERROR"}}])

    words = " wrong password"
    assert isinstance(judged("x" * (MAX_SENTENCE - len(words)) + words), CredentialsRejectedError)
    assert isinstance(judged("x" * MAX_SENTENCE + words), LoginUnavailableError)


@pytest.mark.parametrize("issued", ['"\\ud800x"', '"\\udcff"', '""'])
@pytest.mark.asyncio
async def test_a_refresh_token_that_cannot_be_presented_is_left_out(issued: str) -> None:
    """Rule 7: the answer gave a token, and the next login is a full grant, not an error for ever."""
    grants: list[object] = []

    async def answer(request: web.Request) -> web.Response:
        grants.append((await request.post())["grant_type"])
        body = f'{{"access_token": "T{len(grants)}", "expires_in": 60, "refresh_token": {issued}}}'
        return web.Response(text=body, content_type="application/json")

    async with serving(answer) as url, ClientSession() as session:
        login, token = OAuth2Login(url, "id", "secret", grant_type="password", username="u", password="p"), None
        for number in (1, 2, 3):
            context = LoginContext(session=lambda: session, endpoint=url, api_key=KEY, previous=token)
            token = await login(context)
            assert (token.value, token.refresh_token) == (f"T{number}", None)
    assert grants == ["password"] * 3


@pytest.mark.parametrize("refresh", ["\ud800", "x\udcff", "\udc00\ud800"])
def test_a_token_refuses_a_refresh_token_that_has_no_utf8_form(refresh: str) -> None:
    """An application's own login is told, without the text."""
    with pytest.raises(ConfigurationError, match=r"^a refresh token contains half a surrogate pair; ") as caught:
        Token("value", refresh_token=refresh)
    assert refresh not in repr(caught.value)


def test_a_quoted_sentence_is_one_printable_line() -> None:
    """Control characters, surrogates and lengths do not reach a log."""
    assert redacted("a\r\nb\x1b[31m\ud800 c", []) == "a b [31m c"
    assert redacted("x" * 1000, []) == "x" * (MAX_QUOTE - 1) + "…"
    assert redacted("x" * 100_000, []) == ""
    assert redacted({"a": 1}, []) == ""


@pytest.mark.parametrize(
    ("error", "reason", "cause"),
    [
        (ConnectionResetError(104, "reset"), "the connection was lost", ConnectionResetError),
        (ServerDisconnectedError(f"{PASSWORD} {KEY}"), "the connection was lost", ClientError),
        (
            ConnectionTimeoutError(f"https://a.example/?token={KEY}"),
            "it did not accept the connection in time",
            TimeoutError,
        ),
        (ClientConnectionError(KEY), "the request failed", ClientError),
        (UnicodeError(KEY), "its host name was not found", ClientError),
    ],
)
def test_only_the_systems_own_errors_are_chained(error: Exception, reason: str, cause: type[Exception]) -> None:
    """What quotes requests, answers or whole URLs is told by its class alone."""
    failure = unreachable(URL("https://a.example"), error)
    assert f"https://a.example cannot be reached: {reason} ({type(error).__name__})" in str(failure)
    assert type(failure.__cause__) is cause
    assert_clean(failure)


@pytest.mark.parametrize("headers", ["text", {"a b": "x"}, {"a": "x\r\ny"}, {"a": 1}, {1: "x"}])
def test_headers_that_cannot_be_sent_are_a_wrong_use(headers: object) -> None:
    """The value is not in the sentence."""
    with pytest.raises(ConfigurationError, match=r"^headers"):
        header_options(headers)  # type: ignore[arg-type] # that is the test


@pytest.mark.parametrize("value", [None, 1, "", "  ", "\ud800"])
def test_a_text_option_is_text_with_something_in_it(value: object) -> None:
    """The option is named."""
    with pytest.raises(ConfigurationError, match=r"^option"):
        text_option(value, "option")


def test_a_path_has_no_empty_steps() -> None:
    """Absent is fine, dotted is fine."""
    assert path_option(None, "token_field") == ()
    assert path_option("a.b", "token_field") == ("a", "b")
    for wrong in ("a..b", ".a", "", 1):
        with pytest.raises(ConfigurationError, match=r"^token_field"):
            path_option(wrong, "token_field")
