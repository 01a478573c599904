"""
The public API as an editor's user writes it. Only mypy and pyright read this file, both as strictly as they can.

Each ``# type: ignore[code]`` marks a call that must not type-check: where it does, both report the comment as unused.
"""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, assert_type

import aiohttp
import httpx
from multidict import CIMultiDict
from yarl import URL

import exterview_auth
from exterview_auth import (
    PRODUCTION,
    SANDBOX,
    ApiError,
    AuthPool,
    AuthSession,
    Credentials,
    CredentialsRejectedError,
    ExterviewAuth,
    ExterviewAuthError,
    GraphQLError,
    LoginContext,
    LoginRecord,
    LoginUnavailableError,
    MemoryStore,
    OAuth2Login,
    PasswordLogin,
    Reason,
    StaticLogin,
    Stats,
    Token,
    TokenStore,
    graphql_unauthenticated,
)
from exterview_auth.emulator import Emulator
from exterview_auth.httpx import HttpxAuth
from exterview_auth.telemetry import observe
from exterview_auth.testing import Clock, ThreadedEmulator, expect

# -- tokens and logins ---------------------------------------------------------------------------------------------------

token = Token("abc", expires_in=3600, refresh_token=None)
value: str = token.value
end: datetime | None = token.expires_at
refresh: str | None = token.refresh_token
life: float | None = token.expires_in
fingerprint: str = token.fingerprint

Token()  # type: ignore[call-arg]
Token(b"abc")  # type: ignore[arg-type]
Token("abc", 3600)  # type: ignore[call-arg]
token.value = "other"  # type: ignore[misc]


async def log_in(context: LoginContext) -> Token:
    """A login as a function."""
    url: URL = context.endpoint
    key: str = context.api_key
    previous: Token | None = context.previous
    async with context.session.post(url, json={"key": key, "old": previous and previous.refresh_token}) as response:
        answer = await response.json()
    return Token(answer["token"], expires_in=answer.get("expires_in"))


async def log_in_badly(context: LoginContext) -> str:
    """A login that returns the token's text."""
    return "abc"


class LoginObject:
    """A login as an object with an identity."""

    identity = "user@example.com"

    async def __call__(self, context: LoginContext) -> Token:
        return await log_in(context)


def token_now() -> str:
    """A source of tokens."""
    return "abc"


async def token_later() -> Token:
    """An async source of tokens."""
    return Token("abc")


ExterviewAuth(log_in, api_key="key")
ExterviewAuth(LoginObject(), api_key="key")
ExterviewAuth(lambda context: log_in(context), api_key="key")  # noqa: PLW0108 - the form that users write
ExterviewAuth(StaticLogin("abc"), api_key="key")
ExterviewAuth(StaticLogin(token_now), api_key="key")
ExterviewAuth(StaticLogin(token_later), api_key="key")
ExterviewAuth(StaticLogin(lambda: "abc"), api_key="key")
ExterviewAuth(StaticLogin(Path("/run/secrets/token")), api_key="key")
ExterviewAuth(PasswordLogin("user@example.com", "password", token_field="jwt"), api_key="key")
ExterviewAuth(
    OAuth2Login("https://h.example/token", "client", "secret", grant_type="password", username="u", password="p"),
    api_key="key",
)

ExterviewAuth(log_in)  # type: ignore[call-arg]
ExterviewAuth(log_in_badly, api_key="key")  # type: ignore[arg-type]
ExterviewAuth(lambda context: Token("abc"), api_key="key")  # type: ignore[arg-type,return-value]
ExterviewAuth(log_in, "key")  # type: ignore[call-arg]
ExterviewAuth(log_in, api_key=5)  # type: ignore[arg-type]
PasswordLogin("user@example.com")  # type: ignore[call-arg]


async def _read() -> str:
    return "secret"


PasswordLogin("user@example.com", lambda: "password", token_header="x-token")
PasswordLogin("user@example.com", _read)
PasswordLogin("user@example.com", lambda: 7)  # type: ignore[arg-type,return-value]
OAuth2Login(
    "https://h.example/token", "client", _read, resource=["https://a.example"], otp=lambda: "1", form={"audience": "a"}
)
OAuth2Login("https://h.example/token", "client", private_key=lambda: b"pem", audience=["a"], algorithm="PS256")
StaticLogin(5)  # type: ignore[arg-type]

# -- the owner's options -------------------------------------------------------------------------------------------------


def on_token(new: Token, old: Token | None, reason: Reason) -> None:
    """A sync ``on_token``."""


async def on_token_later(new: Token, old: Token | None, reason: str) -> None:
    """An async ``on_token`` that takes the reason as text."""


def on_token_badly(new: Token) -> None:
    """Takes too few arguments."""


