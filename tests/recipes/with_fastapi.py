"""
FastAPI: one owner and one session for all requests of the application, as a dependency of its routes.

Install: ``fastapi`` and a server, such as ``uvicorn``. Run: ``uvicorn with_fastapi:app``. Each worker process has an owner; with
``--workers``, set EXTERVIEW_STORE, so that they share one token. A login that is down becomes a 503 with ``Retry-After``. Wrong
credentials stay a 500, which your error tracker shows: no caller can do anything about them, and a 401 would ask them to.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import ceil
from typing import Annotated, Any

import aiohttp
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from exterview_auth import AuthSession, ExterviewAuth, LoginBudgetExceededError, LoginUnavailableError


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    # 10 s, because callers give up sooner than the 30 s for which a login is tried otherwise.
    async with aiohttp.ClientSession() as http, ExterviewAuth.from_env(login_timeout=10) as auth:
        yield {"api": AuthSession(http, auth)}


app = FastAPI(lifespan=lifespan)


async def exterview(request: Request) -> AuthSession:
    api: AuthSession = request.state.api
    return api


@app.exception_handler(LoginUnavailableError)
@app.exception_handler(LoginBudgetExceededError)
async def login_unavailable(request: Request, error: LoginUnavailableError | LoginBudgetExceededError) -> JSONResponse:
    return JSONResponse({"detail": "try again later"}, 503, {"Retry-After": str(ceil(error.retry_after or 5))})


@app.get("/interviews")
async def interviews(api: Annotated[AuthSession, Depends(exterview)]) -> list[dict[str, str]]:
    data = await api.graphql("query { interviews { id title } }")
    found: list[dict[str, str]] = data["interviews"]
    return found
