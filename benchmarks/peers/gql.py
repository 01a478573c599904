"""gql, which has no authentication: only its throughput is measured."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gql import Client as GraphQLClient
from gql import gql
from gql.transport.aiohttp import AIOHTTPTransport

from ..harness.api import QUERY, STATIC_HEADERS, Api, unlimited
from .peer import Client, Peer


@asynccontextmanager
async def transport(api: Api) -> AsyncIterator[Client]:
    """Set static headers on gql's own session; its result has no status, and anything but data raises."""
    document = gql(QUERY["query"])
    http = AIOHTTPTransport(
        f"{api.root}/graphql", headers=STATIC_HEADERS, client_session_args={"connector": unlimited()}
    )
    async with GraphQLClient(transport=http) as session:

        async def send(path: str) -> int:
            assert path == "graphql"
            await session.execute(document)
            return 200

        yield Client(send)


PEERS = [Peer("gql, static headers", "aiohttp", transport, logs_in=False, throughput_only=True)]