def on_login(record: LoginRecord) -> None:
    """A sync ``on_login``."""
    assert_type(record.outcome, Literal["issued", "adopted", "failed"])
    assert_type(record.error, str | None)
    assert_type(record.seconds, float)
    assert_type(record.started_at, datetime)
    assert_type(record.reason, Reason)
    record.waiting = 1  # type: ignore[misc]


async def on_login_later(record: LoginRecord) -> None:
    """An async ``on_login``."""


def on_login_badly(record: LoginRecord, reason: Reason) -> None:
    """Takes too many arguments."""


async def key_later() -> str:
    """An async source of the API key."""
    return "key"


class DictStore:
    """An application's own store, which fits by structure."""

    def __init__(self) -> None:
        self.tokens: dict[str, Token] = {}

    async def load(self, account: str) -> Token | None:
        return self.tokens.get(account)

    async def save(self, account: str, token: Token) -> None:
        self.tokens[account] = token

    async def delete(self, account: str) -> None:
        self.tokens.pop(account, None)

    @asynccontextmanager
    async def lock(self, account: str) -> AsyncGenerator[None]:
        yield


class LocklessStore:
    """Not a store: it has no lock."""

    async def load(self, account: str) -> Token | None: ...
    async def save(self, account: str, token: Token) -> None: ...
    async def delete(self, account: str) -> None: ...


own: TokenStore = DictStore()
memory: TokenStore = MemoryStore(16)
held: AbstractAsyncContextManager[object] = memory.lock("a")
lockless: TokenStore = LocklessStore()  # type: ignore[assignment]

auth = ExterviewAuth(
    log_in,
    api_key=key_later,
    endpoint=URL(SANDBOX),
    store=DictStore(),
    account="team",
    origins=["https://files.example/", URL(PRODUCTION)],
    login_timeout=10,
    refresh_ahead=60.0,
    max_logins=(3, 30.0),
    is_unauthorized=graphql_unauthenticated,
    on_token=on_token,
)
ExterviewAuth(
    log_in, api_key=lambda: "key", is_unauthorized=lambda response: response.status == 418, on_token=on_token_later
)
ExterviewAuth(log_in, api_key="key", on_token=on_token_badly)  # type: ignore[arg-type]
ExterviewAuth(log_in, api_key="key", on_login=on_login)
ExterviewAuth(log_in, api_key="key", on_login=on_login_later)
ExterviewAuth(log_in, api_key="key", on_login=on_login_badly)  # type: ignore[arg-type]
observe(ExterviewAuth(log_in, api_key="key"), name="acme").stop()
observe(AuthPool(lambda account: ExterviewAuth(log_in, api_key="key", account=account)))
observe("acme")  # type: ignore[arg-type]
ExterviewAuth(log_in, api_key="key", max_logins=5)  # type: ignore[arg-type]
ExterviewAuth(log_in, api_key="key", store={})  # type: ignore[arg-type]
ExterviewAuth(log_in, api_key="key", clock=Clock())
ExterviewAuth(log_in, api_key="key", clock=5.0)  # type: ignore[arg-type]
ExterviewAuth(log_in, api_key="key", timeout=5)  # type: ignore[call-arg]
ExterviewAuth.from_env({"EXTERVIEW_API_KEY": "key"}, login=log_in)
assert_type(ExterviewAuth.from_env(login_timeout=10, on_login=on_login_later, account="acme"), ExterviewAuth)
ExterviewAuth.from_env(acount="acme")  # type: ignore[call-arg]
ExterviewAuth.from_env(login_timeout="10")  # type: ignore[arg-type]
ExterviewAuth.from_env(on_token=on_token_badly)  # type: ignore[arg-type]


class RegionalAuth(ExterviewAuth):
    """A subclass, which ``from_env`` returns."""


assert_type(RegionalAuth.from_env(), RegionalAuth)

# -- requests ------------------------------------------------------------------------------------------------------------


async def requests() -> None:
    """Use the middleware, the wrapper and each verb with aiohttp's own options."""
    async with auth, aiohttp.ClientSession(middlewares=(auth,)) as http:
        api = AuthSession(http, auth)
        async with api.get(
            "/x", params={"a": 1}, timeout=aiohttp.ClientTimeout(total=5), allow_redirects=False
        ) as answer:
            status: int = answer.status
        response: aiohttp.ClientResponse = await api.post(
            PRODUCTION, json={"query": "{ a }"}, headers={"X-Trace": str(status)}
        )
        await api.request("PURGE", URL("/x"), data=b"x", ssl=False, raise_for_status=True)
        await api.put("/x", data=lambda: io.BytesIO(b"x"))
        await api.patch("/x", data={"a": "b"})
        await api.delete("/x", cookies={"a": "b"})
        await api.head("/x")
        await api.options("/x")
        async with api.ws_connect("/x", heartbeat=5.0, protocols=("graphql-transport-ws",)) as socket:
            await socket.send_str("ping")
            message = await socket.receive()
            assert_type(await socket.receive_str(), str)
        async with api.ws_connect("/x", decode_text=False) as raw:
            assert_type(await raw.receive_str(), bytes)
        await api.get("/x", timout=5)  # type: ignore[call-arg]
        await api.post("/x", json={}, allow_redirects="no")  # type: ignore[arg-type]
        await api.get()  # type: ignore[call-arg]
        await api.ws_connect("/x", heartbeat="5")  # type: ignore[call-overload]
        AuthSession(auth, http)  # type: ignore[arg-type]
        print(response, message)


