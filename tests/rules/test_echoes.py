"""An API that repeats what it was sent: no error of `AuthSession.graphql` shows a credential, in any form."""

from __future__ import annotations

import html
import json
import pickle
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import aiohttp
import pytest
from aiohttp import web

from exterview_auth import (
    ApiError,
    AuthSession,
    ExterviewAuth,
    GraphQLError,
    LoginError,
    OAuth2Login,
    PasswordLogin,
    StaticLogin,
    Token,
)
from tests.kit.api import Api, Scene, answering, leads_to, scene

TOKEN = "tok-3n+/s3cr3t=&<p4rt>-" + "0123456789abcdef" * 14
"""Longer than what an error quotes, and with letters that every encoding writes in its own way."""
KEY = "k3y-s3cr3t&<of>+the/organization"
COOKIE = "s3ss10n-s3cr3t"
SIGNATURE = "s1g-s3cr3t-in-the-url"

ECHOES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "capitals": str.upper,
    "JSON": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON for pages": lambda text: json.dumps(text)[1:-1].replace("<", "\\u003c").replace("&", "\\u0026"),
    "JSON twice": lambda text: json.dumps(json.dumps(text)),
    "URL": quote,
    "form": quote_plus,
    "HTML": html.escape,
    "Python": lambda text: repr({"Authorization": text}),
    "in the middle": lambda text: "x" * 190 + text,
    "cut": lambda text: f"{text[:30]}...",
}

BODIES: dict[str, Callable[[str], Any]] = {
    "error": lambda words: {"error": words},
    "nested error": lambda words: {"error": {"message": [words]}},
    "errors": lambda words: {
        "errors": [{"message": words, "extensions": {"headers": [words]}}],
        "data": {"a": [words]},
    },
    "text errors": lambda words: {"errors": [words, {words: words}]},
    "one error": lambda words: {"errors": words, "data": None},
}


def shown_by(error: ApiError) -> str:
    """Everything that a log may show of *error*."""
    parts: list[object] = [
        str(error),
        repr(error),
        error.args,
        error.message,
        vars(error),
        *getattr(error, "__notes__", ()),
    ]
    twin = pickle.loads(pickle.dumps(error))
    assert (type(twin), twin.args, vars(twin)) == (type(error), error.args, vars(error))
    return " ".join([*map(repr, parts), json.dumps([vars(error)], ensure_ascii=False)])


def assert_shows_nothing(error: ApiError) -> None:
    shown = shown_by(error).casefold()
    assert "s3cr3t" not in shown
    assert "0123456789abcdef" not in shown
    assert str(error).endswith(error.message)
    assert error.message.isprintable()
    assert len(error.message) <= 200


