"""A login endpoint that gives prepared replies, a login at it, and a search of its error for secrets."""

from __future__ import annotations

import json
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import pytest
from aiohttp import ClientSession, ClientTimeout, web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDictProxy
from yarl import URL

from exterview_auth import LoginContext, LoginError, Token
from exterview_auth.logins._context import Login
from tests.kit.showing import assert_shows_none

EMAIL = "ada@example.com"
PASSWORD = "correct horse & <battery>"
SECRET = "s3cret: & more"
KEY = "key-0123456789"
OLD_REFRESH = "old-refresh-0123"
OLD = Token("old-token-0123", refresh_token=OLD_REFRESH)
SECRETS = (PASSWORD, SECRET, KEY, "old-token-0123", OLD_REFRESH)

DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
NOW = 1767225600  # the same instant


class Reply(NamedTuple):
    """A status and the JSON, or bytes, that come with it."""

    status: int
    payload: object = None
    headers: dict[str, str] = {}


class LoginEndpoint:
    """Gives its replies in turn, the last one for ever, and remembers the requests."""

    def __init__(self, replies: tuple[Reply, ...]) -> None:
        self.replies = list(replies)
        self.url = URL()
        self.headers: list[CIMultiDictProxy[str]] = []
        self.bodies: list[bytes] = []

    @property
    def documents(self) -> list[Any]:
        """The bodies of all requests as JSON."""
        return [json.loads(body) for body in self.bodies]

    @property
    def forms(self) -> list[dict[str, str]]:
        """The bodies of all requests as forms; RFC 6749, section 3.2: no parameter twice."""
        assert all(len(values) == 1 for form in self.fields for values in form.values())
        return [{name: values[0] for name, values in form.items()} for form in self.fields]

    @property
    def fields(self) -> list[dict[str, list[str]]]:
        """All values of each field of all requests."""
        return [parse_qs(body.decode(), keep_blank_values=True, strict_parsing=True) for body in self.bodies]

    async def handle(self, request: web.Request) -> web.Response:
        self.headers.append(request.headers)
        self.bodies.append(await request.read())
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        headers = {"Date": DATE, **reply.headers}
        if isinstance(reply.payload, bytes):
            return web.Response(status=reply.status, body=reply.payload, headers=headers)
        return web.json_response(reply.payload, status=reply.status, headers=headers)


@asynccontextmanager
async def login_endpoint(*replies: Reply) -> AsyncIterator[LoginEndpoint]:
    endpoint = LoginEndpoint(replies)
    app = web.Application()
    app.router.add_post("/{path:.*}", endpoint.handle)
    async with TestServer(app) as server:
        endpoint.url = server.make_url("/graphql")
        yield endpoint


async def log_in(login: Login, url: URL, previous: Token | None = None, *, seconds: float = 5.0) -> Token:
    """One login at *url* with a session as the owner gives it."""
    async with ClientSession(timeout=ClientTimeout(total=seconds)) as session:
        return await login(LoginContext(session=lambda: session, endpoint=url, api_key=KEY, previous=previous))


def raised(outcome: Token | LoginError) -> Token:
    """The token that a response was read as; its error is raised, as the login does."""
    if isinstance(outcome, LoginError):
        raise outcome
    return outcome


async def refusal(login: Login, url: URL, previous: Token | None = OLD, *, seconds: float = 5.0) -> LoginError:
    """The error of one login, which shows no secret."""
    with pytest.raises(LoginError) as caught:
        await log_in(login, url, previous, seconds=seconds)
    assert_no_secret(caught.value)
    assert_shows_none(caught.value, *SECRETS)
    return caught.value


def assert_no_secret(error: BaseException | None) -> None:
    """No message, argument, cause or context of *error* holds a secret, and each message is one line."""
    while error is not None:
        shown = "".join([str(error), repr(error), repr(error.args), *traceback.format_exception_only(error)])
        assert not [secret for secret in SECRETS if secret in shown or repr(secret)[1:-1] in shown]
        assert "\n" not in str(error)
        error = error.__cause__ or error.__context__