async def graphql(api: AuthSession, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Send GraphQL with variables and files; handle typed errors."""
    await api.graphql("{ __typename }")
    await api.graphql("query Q { a }", {"id": 1}, operation_name="Q")
    await api.graphql("{ a }", headers={"X-Request-Id": "7"}, timeout=5)
    await api.graphql("{ a }", headers=CIMultiDict(a="b"), timeout=aiohttp.ClientTimeout(sock_read=5.0))
    await api.graphql("{ a }", headers=None, timeout=None)
    try:
        return await api.graphql("mutation { a }", variables, files={"variables.file": io.BytesIO(b"x")})
    except GraphQLError as error:
        errors: list[dict[str, Any]] = error.errors
        return {"errors": errors, **(error.data or {})}
    except ApiError as error:
        return {"status": error.status + 0, "message": error.message.upper()}


async def wrong_graphql(api: AuthSession) -> None:
    """Calls that must not type-check."""
    await api.graphql()  # type: ignore[call-arg]
    await api.graphql("{ a }", [1])  # type: ignore[arg-type]
    await api.graphql("{ a }", None, "Q")  # type: ignore[call-arg]
    await api.graphql("{ a }", headers=["X-Request-Id"])  # type: ignore[arg-type]
    await api.graphql("{ a }", timeout="5")  # type: ignore[arg-type]
    answer: str = await api.graphql("{ a }")  # type: ignore[assignment]
    print(answer)


async def owner(owner: ExterviewAuth) -> None:
    """Use everything that an owner has."""
    usable: Token = await owner.token()
    headers: dict[str, str] = await owner.headers()
    both: Credentials = await owner.credentials()
    held: Token | None = owner.current
    owner.invalidate(both.token if held is None else usable)
    both.headers = headers  # type: ignore[misc]
    owner.current = usable  # type: ignore[misc]
    owner.invalidate("abc")  # type: ignore[arg-type]
    stats: Stats = owner.stats()
    peak: int = stats.waiting_peak + stats.logins
    stats.logins = 0  # type: ignore[misc]
    await owner.logout()
    await owner.aclose()
    print(headers, peak)


async def with_httpx(owner: ExterviewAuth) -> None:
    """Use an owner with a client of httpx."""
    async with httpx.AsyncClient(auth=HttpxAuth(owner)) as client:
        await client.get(PRODUCTION, auth=HttpxAuth(owner))
    HttpxAuth("abc")  # type: ignore[arg-type]


async def tests(exterview: ThreadedEmulator, emulator: Emulator, clock: Clock) -> None:
    """Write the tests of an application."""
    clock.advance(60)
    with expect(exterview, logins=1, requests=2, refused=0), expect(emulator, logins=0):
        exterview.refuse(1, status=401)
        exterview.token_lifetime = 60
    async with expect(exterview, logins=1, timeout=2.5):
        clock.advance(3500)
    seen: int = exterview.logins + exterview.requests + exterview.refused
    key: str = exterview.rotate_api_key()
    expect(exterview, login=1)  # type: ignore[call-arg]
    exterview.revoke(1)  # type: ignore[call-arg]
    Clock(1)  # type: ignore[call-arg]
    print(seen, key)


async def pool(names: Iterator[str]) -> None:
    """Take owners from a pool by name."""
    async with AuthPool(lambda account: ExterviewAuth(log_in, api_key="key", account=account), maxsize=8) as owners:
        one: ExterviewAuth = owners[next(names)]
        print(one, len(owners), "a" in owners)
        owners[5]  # type: ignore[index]
    AuthPool(lambda account: account)  # type: ignore[arg-type,return-value]


def errors(error: ExterviewAuthError) -> str | float | None:
    """Read typed attributes of errors, each of which is aiohttp's too."""
    as_before: aiohttp.ClientError = error
    if isinstance(error, CredentialsRejectedError):
        return error.reason
    if isinstance(error, LoginUnavailableError):
        return error.retry_after
    return str(as_before)


exterview_auth.AuthPol  # type: ignore[attr-defined]  # noqa: B018 - the access must not type-check
