"""No error shows a secret, to error trackers that print the local variables of its frames either: a failure at every door."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import shutil
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from cryptography.fernet import Fernet
from yarl import URL

from exterview_auth import (
    AuthPool,
    AuthSession,
    ExterviewAuth,
    ExterviewAuthError,
    FileStore,
    LoginContext,
    LoginError,
    MemoryStore,
    OAuth2Login,
    PasswordLogin,
    RedisStore,
    StaticLogin,
    Token,
)
from tests.kit.api import Scene, answering, leads_to, scene, until
from tests.kit.login_endpoint import Reply, log_in, login_endpoint
from tests.kit.raw_server import raw_server
from tests.kit.showing import assert_shows_none, texts_kept_by
from tests.kit.tokens import jwt_of

S = "s3cr3t"
"""In every secret here, and in nothing else."""
KEY = f"key-{S}"
HOUR = 3600.0
LOGIN = PasswordLogin("ada@example.com", S)
ISSUER = "https://localhost/token"
ENVIRON = {
    "EXTERVIEW_API_KEY": KEY,
    "EXTERVIEW_EMAIL": "ada@example.com",
    "EXTERVIEW_PASSWORD": S,
    "EXTERVIEW_BEARER_TOKEN": f"token-{S}",
    "OTHER_VARIABLE": f"other-{S}",
}
WITH_TOKEN = {name: text for name, text in ENVIRON.items() if name not in {"EXTERVIEW_EMAIL", "EXTERVIEW_PASSWORD"}}

Attempt = Callable[[], Any]


class Typed:
    """A secret that is not text, such as a UUID."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Typed({self.text!r})"


def with_files(directory: Path, name: str, content: bytes) -> str:
    path = directory / name
    path.write_bytes(content)
    return str(path)