async def refused(at: Scene, status: int, payload: Any, content_type: str = "application/json") -> ApiError:
    """The error of a query that the API answers so."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    at.api.answers["/graphql"] = at.api.refusals["/graphql"] = answering(
        status, body, headers={"Content-Type": content_type}
    )
    with pytest.raises(ApiError) as caught:
        await at.client.graphql("{ a }")
    assert caught.value.__cause__ is caught.value.__context__ is None
    return caught.value


def echoing(**options: Any) -> Any:
    """A scene whose token and key are those above."""
    return scene(**{"login": StaticLogin(TOKEN), "api_key": KEY, **options})


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 422, 500])
async def test_an_answer_that_repeats_the_credentials(status: int, body: str, echo: str) -> None:
    """Whatever status, shape and encoding, in the message, ``errors``, ``data``, repr and pickles."""
    if (status, body) in {(200, "error"), (200, "nested error")}:
        return  # not an error of GraphQL, and its words are not quoted
    async with echoing() as at:
        words = " and ".join(ECHOES[echo](secret) for secret in (f"Bearer {TOKEN}", KEY))
        error = await refused(at, status, BODIES[body](words))
    assert_shows_nothing(error)


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/html", "application/problem+json", "text/k3y-s3cr3t"]
)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 500])
async def test_content_types_and_bodies_that_are_not_json(status: int, content_type: str) -> None:
    """JSON under any content type, a page with the credentials in it, a content type that is one."""
    async with echoing(api_key="k3y-s3cr3t") as at:
        payload = {"errors": [{"message": f"{TOKEN} k3y-s3cr3t"}]}
        assert_shows_nothing(await refused(at, status, payload, content_type))
        assert_shows_nothing(await refused(at, status, f"<p>{TOKEN} k3y-s3cr3t".encode(), content_type))


async def test_other_credentials_of_the_request_are_masked_too() -> None:
    """Cookies, headers of the call, and a signature in the endpoint's URL are repeated like the token."""
    jar = aiohttp.CookieJar(unsafe=True)
    jar.update_cookies({"session": COOKIE, "v": "12"})
    headers = {"Proxy-Authorization": "Basic Pr0xy-s3cr3t"}
    async with (
        Api() as api,
        aiohttp.ClientSession(cookie_jar=jar, headers=headers) as http,
        ExterviewAuth(StaticLogin(TOKEN), api_key=KEY, endpoint=f"{api.endpoint}?sig={SIGNATURE}&v=12") as auth,
    ):
        words = f"version 12 of POST /graphql?sig={SIGNATURE}&v=12 with {COOKIE} and Pr0xy-s3cr3t"
        api.refusals["/graphql"] = answering(400, {"error": words})
        with pytest.raises(ApiError) as caught:
            await AuthSession(http, auth).graphql("{ a }")
        assert "s3cr3t" not in repr(auth)
    assert_shows_nothing(caught.value)
    assert caught.value.message == "version 12 of POST /graphql?*** with *** and ***"


