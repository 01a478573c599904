"""
Subscriptions (``graphql-transport-ws``) that live longer than their token.

The token of a WebSocket is that of its handshake. As soon as there is a new one, `on_token` closes the open sockets, and each
subscription goes on over a new socket; whoever iterates does not notice. What the server sends in between is missed: let your
subscription say from where on it wants events, if it can. If the server ends a socket, that is a ``ConnectionResetError``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp

from exterview_auth import AuthSession, ExterviewAuth, GraphQLError, Token


class Subscriptions:
    """Subscriptions of one owner, whose sockets are replaced together with its token."""

    def __init__(self) -> None:
        self._open: set[aiohttp.ClientWebSocketResponse] = set()
        self._closing: set[asyncio.Task[bool]] = set()
        self._renewals = 0

    def on_token(self, _new: Token, _old: Token | None, _reason: str) -> None:
        """Close what is open. Nothing is awaited here: until this returns, all requests wait."""
        self._renewals += 1
        for socket in self._open:
            self._closing.add(task := asyncio.create_task(socket.close()))
            task.add_done_callback(self._closing.discard)
        self._open.clear()

    async def subscribe(self, api: AuthSession, query: str, **variables: Any) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the results of *query*, over as many sockets as it takes. Iterate in ``aclosing``, which closes the last one."""
        while True:
            await api.auth.token()
            renewals = self._renewals
            async with api.ws_connect("", protocols=("graphql-transport-ws",)) as socket:
                if renewals != self._renewals:
                    continue  # during the handshake: it may have been made with the token before
                self._open.add(socket)
                try:
                    async with aclosing(_results(socket, {"query": query, "variables": variables})) as results:
                        async for result in results:
                            yield result
                except ConnectionResetError:
                    if socket in self._open:
                        raise  # not closed by `on_token`
                else:
                    return
                finally:
                    self._open.discard(socket)


async def _results(
    socket: aiohttp.ClientWebSocketResponse, payload: dict[str, Any]
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the results of one operation over one socket. Raise ``ConnectionResetError`` if that is closed too early."""
    await socket.send_json({"type": "connection_init"})
    async for message in socket:
        match message.json():
            case {"type": "connection_ack"}:
                await socket.send_json({"type": "subscribe", "id": "1", "payload": payload})
            case {"type": "next", "payload": result}:
                yield result
            case {"type": "ping"}:
                await socket.send_json({"type": "pong"})
            case {"type": "error", "payload": errors}:
                raise GraphQLError("the API refused the subscription", status=200, errors=errors, data=None)
            case {"type": "complete"}:
                return
    raise ConnectionResetError(f"the subscription's socket was closed with code {socket.close_code}")


@asynccontextmanager
async def exterview() -> AsyncIterator[tuple[AuthSession, Subscriptions]]:
    """Yield the API and its subscriptions."""
    live = Subscriptions()
    async with aiohttp.ClientSession() as http, ExterviewAuth.from_env(on_token=live.on_token) as auth:
        yield AuthSession(http, auth), live


async def main() -> None:
    """Print the candidates that are being scored."""
    query = "subscription { candidateScored { fullName resumeScore } }"
    async with exterview() as (api, live), aclosing(live.subscribe(api, query)) as scored:
        async for result in scored:
            print(result["data"]["candidateScored"])


if __name__ == "__main__":
    asyncio.run(main())