CONSTRUCTORS: dict[str, Attempt] = {
    # Each argument is wrong in one way; the others hold secrets that are right.
    "token with a space": lambda: Token(f"{S} {S}"),
    "token with a line end": lambda: Token(f"{S}\n"),
    "token with Bearer": lambda: Token(f"Bearer {S}"),
    "token of 1 MB": lambda: Token(S * 200_000),
    "token as bytes": lambda: Token(S.encode()),  # type: ignore[arg-type]
    "JWT with a space": lambda: Token(f"{jwt_of(sub=S)} ", refresh_token=S),
    "half a surrogate in a refresh token": lambda: Token(f"fine-{S}", refresh_token=f"{S}\ud800"),
    "refresh token as bytes": lambda: Token(f"fine-{S}", refresh_token=S.encode()),  # type: ignore[arg-type]
    "key with a space": lambda: ExterviewAuth(LOGIN, api_key=f"{S} {S}"),
    "key as bytes": lambda: ExterviewAuth(LOGIN, api_key=S.encode()),  # type: ignore[arg-type]
    "key, no login": lambda: ExterviewAuth(None, api_key=KEY),  # type: ignore[arg-type]
    "key, wrong endpoint": lambda: ExterviewAuth(LOGIN, api_key=KEY, endpoint="nowhere"),
    "key, endpoint with a signature": lambda: ExterviewAuth(LOGIN, api_key=KEY, endpoint=f"http://host/?sig={S}"),
    "key, endpoint with a password": lambda: ExterviewAuth(LOGIN, api_key=KEY, endpoint=f"https://ada:{S}@host/"),
    "key, wrong origin": lambda: ExterviewAuth(LOGIN, api_key=KEY, origins=[f"http://host/?sig={S}"]),
    "key, wrong number": lambda: ExterviewAuth(LOGIN, api_key=KEY, login_timeout=-1),
    "key, wrong store": lambda: ExterviewAuth(LOGIN, api_key=KEY, store=object()),  # type: ignore[arg-type]
    "key, wrong account": lambda: ExterviewAuth(LOGIN, api_key=KEY, account=""),
    "from_env, wrong override": lambda: ExterviewAuth.from_env(ENVIRON, api_key=KEY, endpoint=5),  # type: ignore[arg-type]
    "from_env, unknown override": lambda: ExterviewAuth.from_env(ENVIRON, api_key=KEY, colour=S),  # type: ignore[call-arg]
    "from_env, wrong number": lambda: ExterviewAuth.from_env(ENVIRON, login_timeout=0),
    "from_env, no mapping": lambda: ExterviewAuth.from_env([S]),  # type: ignore[arg-type]
    "no e-mail": lambda: PasswordLogin("", S),
    "no password": lambda: PasswordLogin("ada@example.com", S.encode()),  # type: ignore[arg-type]
    "half a surrogate in a password": lambda: PasswordLogin("ada@example.com", f"{S}\ud800"),
    "password, wrong document": lambda: PasswordLogin("ada@example.com", S, document=""),
    "password, wrong field": lambda: PasswordLogin("ada@example.com", S, token_field="a..b"),
    "variables without JSON": lambda: PasswordLogin("a@b.example", S, variables={"p": [S], "o": object(), "x": {S: S}}),
    "variables that are circular": lambda: PasswordLogin("a@b.example", S, variables=circular()),
    "variables as a list": lambda: PasswordLogin("a@b.example", S, variables=[S]),  # type: ignore[arg-type]
    "OAuth2 without TLS": lambda: OAuth2Login(
        f"http://host/?sig={S}", "svc", S, password=S, username="u", refresh_token=S
    ),
    "OAuth2, no client": lambda: OAuth2Login(ISSUER, "", S, headers={"x-a": S}, code=S),
    "OAuth2, two credentials": lambda: OAuth2Login(ISSUER, "svc", S, private_key=f"-----BEGIN {S}"),
    "OAuth2, wrong private key": lambda: OAuth2Login(ISSUER, "svc", private_key=f"-----BEGIN {S}", refresh_token=S),
    "OAuth2, wrong private key in bytes": lambda: OAuth2Login(ISSUER, "svc", private_key=f"-----BEGIN {S}".encode()),
    "OAuth2, wrong method": lambda: OAuth2Login(ISSUER, "svc", S, token_endpoint_auth_method="none"),
    "OAuth2, password alone": lambda: OAuth2Login(ISSUER, "svc", S, password=S),
    "OAuth2, password as bytes": lambda: OAuth2Login(ISSUER, "svc", S, username="u", password=S.encode()),  # type: ignore[arg-type]
    "OAuth2, wrong header": lambda: OAuth2Login(ISSUER, "svc", S, headers={"x-a": f"{S}\n"}),
    "OAuth2, header twice": lambda: OAuth2Login(ISSUER, "svc", S, headers={"Authorization": S}),
    "OAuth2, wrong form field": lambda: OAuth2Login(ISSUER, "svc", S, code=S, assertion=S.encode()),  # type: ignore[arg-type]
    "OAuth2, empty form field": lambda: OAuth2Login(ISSUER, "svc", S, code=S, assertion=" "),
    "static token with a space": lambda: StaticLogin(f"{S} {S}"),
    "static token as bytes": lambda: StaticLogin(S.encode()),  # type: ignore[arg-type]
    "static token and a file": lambda: StaticLogin(S, file="/tmp/token"),
    "wrong encryption key": lambda: FileStore("/tmp/never-made", encryption_key=f"{S}{'A' * 30}="),
    "wrong encryption keys": lambda: FileStore("/tmp/never-made", encryption_key=[S.encode(), S]),
    "Redis with @ in the password": lambda: RedisStore(f"redis://:{S}/@{S}@localhost:6379/0"),
    "Redis with a wrong option": lambda: RedisStore(f"redis://:{S}@localhost:6379/0?health_check_interval={S}"),
    "Redis with another scheme": lambda: RedisStore(f"http://:{S}@localhost"),
    "Redis with a wrong namespace": lambda: RedisStore(f"redis://:{S}@localhost", namespace="{}", encryption_key=S),
    # Secrets of another type, and in the place of another argument.
    "token as a UUID": lambda: Token(Typed(S)),  # type: ignore[arg-type]
    "refresh token as a UUID": lambda: Token("x", refresh_token=Typed(S)),  # type: ignore[arg-type]
    "key as a UUID": lambda: ExterviewAuth(LOGIN, api_key=Typed(S)),  # type: ignore[arg-type]
    "key as a bytearray": lambda: ExterviewAuth(LOGIN, api_key=bytearray(S.encode())),  # type: ignore[arg-type]
    "password as a UUID": lambda: PasswordLogin("a@b.example", Typed(S)),  # type: ignore[arg-type]
    "variables with a set": lambda: PasswordLogin("a@b.example", S, variables={"codes": {S}}),
    "variables with a deque": lambda: PasswordLogin("a@b.example", S, variables={"codes": deque([S])}),
    "client secret as a UUID": lambda: OAuth2Login(ISSUER, "svc", Typed(S)),  # type: ignore[arg-type]
    "OAuth2, headers as a set": lambda: OAuth2Login(ISSUER, "svc", headers={("x-a", S)}),  # type: ignore[arg-type]
    "OAuth2, form field as a set": lambda: OAuth2Login(ISSUER, "svc", codes={S}),  # type: ignore[arg-type]
    "OAuth2, arguments in the wrong order": lambda: OAuth2Login("svc", ISSUER, S),
    "static token as a set": lambda: StaticLogin({S}),  # type: ignore[arg-type]
    "static token's file as bytes": lambda: StaticLogin(file=S.encode()),  # type: ignore[arg-type]
    "a token as the login": lambda: ExterviewAuth(S, api_key=KEY),  # type: ignore[arg-type]
    "credentials as the login": lambda: ExterviewAuth({"password": S}, api_key=KEY),  # type: ignore[arg-type]
    "endpoint with a signature, wrong store": lambda: ExterviewAuth(
        LOGIN,
        api_key=KEY,
        endpoint=URL(f"https://host/?sig={S}"),
        store=5,  # type: ignore[arg-type]
    ),
    "endpoint with a signature, wrong origin": lambda: ExterviewAuth(
        LOGIN, api_key=KEY, endpoint=URL(f"https://host/?sig={S}"), origins={f"https://other/?sig={S}", "http://host"}
    ),
    "an argument that does not exist": lambda: ExterviewAuth(LOGIN, api_key=KEY, colour=S),  # type: ignore[call-arg]
    "encryption keys as a set": lambda: FileStore("/tmp/never-made", encryption_key={S, f"other-{S}"}),
    "encryption keys as a deque": lambda: FileStore("/tmp/never-made", encryption_key=deque([S])),
    "encryption keys as dictionary keys": lambda: FileStore("/tmp/never-made", encryption_key={S: 1}.keys()),
    "Redis as a URL object": lambda: RedisStore(URL(f"redis://:{S}@localhost/0")),
    "Redis as options": lambda: RedisStore({"host": "localhost", "password": S}),
    "a token as the factory": lambda: AuthPool(S),  # type: ignore[arg-type]
    "a factory that returns a token": lambda: AuthPool(lambda _: S)["ada"],  # type: ignore[arg-type,return-value]
    "a text to invalidate": lambda: ExterviewAuth(LOGIN, api_key="fine").invalidate(S),  # type: ignore[arg-type]
    "a pickled token": lambda: pickle.dumps(Token(S, refresh_token=S)),
    "a pickled login": lambda: pickle.dumps(LOGIN),
}


