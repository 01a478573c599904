"""All contestants, in the order of the tables."""

from __future__ import annotations

from . import aiobotocore, azure, google, gql, on_aiohttp, on_httpx

PEERS = [
    *on_aiohttp.PEERS,
    *google.PEERS,
    *azure.PEERS,
    *aiobotocore.PEERS,
    *gql.PEERS,
    *on_httpx.PEERS,
]
BASES = {"aiohttp": on_aiohttp.BASE, "httpx": on_httpx.BASE}
"""Each HTTP library without authentication."""
