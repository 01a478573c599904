"""
A proxy, and an API whose certificate is signed by a private authority.

Without a session of their own, logins take over the requests' proxy, but not what a connector holds: certificates, a client
certificate, a resolver. `login_session=` is where they go. It is never closed by the library, so close it after the owner.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from exterview_auth import AuthSession, ExterviewAuth


def session(authority: str, proxy: str | None) -> aiohttp.ClientSession:
    """Return a session that trusts the certificates in the file *authority* alone."""
    # With `cafile`, the system's authorities are not loaded; add them with `trusted.load_default_certs()`.
    trusted = ssl.create_default_context(cafile=authority)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted), proxy=proxy)


@asynccontextmanager
async def exterview(authority: str, proxy: str | None = None) -> AsyncIterator[AuthSession]:
    """Yield the API, reached through *proxy* (``http://user:password@proxy:3128``)."""
    async with (
        # Two sessions, each with a connector of its own: a login must not queue behind the requests that wait for it.
        session(authority, proxy) as logins,
        session(authority, proxy) as requests,
        ExterviewAuth.from_env(login_session=logins) as auth,
    ):
        yield AuthSession(requests, auth)


async def main() -> None:
    """Ask who is there."""
    async with exterview(os.environ["SSL_CERT_FILE"], os.environ.get("HTTPS_PROXY")) as api:
        print(await api.graphql("{ __typename }"))


if __name__ == "__main__":
    asyncio.run(main())
