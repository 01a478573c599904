"""
FastAPI: one owner and one session for all requests of the application, as a dependency of its routes.

Install: ``fastapi`` and a server, such as ``uvicorn``. Run: ``uvicorn with_fastapi:app``. Each worker process has an owner; with
``--workers``, set EXTERVIEW_STORE, so that they share one token. At SIGTERM, uvicorn waits for its requests, which end within the
timeouts below. What a caller gets, while your log has the sentence of the error:

======================================================  ======  ==============================================
`LoginUnavailableError`, `LoginBudgetExceededError`     503     with ``Retry-After``
`ApiError` with the API's own 429 or 503                503     with ``Retry-After``
`GraphQLError`, any other `ApiError`                    502     a route may catch what its caller can mend
no connection to the API, or one that is lost           502     aiohttp's `ClientError`
`TimeoutError`                                          504     the session's, or that of one request
`CredentialsRejectedError`, `ConfigurationError`        500     logged as an error: no caller can mend it
======================================================  ======  ==============================================
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from math import ceil
from typing import Annotated, Any

import aiohttp
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from exterview_auth import (
    ApiError,
    AuthSession,
    ConfigurationError,
    ExterviewAuth,
    LoginBudgetExceededError,
    LoginError,
    LoginUnavailableError,
)

# uvicorn shows its own loggers alone, and not the warnings of `exterview_auth`.
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
log = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    # Callers give up sooner than after the 5 minutes of aiohttp, and the 30 s for which a login is tried otherwise.
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout) as http, ExterviewAuth.from_env(login_timeout=10) as auth:
        # So that a wrong password ends the start, as a missing variable does. A login that is down delays it by its timeout.
        with suppress(LoginUnavailableError):
            await auth.token()
        yield {"api": AuthSession(http, auth)}


app = FastAPI(lifespan=lifespan)


async def exterview(request: Request) -> AuthSession:
    api: AuthSession = request.state.api
    return api


@app.exception_handler(aiohttp.ClientError)  # all errors of the library are such errors, too
@app.exception_handler(TimeoutError)
async def failed(request: Request, error: aiohttp.ClientError | TimeoutError) -> JSONResponse:
    # The notes of a timeout say what the login has met.
    said = str(error) or "no answer in time"
    why = "; ".join([f"{type(error).__name__}: {said}", *getattr(error, "__notes__", [])])
    limited = isinstance(error, ApiError) and error.status in {429, 503}
    later = limited or isinstance(error, LoginUnavailableError | LoginBudgetExceededError)
    ours = not later and isinstance(error, LoginError | ConfigurationError)
    log.log(logging.ERROR if ours else logging.WARNING, "%s %s failed: %s", request.method, request.url.path, why)
    if isinstance(error, TimeoutError):
        return JSONResponse({"detail": "no answer in time"}, 504)
    if later:
        wait = getattr(error, "retry_after", None) or 5
        return JSONResponse({"detail": "try again later"}, 503, {"Retry-After": str(ceil(wait))})
    if ours:
        return JSONResponse({"detail": "this service is not set up"}, 500)
    return JSONResponse({"detail": "the API failed"}, 502)


@app.get("/interviews")
async def interviews(api: Annotated[AuthSession, Depends(exterview)]) -> list[dict[str, str]]:
    data = await api.graphql("query { interviews { id title } }")
    found: list[dict[str, str]] = data["interviews"]
    return found