@pytest.mark.parametrize(
    ("login", "secret"),
    [
        (PasswordLogin("ada@example.com", "p4ss-s3cr3t"), "p4ss-s3cr3t"),
        (PasswordLogin("ada@example.com", "p", variables={"otp": ["0tp-s3cr3t"]}), "0tp-s3cr3t"),
        (OAuth2Login("https://localhost/t", "svc", "cl1ent-s3cr3t"), "cl1ent-s3cr3t"),
        (OAuth2Login("https://localhost/t", "svc", headers={"x-a": "h34der-s3cr3t"}), "h34der-s3cr3t"),
        (OAuth2Login("https://localhost/t", "svc", assertion="4ssert-s3cr3t"), "4ssert-s3cr3t"),
        (
            OAuth2Login("https://localhost/t", "svc", grant_type="refresh_token", refresh_token="r3fresh-s3cr3t"),
            "r3fresh-s3cr3t",
        ),
    ],
    ids=["password", "variables", "client secret", "header", "form field", "refresh token"],
)
async def test_what_the_login_knows_is_masked_too(login: Any, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API may be the login endpoint too, with a log of what it got."""

    async def issue(self: object, context: object) -> Token:
        return Token("some-token", refresh_token="n3wer-s3cr3t")

    monkeypatch.setattr(type(login), "__call__", issue)
    async with scene(login=login) as at:
        at.api.tokens.add("some-token")
        error = await refused(at, 400, {"error": f"got {secret} and n3wer-s3cr3t"})
    assert error.message == "got *** and ***"


@pytest.mark.parametrize("source", [TOKEN, lambda: TOKEN], ids=["fixed", "callable"])
async def test_a_token_of_the_application_is_masked_though_it_was_not_sent(source: Any) -> None:
    """The server may know it from an earlier request."""
    async with scene(login=StaticLogin(source), api_key=KEY) as at:
        await at.auth.token()
        assert (await refused(at, 400, {"error": f"got {TOKEN}"})).message == "got ***"


async def test_what_a_redirected_request_carried_is_masked_in_the_last_answer() -> None:
    """The one that answers may have been told by the one that redirected."""
    async with (
        Api() as api,
        aiohttp.ClientSession() as http,
        ExterviewAuth(StaticLogin(TOKEN), api_key=KEY, endpoint=f"{api.endpoint}?sig={SIGNATURE}") as auth,
    ):
        api.answers["/graphql"] = api.refusals["/graphql"] = leads_to("/v2")
        api.answers["/v2"] = api.refusals["/v2"] = answering(400, {"error": f"from /graphql?sig={SIGNATURE}"})
        with pytest.raises(ApiError) as caught:
            await AuthSession(http, auth).graphql("{ a }")
    assert_shows_nothing(caught.value)
    assert caught.value.message == "from /graphql?***"


GATEWAY = "g4teway-p4ss-s3cr3t"


async def repeat(request: web.Request, _body: bytes = b"") -> web.Response:
    """Repeat what only a session adds, and what its header of Basic authentication stands for."""
    names = ("Proxy-Authorization", "X-Gateway-Token", "Cookie", "Authorization", "User-Agent")
    sent = " ".join(f"{name} {request.headers.get(name)}" for name in names)
    return web.json_response({"error": f"{GATEWAY} {sent}"[-900:]}, status=403)


async def test_what_a_session_adds_to_a_request_is_masked() -> None:
    """Only the application knows what a header of its own holds, so any that is not a public one."""
    headers = {"X-Gateway-Token": f"gw {GATEWAY}", "User-Agent": "an-agent/1.0"}
    async with scene(session={"headers": headers}) as at:
        at.api.answers["/graphql"] = at.api.refusals["/graphql"] = repeat
        with pytest.raises(ApiError) as caught:
            await at.client.graphql("{ a }")
    assert_shows_nothing(caught.value)
    assert "an-agent/1.0" in caught.value.message


@pytest.mark.parametrize("login", [PasswordLogin("ada@example.com", "p4ss"), OAuth2Login])
async def test_what_a_session_for_logins_adds_is_masked_in_a_logins_error(login: Any) -> None:
    """Cookies of ``login_session=``, what its middlewares add, and the password itself."""
    jar = aiohttp.CookieJar(unsafe=True)
    jar.update_cookies({"sid": f"sid-{GATEWAY}"})
    basic = aiohttp.encode_basic_auth("gw", GATEWAY)

    async def pass_gateway(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers.update({"X-Gateway-Token": GATEWAY, "Authorization": basic})
        return await handler(request)

    async with Api() as api, aiohttp.ClientSession(cookie_jar=jar, middlewares=(pass_gateway,)) as logins:
        api.answers["/graphql"] = api.refusals["/graphql"] = repeat
        login = (
            login if isinstance(login, PasswordLogin) else login(api.endpoint, "svc", token_endpoint_auth_method="none")
        )
        async with ExterviewAuth(login, api_key=KEY, endpoint=api.endpoint, login_session=logins) as owner:
            with pytest.raises(LoginError) as caught:
                await owner.token()
    for shown in (str(caught.value), repr(caught.value), repr(vars(caught.value))):
        assert "s3cr3t" not in shown
        assert basic.partition(" ")[2] not in shown


async def test_a_refused_token_is_masked_in_the_answer_to_its_replay() -> None:
    """The last attempt's credentials are the ones that an answer repeats."""
    async with scene() as at:

        async def answer(request: web.Request, _body: bytes) -> web.Response:
            return web.json_response({"error": f"no: {request.headers['Authorization']}"}, status=401)

        at.api.answers["/graphql"] = at.api.refusals["/graphql"] = answer
        with pytest.raises(ApiError) as caught:
            await at.client.graphql("{ a }")
        assert at.login.count == 2
    assert caught.value.message == "no: ***"


async def test_an_answer_without_credentials_is_what_the_server_wrote() -> None:
    """``errors`` and ``data`` are data for programs: nothing else is changed in them."""
    payload = {"errors": [{"message": "no\nway \u202e", "path": ["a", 0]}], "data": {"a": "x" * 20_000, "b": None}}
    async with echoing() as at:
        error = await refused(at, 200, payload)
    assert isinstance(error, GraphQLError)
    assert (error.errors, error.data) == (payload["errors"], payload["data"])
    assert error.message == "no way"
