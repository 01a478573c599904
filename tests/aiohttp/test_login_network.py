"""How a login goes to the network, and that nothing but itself proves who asks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from exterview_auth import AuthSession, ExterviewAuth, LoginContext, OAuth2Login, PasswordLogin, Token
from exterview_auth._aiohttp.login_call import LoginCall
from exterview_auth._core.account import Account
from exterview_auth._core.api_key import ApiKey
from exterview_auth._core.limits import LoginLimits
from exterview_auth._core.login import LoginCourse, LoginRunner
from exterview_auth._events import Reason
from tests.kit.api import KEY, PLAIN, Api, post

ISSUED = {"access_token": "token-1", "token_type": "bearer", "data": {"login": {"token": "token-1"}}}


async def issue(_request: web.Request, _body: bytes) -> web.Response:
    """Answer as a token endpoint and as a login mutation."""
    return web.json_response(ISSUED)


def credentials_at(api: Api) -> list[str | None]:
    """Return what each request to the login endpoint brought along as its own proof."""
    return [arrival.headers.get("Authorization") for arrival in api.arrivals if arrival.path == "/login"]


class Proxy(Api):
    """A proxy for plain HTTP that answers for every host."""

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request.raw_path)
        return await issue(request, b"")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []


def own_login(url: str) -> Any:
    """An application's own login, which asks the login endpoint with the session that it is given."""

    async def log_in(context: LoginContext) -> Token:
        async with context.session.post(url, json={}) as response:
            return Token((await response.json())["access_token"])

    return log_in


LOGINS: dict[str, Any] = {
    "basic": lambda url: OAuth2Login(url, "id", "secret"),
    "post": lambda url: OAuth2Login(url, "id", "secret", token_endpoint_auth_method="client_secret_post"),
    "own": own_login,
}
PROOFS = {"basic": "Basic aWQ6c2VjcmV0", "post": None, "own": None}


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's netrc file, which names this host."""
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(path))


@pytest.mark.usefixtures("netrc")
@pytest.mark.parametrize("kind", LOGINS)
@pytest.mark.parametrize("given", [True, False], ids=["login_session", "taken over"])
@PLAIN
async def test_a_login_brings_its_own_proof_alone(kind: str, *, given: bool, plain: bool) -> None:
    """Neither a netrc file, nor a session's default headers, whichever session it is."""
    headers = {"X-Own": "1"}
    async with (
        Api() as api,
        aiohttp.ClientSession(trust_env=True, headers={"Authorization": "Basic b3RoZXI=", **headers}) as own,
    ):
        api.tokens = {"token-1"}
        api.answers["/login"] = api.refusals["/login"] = issue
        login = LOGINS[kind](f"{api.base}/login")
        auth = ExterviewAuth(login, api_key=KEY, endpoint=api.endpoint, login_session=own if given else None)
        middlewares = (auth,) if plain else ()
        async with auth, aiohttp.ClientSession(middlewares=middlewares, trust_env=True, headers=headers) as http:
            assert (await post(http if plain else AuthSession(http, auth), api.endpoint))[0] == 200
        assert credentials_at(api) == [PROOFS[kind]]
        assert all("X-Own" not in arrival.headers for arrival in api.arrivals if arrival.path == "/login")
        assert not own.closed


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
async def test_a_sessions_auth_does_not_go_to_the_login_endpoint() -> None:
    """Aiohttp would refuse it beside the client's own, or send it in its place."""
    async with Api() as api, aiohttp.ClientSession(auth=aiohttp.BasicAuth("somebody", "else")) as own:
        api.answers["/login"] = api.refusals["/login"] = issue
        for kind, login in LOGINS.items():
            api.arrivals.clear()
            auth = ExterviewAuth(login(f"{api.base}/login"), api_key=KEY, endpoint=api.endpoint, login_session=own)
            async with auth:
                await auth.token()
            assert credentials_at(api) == [PROOFS[kind]]


@pytest.mark.parametrize("way", ["session", "environment"])
@PLAIN
async def test_a_login_goes_through_the_proxy_of_the_first_requests_session(
    way: str, monkeypatch: pytest.MonkeyPatch, *, plain: bool
) -> None:
    """``trust_env`` and the default proxy are taken over; a proxy on this machine may see plain HTTP."""
    async with Proxy() as proxy:
        session: dict[str, Any] = {"proxy": proxy.base} if way == "session" else {"trust_env": True}
        if way == "environment":
            monkeypatch.setenv("http_proxy", proxy.base)
            for name in ("no_proxy", "NO_PROXY"):
                monkeypatch.delenv(name, raising=False)
        auth = ExterviewAuth(
            PasswordLogin("a@b.example", "pass-word"), api_key=KEY, endpoint="http://127.0.0.1:9/graphql"
        )
        async with auth, aiohttp.ClientSession(middlewares=(auth,) if plain else (), **session) as http:
            assert (await post(http if plain else AuthSession(http, auth), "http://127.0.0.1:9/graphql"))[0] == 200
        assert proxy.seen == ["http://127.0.0.1:9/graphql"] * 2


@pytest.mark.parametrize(
    ("session", "through"),
    [
        ({"proxy": "http://ada:s3cr3t@proxy.example:3128"}, " through the proxy http://proxy.example:3128"),
        ({"trust_env": True}, " through the proxy http://proxy.example:8080 from HTTPS_PROXY"),
        ({}, ""),
    ],
    ids=["session", "environment", "directly"],
)
async def test_a_login_that_takes_too_long_says_where_it_went(
    session: dict[str, Any], through: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host, and the proxy without its password, which may be what is silent."""
    for name in ("no_proxy", "NO_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://ada:s3cr3t@proxy.example:8080")
    account = Account()
    for login, host in (
        (PasswordLogin("a@b.example", "pass-word"), "https://api.example"),
        (OAuth2Login("https://sso.example/token", "id", "s3cr3t"), "https://sso.example"),
    ):
        call = LoginCall(
            login, api_key=ApiKey(KEY), endpoint=URL("https://api.example/graphql"), session=None, timeout=1.0
        )
        async with aiohttp.ClientSession(**session) as http:
            call.follow(http)
        runner = LoginRunner(call, account, LoginLimits(account), LoginCourse(Reason.FIRST, 0.0))
        said = str(runner.timed_out(7.0, waited_for_lock=False))
        assert said == f"the login at {host}{through} did not finish within 7 s; check that its endpoint responds"


async def test_a_login_without_a_request_goes_directly() -> None:
    """Before the first request nobody knows of a proxy."""
    async with Api() as api:
        api.answers["/login"] = api.refusals["/login"] = issue
        async with ExterviewAuth(own_login(f"{api.base}/login"), api_key=KEY, endpoint=api.endpoint) as auth:
            assert (await auth.token()).value == "token-1"
        assert [URL(arrival.path).path for arrival in api.arrivals] == ["/login"]


DEVELOPED = """
import asyncio

import aiohttp

from exterview_auth import ExterviewAuth, PasswordLogin
from exterview_auth.emulator import Emulator


async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # a busy machine is no warning of ours
    async with Emulator() as emulator, aiohttp.ClientSession() as login_session:
        for options in ({}, {"login_session": login_session}):
            login = PasswordLogin(emulator.email, emulator.password)
            options = {"api_key": emulator.api_key, "endpoint": emulator.endpoint, **options}
            async with ExterviewAuth(login, **options) as auth:
                await auth.token()


asyncio.run(main())
"""


def test_a_login_warns_of_nothing_in_pythons_development_mode() -> None:
    """There, aiohttp warns of each attribute of a session that is not its own."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", DEVELOPED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
