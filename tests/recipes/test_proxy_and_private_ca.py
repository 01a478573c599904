"""The recipe for a proxy and a private authority."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from yarl import URL

from exterview_auth import ExterviewAuth, LoginError, LoginUnavailableError
from exterview_auth.testing import ThreadedEmulator, expect
from tests.kit.certificates import certificate
from tests.kit.proxy import Proxy
from tests.kit.showing import assert_shows_none

from .with_proxy_and_private_ca import exterview as exterview_api
from .with_proxy_and_private_ca import main

QUERY = "query { __typename }"


class Site(NamedTuple):
    """The emulator behind TLS, and a proxy on the way there."""

    authority: str
    port: int
    proxy: Proxy

    @property
    def proxy_url(self) -> str:
        """The proxy with its password."""
        return f"http://me:s3cret@127.0.0.1:{self.proxy.port}"


async def relayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes, to its end."""
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass  # the other side has gone
    finally:
        writer.close()


@asynccontextmanager
async def tls_in_front_of(port: int, files: tuple[Path, Path]) -> AsyncIterator[int]:
    """Yield the port of a server that speaks TLS with the certificate in *files*, and passes all on to *port*."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    tasks = set[asyncio.Task[None]]()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_connection("127.0.0.1", port)
        for source, target in ((reader, there), (back, writer)):
            tasks.add(task := asyncio.create_task(relayed(source, target)))
            task.add_done_callback(tasks.discard)

    async with await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def site(
    exterview_env: Any, exterview: ThreadedEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    """The site, whose address is in the environment."""
    files = certificate(tmp_path)
    inner = URL(exterview.endpoint).port
    assert inner is not None
    proxy = await Proxy("me:s3cret").start()
    async with tls_in_front_of(inner, files) as port:
        monkeypatch.setenv("EXTERVIEW_ENDPOINT", f"https://127.0.0.1:{port}/graphql")
        yield Site(str(files[0]), port, proxy)
        await proxy.stop()


async def test_the_program_runs_as_it_is(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints the answer and leaves nothing open."""
    monkeypatch.setenv("SSL_CERT_FILE", site.authority)
    monkeypatch.setenv("HTTPS_PROXY", site.proxy_url)
    await main()
    assert capsys.readouterr().out == "{'__typename': 'Query'}\n"


async def test_requests_and_logins_go_through_the_proxy(site: Site, exterview: ThreadedEmulator) -> None:
    """Thirty at once make one login at the start, and one after the token was revoked; each connection is a tunnel."""
    async with exterview_api(site.authority, site.proxy_url) as api:
        for _ in range(2):
            with expect(exterview, logins=1):
                answers = await asyncio.gather(*(api.graphql(QUERY) for _ in range(30)))
            assert answers == [{"__typename": "Query"}] * 30
            exterview.revoke()
    assert set(site.proxy.asked) == {("CONNECT", f"127.0.0.1:{site.port}")}


async def test_without_a_proxy_it_goes_directly(site: Site, exterview: ThreadedEmulator) -> None:
    """The authority alone is enough."""
    async with exterview_api(site.authority) as api:
        with expect(exterview, logins=1):
            assert await api.graphql(QUERY) == {"__typename": "Query"}
    assert site.proxy.asked == []


async def test_a_login_session_is_needed_for_the_authority(site: Site, exterview: ThreadedEmulator) -> None:
    """Without it, the login does not trust the server: one clear error, nothing sent, no secret."""
    async with ExterviewAuth.from_env(login_timeout=0.2) as auth:
        with (
            expect(exterview, requests=0),
            pytest.raises(LoginUnavailableError, match="TLS handshake failed") as caught,
        ):
            await auth.token()
    assert_shows_none(caught.value, exterview.password, exterview.api_key)


async def test_a_proxy_that_refuses_is_one_clear_error(site: Site, exterview: ThreadedEmulator) -> None:
    """It is asked once; neither its password nor the API's credentials are shown."""
    async with exterview_api(site.authority, site.proxy_url.replace("s3cret", "wrong-password")) as api:
        with expect(exterview, requests=0), pytest.raises(LoginError, match=r"the proxy .* answered 407") as caught:
            await api.graphql(QUERY)
    assert len(site.proxy.asked) == 1
    assert_shows_none(caught.value, "wrong-password", exterview.password, exterview.api_key)
