"""
Many accounts in a web application: a pool of owners, one session, and the account of each request in its path.

Install: ``fastapi`` and a server, such as ``uvicorn``. Each account logs in with its own credentials, which `variables_of` finds;
here they are in the environment, under the account's name. With EXTERVIEW_STORE set, worker processes share each account's token,
through one store for all accounts: with Redis, a process has two connections, however many accounts it serves.
with_fastapi.py shows what errors become.
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import aiohttp
from fastapi import Depends, FastAPI, HTTPException, Request

from exterview_auth import AuthPool, AuthSession, ExterviewAuth, FileStore, RedisStore

logging.basicConfig(level=logging.INFO)  # uvicorn shows its own loggers alone, and not the warnings of `exterview_auth`


def variables_of(account: str) -> dict[str, str]:
    """Return the variables of ``from_env``: the common ones, and ``ACME_EMAIL``, ``ACME_PASSWORD`` for the account ``acme``."""
    own = {name: os.environ[f"{account.upper()}_{name}"] for name in ("EMAIL", "PASSWORD")}
    common = {name: value for name, value in os.environ.items() if name.startswith("EXTERVIEW_")}
    return {**common, **{f"EXTERVIEW_{name}": value for name, value in own.items()}}


def store_keys() -> list[str] | None:
    """Return the keys of the store, newest first, as ``from_env`` reads them."""
    file = os.environ.get("EXTERVIEW_STORE_KEY_FILE")
    text = os.environ.get("EXTERVIEW_STORE_KEY") or (Path(file).read_text() if file else "")
    return text.replace(",", " ").split() if text or file else None


def common_store() -> FileStore | RedisStore | None:
    place = os.environ.get("EXTERVIEW_STORE")
    if not place:
        return None
    kind = RedisStore if "://" in place else FileStore
    return kind(place, encryption_key=store_keys())


def owner_of(account: str, store: FileStore | RedisStore | None) -> ExterviewAuth:
    # The name tells the account in the store and in events. Without `store=`, each owner would open one of its own.
    return ExterviewAuth.from_env(variables_of(account), account=account, store=store)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    # No cookies: a jar would send one account's session cookie with another's requests.
    jar = aiohttp.DummyCookieJar()
    async with AsyncExitStack() as opened:
        store = common_store()
        if store is not None:
            await opened.enter_async_context(store)
        http = await opened.enter_async_context(aiohttp.ClientSession(cookie_jar=jar))
        pool = await opened.enter_async_context(AuthPool(partial(owner_of, store=store), maxsize=1000))
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