def circular() -> dict[str, Any]:
    """Variables that hold themselves, twice."""
    variables: dict[str, Any] = {"password": S}
    variables["again"] = [variables, variables]
    return variables


@pytest.mark.parametrize("door", CONSTRUCTORS)
def test_what_a_constructor_refuses_shows_no_secret(door: str) -> None:
    """Neither the wrong value nor the right ones beside it."""
    with pytest.raises((ExterviewAuthError, TypeError)) as caught:
        CONSTRUCTORS[door]()
    assert_shows_none(caught.value, S)
    assert not [text for text in texts_kept_by(caught.value) if S in text]


@pytest.mark.parametrize(
    "change",
    [
        {"EXTERVIEW_API_KEY": f"{S} {S}"},
        {"EXTERVIEW_API_KEY": ""},
        {"EXTERVIEW_API_KEY": "", "EXTERVIEW_API_KEY_FILE": "/nowhere"},
        {"EXTERVIEW_EMAIL": ""},
        {"EXTERVIEW_PASSWORD": " "},
        {"EXTERVIEW_PASSWORD": f"{S}\ud800"},
        {"EXTERVIEW_ENDPOINT": "nowhere"},
        {"EXTERVIEW_ENDPOINT": f"http://host/?sig={S}"},
        {"EXTERVIEW_ENVIRONMENT": "staging"},
        {"EXTERVIEW_EMAIL": "", "EXTERVIEW_PASSWORD": "", "EXTERVIEW_BEARER_TOKEN": f"{S} {S}"},
        {"EXTERVIEW_EMAIL": "", "EXTERVIEW_PASSWORD": "", "EXTERVIEW_BEARER_TOKEN": ""},
        {
            "EXTERVIEW_EMAIL": "",
            "EXTERVIEW_PASSWORD": "",
            "EXTERVIEW_BEARER_TOKEN": "",
            "EXTERVIEW_BEARER_TOKEN_FILE": "/nowhere",
        },
    ],
    ids=lambda change: " ".join(name.removeprefix("EXTERVIEW_") for name in change),
)
@pytest.mark.parametrize("of_the_process", [True, False], ids=["os.environ", "mapping"])
def test_a_wrong_variable_shows_none_of_the_others(
    *,
    change: dict[str, str],
    of_the_process: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The environment as a whole is in no frame, nor the right key while another variable is wrong."""
    environ = {**ENVIRON, **change}
    if of_the_process:
        if "\ud800" in environ["EXTERVIEW_PASSWORD"]:
            environ["EXTERVIEW_PASSWORD"] = os.fsdecode(S.encode() + b"\xff")
        for name, text in environ.items():
            monkeypatch.setenv(name, text)
    with pytest.raises(ExterviewAuthError) as caught:
        ExterviewAuth.from_env(None if of_the_process else environ)
    assert_shows_none(caught.value, S)


# -- logins -------------------------------------------------------------------------------------------------------------

OLD = Token(f"old-{S}", refresh_token=f"old-refresh-{S}")

LOGINS: dict[str, Callable[[URL], Any]] = {
    "password": lambda url: LOGIN,
    "variables": lambda url: PasswordLogin("ada@example.com", S, variables={"input": {"pin": S}}),
    "made variables": lambda url: PasswordLogin("ada@example.com", S, variables=lambda e, p: {"hash": f"{e}{p}"}),
    "fields": lambda url: PasswordLogin("ada@example.com", S, token_field="a.b", expires_field="c", refresh_field="d"),
    "client secret": lambda url: OAuth2Login(url, "svc", S, code=S, headers={"x-a": S}),
    "client secret in the form": lambda url: OAuth2Login(
        url, "svc", S, token_endpoint_auth_method="client_secret_post"
    ),
    "grant of a password": lambda url: OAuth2Login(url, "svc", S, grant_type="password", username="ada", password=S),
    "refresh token": lambda url: OAuth2Login(url, "svc", grant_type="refresh_token", refresh_token=S),
}

REPLIES: dict[str, Reply] = {
    "400": Reply(400, {"error": f"{S}"}, {"X-Echo": S, "Set-Cookie": f"a={S}"}),
    "401": Reply(401, {"errors": [{"message": S, "extensions": {"code": "UNAUTHENTICATED", "was": S}}]}),
    "404": Reply(404, f"<p>{S}".encode()),
    "503": Reply(503, {"error": S, S: S}),
    "307": Reply(307, b"", {"Location": f"https://{S}.example/?a={S}"}),
    "200, no JSON": Reply(200, f"<p>{S}".encode(), {"Content-Type": f"text/{S}"}),
    "200, too long": Reply(200, S.encode() * 400_000),
    "200, no token": Reply(200, {"data": {"login": {"user": S, "refreshToken": S}}, "refresh_token": S, "scope": S}),
    "200, a token with a space": Reply(
        200,
        {
            "data": {"login": {"token": f"{S} {S}", "refreshToken": S}, "a": {"b": f"{S} {S}"}, "d": S},
            "access_token": f"{S} {S}",
            "refresh_token": S,
        },
    ),
    "200, a wrong type": Reply(200, {"access_token": S, "token_type": f"mac {S}", "data": {"a": S}}),
    "200, errors": Reply(
        200, {"errors": [{"message": f"Invalid password {S}"}, S], "error": "invalid_grant", "error_description": S}
    ),
    "200, wrong document": Reply(
        200, {"errors": [{"message": f'Cannot query field "{S}"', "locations": [S]}], "error": "invalid_scope"}
    ),
}


async def direct(login: Any, url: URL) -> None:
    """The login alone."""
    await log_in(login, url, OLD)


async def wrapped(login: Any, url: URL) -> None:
    """Through a login of the application, which raises from the error of ours."""

    async def own(context: LoginContext) -> Token:
        try:
            token: Token = await login(context)
        except LoginError as error:
            raise RuntimeError("my own login failed") from error
        return token

    await through_owner(own, url)


async def through_owner(login: Any, url: URL) -> None:
    """As every request gets it."""
    async with ExterviewAuth(login, api_key=KEY, endpoint=url, login_timeout=0.3) as auth:
        await auth.token()


WAYS = {"direct": direct, "own login": wrapped, "owner": through_owner}


async def failure(way: str, login: Any, url: URL) -> BaseException:
    with pytest.raises(ExterviewAuthError) as caught:
        await WAYS[way](login, url)
    return caught.value


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("reply", REPLIES)
async def test_a_login_that_fails_shows_no_secret(reply: str, login: str, way: str) -> None:
    """Neither what was sent nor what came back is in a local variable of any frame."""
    async with login_endpoint(REPLIES[reply]) as endpoint:
        made = LOGINS[login](endpoint.url)
        try:
            await WAYS[way](made, endpoint.url)
        except ExterviewAuthError as error:
            assert_shows_none(error, S)


@contextlib.asynccontextmanager
async def talking(answer: bytes) -> AsyncIterator[URL]:
    """A server that writes these bytes and ends the connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(answer)
        with contextlib.suppress(ConnectionError):
            await writer.drain()

    async with raw_server(talk) as port:
        yield URL(f"http://127.0.0.1:{port}/graphql")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        f"garbage {S}\r\n\r\n".encode(),
        f"HTTP/1.1 200 {S}\r\nContent-Length: 1000\r\nX-Echo: {S}\r\n\r\n{S}".encode(),
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{S}\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nContent-Length: {S}\r\n\r\n".encode(),
    ],
    ids=["nothing", "garbage", "cut", "chunk", "length"],
)
async def test_a_connection_that_breaks_shows_no_secret(answer: bytes, login: str, way: str) -> None:
    """Half a response may hold a token."""
    async with talking(answer) as url:
        assert_shows_none(await failure(way, LOGINS[login](url), url), S)


