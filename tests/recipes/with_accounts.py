"""
Many accounts in a web application: a pool of owners, one session, and the account of each request in its path.

Install: ``fastapi`` and a server, such as ``uvicorn``. Each account logs in with its own credentials, which `variables_of` finds;
here they are in the environment, under the account's name. With EXTERVIEW_STORE set, worker processes share each account's token.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import aiohttp
from fastapi import Depends, FastAPI, HTTPException, Request

from exterview_auth import AuthPool, AuthSession, ExterviewAuth


def variables_of(account: str) -> dict[str, str]:
    """Return the variables of ``from_env``: the common ones, and ``ACME_EMAIL``, ``ACME_PASSWORD`` for the account ``acme``."""
    own = {name: os.environ[f"{account.upper()}_{name}"] for name in ("EMAIL", "PASSWORD")}
    common = {name: value for name, value in os.environ.items() if name.startswith("EXTERVIEW_")}
    return {**common, **{f"EXTERVIEW_{name}": value for name, value in own.items()}}


def owner_of(account: str) -> ExterviewAuth:
    # The name tells the account in the store and in events. Each owner closes the store that its variables name.
    return ExterviewAuth.from_env(variables_of(account), account=account)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    # No cookies: a jar would send one account's session cookie with another's requests.
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(cookie_jar=jar) as http, AuthPool(owner_of, maxsize=1000) as pool:
        yield {"http": http, "pool": pool}


app = FastAPI(lifespan=lifespan)


async def exterview(account: str, request: Request) -> AuthSession:
    try:
        return AuthSession(request.state.http, request.state.pool[account])
    except KeyError:
        raise HTTPException(404, "no such account") from None


@app.get("/{account}/interviews")
async def interviews(api: Annotated[AuthSession, Depends(exterview)]) -> list[dict[str, str]]:
    data = await api.graphql("query { interviews { id title } }")
    found: list[dict[str, str]] = data["interviews"]
    return found
