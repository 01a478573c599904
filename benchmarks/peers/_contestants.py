"""All contestants, in the order of the tables."""

from __future__ import annotations

from . import _aiobotocore, _authlib, _azure, _google, _gql, _on_aiohttp, _on_httpx

PEERS = [
    *_on_aiohttp.PEERS,
    *_google.PEERS,
    *_azure.PEERS,
    *_aiobotocore.PEERS,
    *_gql.PEERS,
    *_on_httpx.PEERS,
    *_authlib.PEERS,
]
BASES = {"aiohttp": _on_aiohttp.BASE, "httpx": _on_httpx.BASE}
"""Each HTTP library without authentication."""
