"""
gql: queries, uploads and subscriptions with the credentials of one owner.

Install ``gql[aiohttp]``. Open the client once, when the application starts, and use it for all requests. gql raises errors of its
own (``TransportError``); their ``__cause__`` is what aiohttp or this library raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gql import Client, FileVar, GraphQLRequest
from gql.client import AsyncClientSession
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.aiohttp_websockets import AIOHTTPWebsocketsTransport

from exterview_auth import ExterviewAuth, graphql_unauthenticated

UPLOAD = "mutation ($id: String!, $file: Upload!) { uploadResume(candidateId: $id, file: $file) { sha256 } }"


@asynccontextmanager
async def opened(auth: ExterviewAuth) -> AsyncIterator[AsyncClientSession]:
    """Yield a client for queries, mutations and uploads."""
    transport = AIOHTTPTransport(str(auth.endpoint), client_session_args={"middlewares": (auth,)})
    async with Client(transport=transport) as session:
        yield session


async def upload_resume(session: AsyncClientSession, candidate: str, path: str) -> str:
    """Upload a file, and return its digest as the API computed it."""
    # Without `streaming=True`: a stream can be read once, so after a 401 its request could not be sent again. And a new FileVar
    # for each call, because gql replaces what is in it.
    file = FileVar(path, content_type="application/pdf")
    request = GraphQLRequest(UPLOAD, variable_values={"id": candidate, "file": file})
    return str((await session.execute(request, upload_files=True))["uploadResume"]["sha256"])


async def subscribed(auth: ExterviewAuth, subscription: str) -> AsyncIterator[dict[str, Any]]:
    """Yield the answers to *subscription*. The handshake has the credentials, and is renewed after a 401."""
    transport = AIOHTTPWebsocketsTransport(str(auth.endpoint), client_session_args={"middlewares": (auth,)})
    async with Client(transport=transport) as session:
        async for answer in session.subscribe(GraphQLRequest(subscription)):
            yield answer


async def main() -> None:
    """Ask who is there."""
    # `graphql_unauthenticated`: an answer of status 200 that says UNAUTHENTICATED counts as a 401.
    async with ExterviewAuth.from_env(is_unauthorized=graphql_unauthenticated) as auth, opened(auth) as session:
        print(await session.execute(GraphQLRequest("{ __typename }")))


if __name__ == "__main__":
    asyncio.run(main())
