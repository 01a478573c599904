"""The ways to send the request: with static headers, through other middlewares, and with this library."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse, ClientSession
from yarl import URL

from exterview_auth import AuthSession

from ..harness.api import KEY_HEADER, QUERY, STATIC_HEADERS, Api, answered, unlimited
from ..harness.baselines import cheapest
from ..harness.cost import Ask
from ..peers.google import authorized_session
from ..peers.on_aiohttp import Cookbook

STATIC = "static headers"
_STR, _RELATIVE, _BYTES = "str URL", "relative URL", "bytes to a str URL"
_BODY = json.dumps(QUERY).encode()
_TYPED = {**STATIC_HEADERS, "Content-Type": "application/json"}


class Contestant(NamedTuple):
    """One way to send the request, and the name of the one that sends the same with static headers."""

    ask: Ask
    base: str = STATIC


async def _no_work(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    return await handler(request)


def _posting(client: ClientSession | AuthSession, url: str | URL, **body: Any) -> Ask:
    return lambda: answered(client.post(url, **body))


class _Sessions:
    """Opens sessions on one connector: connections that are older or warmer would make their contestant look cheaper."""

    def __init__(self, api: Api, stack: AsyncExitStack) -> None:
        self._api = api
        self._stack = stack
        self._connector = unlimited()
        stack.push_async_callback(self._connector.close)

    async def opened(self, **options: Any) -> ClientSession:
        session = ClientSession(connector=self._connector, connector_owner=False, **options)
        return await self._stack.enter_async_context(session)

    async def posting(self, *middlewares: ClientMiddlewareType, **options: Any) -> Ask:
        session = await self.opened(middlewares=middlewares, **options)
        return _posting(session, self._api.url, json=QUERY)


@asynccontextmanager
async def opened(api: Api) -> AsyncIterator[dict[str, Contestant]]:
    """Open all contestants, in the order of the table."""
    async with AsyncExitStack() as stack:
        auth = await stack.enter_async_context(api.auth())
        google = await stack.enter_async_context(authorized_session(api))
        sessions = _Sessions(api, stack)
        ours = AuthSession(await sessions.opened(), auth)
        yield {
            STATIC: Contestant(await sessions.posting(headers=STATIC_HEADERS)),
            f"{STATIC} again": Contestant(await sessions.posting(headers=STATIC_HEADERS)),
            "middleware that does nothing": Contestant(await sessions.posting(_no_work, headers=STATIC_HEADERS)),
            "middleware that sets two headers": Contestant(await sessions.posting(cheapest)),
            "aiohttp's documented middleware": Contestant(await sessions.posting(Cookbook(api), headers=KEY_HEADER)),
            "ExterviewAuth": Contestant(await sessions.posting(auth)),
            "AuthSession": Contestant(_posting(ours, api.url, json=QUERY)),
            **await _other_forms(api, sessions, ours),
            "google-auth aio, bytes to a str URL": Contestant(partial(google.send, "graphql"), f"{STATIC}, {_BYTES}"),
        }


async def _other_forms(api: Api, sessions: _Sessions, ours: AuthSession) -> dict[str, Contestant]:
    """Return the same request in other forms, each with static headers and through `AuthSession`."""
    url, path = str(api.url), "/graphql"
    static, typed = await sessions.opened(headers=STATIC_HEADERS), await sessions.opened(headers=_TYPED)
    with_base = await sessions.opened(headers=STATIC_HEADERS, base_url=api.root)
    forms = {
        _STR: (_posting(static, url, json=QUERY), _posting(ours, url, json=QUERY)),
        _RELATIVE: (_posting(with_base, path, json=QUERY), _posting(ours, path, json=QUERY)),
        _BYTES: (_posting(typed, url, data=_BODY), _posting(ours, url, data=_BODY)),
    }
    found = {}
    for form, (plain, signed) in forms.items():
        found[f"{STATIC}, {form}"] = Contestant(plain, f"{STATIC}, {form}")
        found[f"AuthSession, {form}"] = Contestant(signed, f"{STATIC}, {form}")
    return found
