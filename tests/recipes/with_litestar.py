"""
Litestar: one owner and one session for all requests of the application, as a dependency of its handlers.

Install: ``litestar`` and a server, such as ``uvicorn``. Run: ``uvicorn with_litestar:app``. Each worker process has an owner; with
several, set EXTERVIEW_STORE, so that they share one token. A login that is down becomes a 503 with ``Retry-After``. Wrong
credentials stay a 500 with the event ``logins.paused`` in your log: no caller can do anything about them, and a 401 would ask
them to.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import ceil
from typing import Any

import aiohttp
from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide

from exterview_auth import AuthSession, ExterviewAuth, LoginBudgetExceededError, LoginUnavailableError


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    # 10 s, because callers give up sooner than the 30 s for which a login is tried otherwise.
    async with aiohttp.ClientSession() as http, ExterviewAuth.from_env(login_timeout=10) as auth:
        app.state.api = AuthSession(http, auth)
        yield


async def exterview(state: State) -> AuthSession:
    api: AuthSession = state.api
    return api


def login_unavailable(
    request: Request[Any, Any, Any], error: LoginUnavailableError | LoginBudgetExceededError
) -> Response[dict[str, str]]:
    seconds = ceil(error.retry_after or 5)
    return Response({"detail": "try again later"}, status_code=503, headers={"Retry-After": str(seconds)})


@get("/interviews")
async def interviews(api: NamedDependency[AuthSession]) -> list[dict[str, str]]:
    data = await api.graphql("query { interviews { id title } }")
    found: list[dict[str, str]] = data["interviews"]
    return found


app = Litestar(
    [interviews],
    lifespan=[lifespan],
    dependencies={"api": Provide(exterview)},
    exception_handlers={LoginUnavailableError: login_unavailable, LoginBudgetExceededError: login_unavailable},
)