CUT_SHORT = (
    f'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"token": "{S}"'.encode()
)


async def own_login_that_names_the_cause(url: URL) -> None:
    """A login of the application, which raises from aiohttp's error."""

    async def own(context: LoginContext) -> Token:
        try:
            async with context.session.post(context.endpoint, json={}) as response:
                return Token((await response.json())["token"])
        except aiohttp.ClientError as error:
            raise RuntimeError("the identity provider is down") from error

    await through_owner(own, url)


async def query(url: URL) -> None:
    """A GraphQL request."""
    async with aiohttp.ClientSession() as http, ExterviewAuth(StaticLogin("t"), api_key=KEY, endpoint=url) as auth:
        await AuthSession(http, auth).graphql("{ a }")


@pytest.mark.parametrize("ask", [own_login_that_names_the_cause, query])
async def test_an_answer_that_is_cut_short_shows_none_of_its_pieces(ask: Callable[[URL], Awaitable[None]]) -> None:
    """Whoever chains aiohttp's error chains our frames, which hold what has arrived."""
    async with talking(CUT_SHORT) as url:
        with pytest.raises(aiohttp.ClientError) as caught:
            await ask(url)
        assert isinstance(caught.value, aiohttp.ClientPayloadError) or isinstance(caught.value.__cause__, RuntimeError)
    assert_shows_none(caught.value, S)


