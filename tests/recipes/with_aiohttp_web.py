"""
aiohttp.web: one owner and one session for all requests of the application, opened and closed by ``cleanup_ctx``.

Install: nothing else. Run: ``python with_aiohttp_web.py``, or gunicorn with ``--worker-class aiohttp.GunicornWebWorker``. Each
worker process has an owner; with several, set EXTERVIEW_STORE, so that they share one token. A login that is down becomes a 503
with ``Retry-After``. Wrong credentials stay a 500 in your log: no caller can do anything about them, and a 401 would ask them to.
with_fastapi.py shows what other errors may become.
"""

import logging
import os
from collections.abc import AsyncIterator
from math import ceil

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler

from exterview_auth import AuthSession, ExterviewAuth, LoginBudgetExceededError, LoginUnavailableError

logging.basicConfig()  # nobody else shows the warnings of `exterview_auth`
API = web.AppKey("API", AuthSession)


async def exterview(app: web.Application) -> AsyncIterator[None]:
    # 10 s, because callers give up sooner than the 30 s for which a login is tried otherwise.
    async with aiohttp.ClientSession() as http, ExterviewAuth.from_env(login_timeout=10) as auth:
        app[API] = AuthSession(http, auth)
        yield


@web.middleware
async def login_unavailable(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except (LoginUnavailableError, LoginBudgetExceededError) as error:
        seconds = ceil(error.retry_after or 5)
        raise web.HTTPServiceUnavailable(headers={"Retry-After": str(seconds)}) from error


async def interviews(request: web.Request) -> web.Response:
    data = await request.app[API].graphql("query { interviews { id title } }")
    return web.json_response(data["interviews"])


async def make_app() -> web.Application:
    app = web.Application(middlewares=[login_unavailable])
    app.cleanup_ctx.append(exterview)  # not on_startup: what follows `yield` runs also if another start-up fails
    app.router.add_get("/interviews", interviews)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), port=int(os.environ.get("PORT", "8080")))
