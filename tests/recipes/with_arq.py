"""
arq: one owner and one session for all jobs of a worker, opened and closed by its hooks.

Install: ``arq``, which needs a redis below 6: not the extra ``redis``, so that the workers of one host share their token in files
(EXTERVIEW_STORE is a directory). Run: ``arq with_arq.WorkerSettings``. arq repeats no job that raises: for a login that is down,
catch `LoginUnavailableError` and raise ``arq.Retry(defer=error.retry_after or 5)``.
"""

from typing import Any

import aiohttp

from exterview_auth import AuthSession, ExterviewAuth


async def on_startup(ctx: dict[str, Any]) -> None:
    ctx["auth"] = ExterviewAuth.from_env()  # first: a wrong variable fails before anything is open
    ctx["http"] = aiohttp.ClientSession()
    ctx["api"] = AuthSession(ctx["http"], ctx["auth"])


async def on_shutdown(ctx: dict[str, Any]) -> None:
    await ctx["auth"].aclose()
    await ctx["http"].close()


async def count_interviews(ctx: dict[str, Any]) -> int:
    api: AuthSession = ctx["api"]
    data = await api.graphql("query { interviews { id } }")
    return len(data["interviews"])


class WorkerSettings:
    functions = [count_interviews]
    on_startup = on_startup
    on_shutdown = on_shutdown