@pytest.mark.parametrize("login", LOGINS)
async def test_a_login_that_is_cancelled_in_the_middle_of_its_answer_shows_no_secret(
    login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancellation has frames too, and half an answer may hold a token."""
    reads, read = [], aiohttp.StreamReader.readany

    async def counted(stream: aiohttp.StreamReader) -> bytes:
        reads.append(stream)
        return await read(stream)

    monkeypatch.setattr(aiohttp.StreamReader, "readany", counted)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{S}".encode())
        await asyncio.Event().wait()

    async with raw_server(talk) as port:
        url = URL(f"http://127.0.0.1:{port}/graphql")
        task = asyncio.create_task(log_in(LOGINS[login](url), url, OLD))
        await until(lambda: len(reads) == 2)  # the first has returned half an answer
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    assert_shows_none(caught.value, S)


@pytest.mark.parametrize("own", [True, False], ids=["own login", "password"])
async def test_the_proxy_of_a_login_session_shows_no_secret(*, own: bool) -> None:
    """The connector's errors name proxies, with their passwords, and its frames hold them."""

    async def asks(context: LoginContext) -> Token:
        async with context.session.post(context.endpoint, json={"password": "x"}):
            raise AssertionError("it answered")

    endpoint = "https://localhost:1/graphql"
    async with aiohttp.ClientSession(proxy=f"http://ada:{S}@127.0.0.1:9/") as through:
        login = asks if own else LOGIN
        auth = ExterviewAuth(login, api_key=KEY, endpoint=endpoint, login_timeout=0.3, login_session=through)
        with pytest.raises(LoginError) as caught:
            await auth.token()
        await auth.aclose()
    error: BaseException | None = caught.value
    while error is not None:  # the frames of an own login, and what it calls, are the application's
        assert S not in f"{error!r} {error} {error.args!r}"
        error = error.__cause__ or error.__context__
    if not own:
        assert_shows_none(caught.value, S)


# -- sources ------------------------------------------------------------------------------------------------------------


async def asynchronous(text: Any) -> Any:
    return text


def raising(text: str) -> Any:
    raise ValueError("my own error")


@pytest.mark.parametrize("what", ["api_key", "token"])
@pytest.mark.parametrize("text", [f"{S} {S}", f"{S}\n{S}", S.encode(), f"{S}é"], ids=repr)
@pytest.mark.parametrize("kind", ["sync", "async", "file"])
async def test_a_source_that_returns_the_wrong_text_does_not_show_it(
    what: str, text: Any, kind: str, tmp_path: Path
) -> None:
    """A callable or a file with a key or a token that cannot be sent."""
    path = with_files(tmp_path, "secret", text if isinstance(text, bytes) else text.encode())
    if kind == "file" and isinstance(text, bytes):
        path = with_files(tmp_path, "secret", b"\xff" + text)
    source: Any = {"sync": lambda: text, "async": lambda: None, "file": Path(path)}[kind]
    if kind == "async":

        async def source() -> Any:
            return text

    if what == "token":
        login, key = StaticLogin(source), cast("Any", KEY)
    elif kind == "file":
        with pytest.raises(ExterviewAuthError) as refused:
            ExterviewAuth.from_env(
                {**{k: v for k, v in ENVIRON.items() if "KEY" not in k}, "EXTERVIEW_API_KEY_FILE": path}
            )
        assert_shows_none(refused.value, S)
        return
    else:
        login, key = StaticLogin(f"token-{S}"), source
    with pytest.raises(ExterviewAuthError) as caught:
        async with ExterviewAuth(login, api_key=key, login_timeout=1) as auth:
            await auth.token()
    assert_shows_none(caught.value, S)


def variables_of(made: Any) -> Callable[[], Awaitable[Token]]:
    return lambda: log_in(PasswordLogin("a@b.example", S, variables=lambda *_: made), URL("http://127.0.0.1:9/"), None)


MADE_WRONG: dict[str, Callable[[], Awaitable[Any]]] = {
    "variables as text": variables_of(f'{{"password": "{S}"}}'),
    "variables as pairs": variables_of([("password", S)]),
    "variables with a set": variables_of({"password": {S}}),
    "variables with bytes": variables_of({"password": S.encode()}),
    "variables with a number": variables_of({"password": Typed(S)}),
    "token in a set": lambda: ExterviewAuth(StaticLogin(lambda: {S}), api_key=KEY).token(),  # type: ignore[arg-type,return-value]
    "token of another type": lambda: ExterviewAuth(StaticLogin(lambda: Typed(S)), api_key=KEY).token(),  # type: ignore[arg-type,return-value]
    "key in a set": lambda: ExterviewAuth(LOGIN, api_key=lambda: {S}).token(),  # type: ignore[arg-type,return-value]
    "a login that returns text": lambda: ExterviewAuth(asynchronous_login, api_key=KEY).token(),
    "a login that returns text at once": lambda: ExterviewAuth(lambda _: f"token-{S}", api_key=KEY).token(),  # type: ignore[arg-type,return-value]
}


async def asynchronous_login(_context: LoginContext) -> Any:
    return f"token-{S}"


@pytest.mark.parametrize("case", MADE_WRONG)
async def test_what_a_callable_makes_of_the_wrong_kind_is_not_shown(case: str) -> None:
    """It is refused at a login, in the frames of the library."""
    with pytest.raises(ExterviewAuthError) as caught:
        await MADE_WRONG[case]()
    assert_shows_none(caught.value, S)


@pytest.mark.parametrize(
    "content", [b"", b"\n", S.encode() * 200_000, S.encode() + b"\xff"], ids=["empty", "line", "long", "bytes"]
)
def test_a_file_that_is_not_a_credential_is_not_shown(content: bytes, tmp_path: Path) -> None:
    """It may be a log or a key of something else."""
    path = with_files(tmp_path, "file", content)
    with pytest.raises(ExterviewAuthError) as caught:
        ExterviewAuth.from_env({"EXTERVIEW_API_KEY": KEY, "EXTERVIEW_BEARER_TOKEN_FILE": path})
    assert_shows_none(caught.value, S)


# -- requests -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 401, 403, 500])
async def test_an_error_of_graphql_shows_no_secret(status: int) -> None:
    """Whatever the API repeats, in its body and in its headers."""
    async with scene(login=StaticLogin(f"token-{S}"), api_key=KEY) as at:
        body = {"error": f"token-{S} {KEY}", "errors": [{"message": KEY, KEY: [KEY]}], "data": {"a": f"token-{S}"}}
        headers = {"X-Echo": f"Bearer token-{S}"}
        at.api.answers["/graphql"] = at.api.refusals["/graphql"] = answering(status, body, headers=headers)
        with pytest.raises(ExterviewAuthError) as caught:
            await at.client.graphql("{ a }")
    assert_shows_none(caught.value, S)


@pytest.mark.parametrize("verb", ["post", "graphql", "ws_connect"])
@pytest.mark.parametrize("wait", [True, False], ids=["waits", "token at hand"])
async def test_a_request_that_fails_shows_no_secret(verb: str, wait: bool) -> None:  # noqa: FBT001 - a parameter
    """Aiohttp's own errors too: refused, broken, timed out."""

    async def ask(api: AuthSession) -> None:
        if verb == "post":
            async with api.post("/rest", data=b"x"):
                pass
        elif verb == "graphql":
            await api.graphql("{ a }")
        else:
            async with api.ws_connect("/ws"):
                pass

    async with talking(b"garbage\r\n\r\n") as url:
        for endpoint in (url, url.with_port(9)):
            async with (
                aiohttp.ClientSession() as http,
                ExterviewAuth(StaticLogin(f"token-{S}"), api_key=KEY, endpoint=endpoint) as auth,
            ):
                if not wait:
                    await auth.token()
                with pytest.raises(aiohttp.ClientError) as caught:
                    await ask(AuthSession(http, auth))
                assert_shows_none(caught.value, S)


async def waits_for_itself(at: Scene) -> None:
    """A login that asks its own owner."""

    async def ask(_context: LoginContext) -> None:
        await at.auth.token()

    at.login.first = ask
    await at.auth.token()


async def is_logged_out(at: Scene) -> None:
    """A request that waits while ``logout()`` is called."""
    at.login.gate.clear()
    waiting = asyncio.create_task(at.auth.token())
    await until(lambda: at.login.count > 0)
    await at.auth.logout()
    await waiting


async def is_closed(at: Scene) -> None:
    """A use after the end."""
    await at.auth.token()
    await at.auth.aclose()
    await at.auth.headers()


async def is_refused_for_ever(at: Scene) -> None:
    """Tokens that the API never accepts, until the budget is used up."""
    at.api.keys.clear()
    for _ in range(9):
        await at.client.graphql("{ a }")


async def times_out(at: Scene) -> None:
    """A request whose time is up while it waits."""
    at.login.gate.clear()
    async with at.client.post("/graphql", json={}, timeout=aiohttp.ClientTimeout(total=0.05)):
        pass


async def asks_another_server(at: Scene) -> None:
    """An own login that follows a redirect to another origin."""
    at.api.refusals["/away"] = leads_to("http://localhost:9/else")

    async def ask(context: LoginContext) -> None:
        await context.session.post(context.endpoint.with_path("/away"), headers={"x-api-key": context.api_key})

    at.login.first = ask
    await at.auth.token()


async def returns_nonsense(at: Scene) -> None:
    """A login that returns the token's text."""
    at.login.error = TypeError("my own error")
    await at.auth.token()


@pytest.mark.parametrize(
    "ends",
    [waits_for_itself, is_logged_out, is_closed, is_refused_for_ever, times_out, asks_another_server, returns_nonsense],
)
async def test_no_other_end_of_a_request_shows_a_secret(ends: Callable[[Scene], Awaitable[None]]) -> None:
    """Waiters, hooks, limits and timeouts: their errors hold no more than their sentence."""
    async with scene(api_key=KEY, store=MemoryStore(), account="ada") as at:
        at.api.keys.add(KEY)
        at.api.prefix = f"{S}-"
        with pytest.raises((aiohttp.ClientError, TimeoutError)) as caught:
            await ends(at)
        assert_shows_none(caught.value, S)


# -- stores -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encrypted", [True, False])
async def test_a_file_store_that_fails_shows_no_token(encrypted: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter
    """The entry that could not be written holds it."""
    store = FileStore(tmp_path / "tokens", encryption_key=Fernet.generate_key() if encrypted else None)
    token = Token(f"token-{S}", refresh_token=f"refresh-{S}")
    await store.save("ada", token)
    shutil.rmtree(tmp_path / "tokens")
    (tmp_path / "tokens").write_text("not a directory")
    for call in (store.save("ada", token), store.load("ada")):
        with pytest.raises(ExterviewAuthError) as caught:
            await call
        assert_shows_none(caught.value, S)
    await store.aclose()


async def test_a_redis_store_that_fails_shows_no_token_and_no_password() -> None:
    """Neither the entry nor the URL."""
    store = RedisStore(f"redis://ada:{S}@127.0.0.1:9/0")
    token = Token(f"token-{S}", refresh_token=f"refresh-{S}")
    assert S not in repr(store)
    for call in (store.save("ada", token), store.load("ada"), store.delete("ada")):
        with pytest.raises(ExterviewAuthError) as caught:
            await call
        assert_shows_none(caught.value, S)
    await store.aclose()
