"""Only this machine may ask, and no website that is open in its browser."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import ClientSession
from yarl import URL

from exterview_auth.emulator import Emulator
from tests.kit.emulator import answer, credentials, smoke

PATHS = [
    *(
        "/",
        "/stats",
        "/journal",
        "/events",
        "/query",
        "/controls/revoke",
        "/controls/nothing",
        "/graphql",
        "/oauth/token",
    ),
    *("/bulk-upload-resumes", "/nothing", "/%65vents", "/controls%2frevoke"),
]
FOREIGN_HOST = "The Host header must be a loopback address or localhost, because only this machine may ask"
FOREIGN_PAGE = "Only the emulator's own page and programs without an Origin may do this"


async def raw(emulator: Emulator, head: str) -> tuple[int, Any]:
    """Send *head* as it is and return the status, and the answer, as JSON if it is."""
    url = URL(emulator.page)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(head.encode() + b"Connection: close\r\n\r\n")
        first, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return int(first.split()[1]), json.loads(body) if b"application/json" in first else body
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("path", PATHS)
async def test_a_foreign_host_is_refused_on_every_path(emulator: Emulator, path: str) -> None:
    """A name that a website may lead to this machine reads nothing and changes nothing, whatever it sends."""
    token = emulator.issue_token()
    for method in ("GET", "POST", "OPTIONS"):
        for more in ("", "Connection: Upgrade\r\nUpgrade: websocket\r\n"):
            head = f"{method} {path} HTTP/1.1\r\nHost: evil.example\r\nContent-Type: application/json\r\n{more}"
            headers = "".join(f"{name}: {value}\r\n" for name, value in credentials(emulator, token).items())
            assert await raw(emulator, head + headers) == (403, {"error": FOREIGN_HOST})
    assert emulator.stats().requests == 0
    assert emulator.journal == ()


@pytest.mark.parametrize(
    "host",
    [
        *(
            "localhost",
            "LOCALHOST:1",
            "localhost:8023",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.9.9.9:8023",
            "[::1]",
            "[::1]:8023",
        ),
        "[::ffff:127.0.0.1]:8023",
    ],
)
async def test_each_name_of_this_machine_will_do(emulator: Emulator, host: str) -> None:
    """Any loopback address and `localhost`, with any port, because a tunnel to this machine has its own."""
    status, content = await raw(emulator, f"GET /stats HTTP/1.1\r\nHost: {host}\r\n")
    assert (status, content["requests"]) == (200, 0)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1.evil.example",
            "127.evil.example",
            "localhost.evil.example",
            "evil.example:8023",
            "evil.example@127.0.0.1",
        ),
        *(
            "127.0.0.1@evil.example",
            "0.0.0.0",
            "192.168.1.5:8023",
            "[::]",
            "[fe80::1]",
            "[::ffff:192.168.1.5]",
            "::1",
            "127.1",
        ),
        *(
            "2130706433",
            "0x7f000001",
            "localhost:99999",
            "localhost:",
            "localhost.",
            "a.localhost",
            "[localhost]",
            "",
            "-",
        ),
    ],
)
async def test_a_name_that_looks_like_this_machine_is_refused(emulator: Emulator, host: str) -> None:
    """Hosts are parsed and compared as addresses; what merely begins or ends like one is another's."""
    assert await raw(emulator, f"GET /stats HTTP/1.1\r\nHost: {host}\r\n") == (403, {"error": FOREIGN_HOST})


async def test_the_host_is_needed_once_and_in_the_url_too(emulator: Emulator) -> None:
    """No `Host`, two of them, and a foreign one in the request line are refused."""
    one = (400, {"error": "The request needs one Host header"})
    assert await raw(emulator, "GET /stats HTTP/1.0\r\n") == one
    in_url = "GET http://evil.example/stats HTTP/1.1\r\nHost: localhost\r\n"
    assert await raw(emulator, in_url) == (403, {"error": FOREIGN_HOST})
    doubled = await raw(emulator, "GET /stats HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n")
    assert doubled[0] == 400


FOREIGN = [
    *(
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://{host}"},
        {"Origin": "{host}"},
    ),
    *({"Origin": "http://localhost:1"}, {"Origin": "http://127.0.0.1"}, {"Origin": "http://{host}.evil.example"}),
    *({"Origin": "http://evil@{host}"}, {"Origin": "http://[::1"}, {"Sec-Fetch-Site": "cross-site"}),
    *({"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site", "Origin": "http://{host}"}),
]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_another_page_cannot_use_a_control(
    emulator: Emulator, http: ClientSession, headers: dict[str, str]
) -> None:
    """Controls, queries, streams and WebSocket upgrades are refused to every page but the emulator's own."""
    token, host = emulator.issue_token(), URL(emulator.page).authority
    sent = {name: value.replace("{host}", host) for name, value in headers.items()}
    refused = (403, {"error": FOREIGN_PAGE})
    for path in ("controls/revoke", "controls/nothing", "query", "controls/%72evoke"):
        url = URL(emulator.page + path, encoded=True)
        assert (await answer(http.post(url, json={}, headers=sent))).body == refused
    assert (await answer(http.get(f"{emulator.page}events", headers=sent))).body == refused
    upgrade = {**sent, "Connection": "Upgrade", "Upgrade": "websocket"}
    for path in ("", "stats", "events", "controls/revoke"):
        assert (await answer(http.get(emulator.page + path, headers=upgrade))).body == refused
    for method in ("PUT", "DELETE", "PATCH"):
        assert (await answer(http.request(method, f"{emulator.page}stats", headers=sent))).body == refused
    assert await smoke(emulator, http, token) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://{host}"},
        {"Origin": "http://{host}", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
async def test_programs_and_the_own_page_use_controls(
    emulator: Emulator, http: ClientSession, headers: dict[str, str]
) -> None:
    """A program sends no `Origin`; the own page sends the emulator's."""
    token, host = emulator.issue_token(), URL(emulator.page).authority
    sent = {name: value.replace("{host}", host) for name, value in headers.items()}
    assert (await answer(http.post(f"{emulator.page}controls/revoke", json={}, headers=sent))).status == 200
    assert await smoke(emulator, http, token) == 401


async def test_the_port_of_http_may_stay_unsaid(emulator: Emulator) -> None:
    """`http://localhost` is the page of `localhost:80`."""
    head = "POST /controls/revoke HTTP/1.1\r\nHost: {}\r\nOrigin: {}\r\nContent-Type: application/json\r\n"
    for host, origin in (("localhost:80", "http://localhost"), ("localhost", "http://localhost:80")):
        assert (await raw(emulator, head.format(host, origin)))[0] == 200


async def test_the_api_takes_any_origin(emulator: Emulator, http: ClientSession) -> None:
    """Its requests need credentials that no other page has, so an `Origin` says nothing about them."""
    headers = {**credentials(emulator), "Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"}
    sent = await answer(http.post(emulator.endpoint, json={"query": "{ __typename }"}, headers=headers))
    assert sent.status == 200
    assert "Access-Control-Allow-Origin" not in sent.headers


async def test_what_the_page_reads_is_for_the_page_alone(emulator: Emulator, http: ClientSession) -> None:
    """No response of the page is cached, guessed at, embedded or framed elsewhere."""
    for path in ("", "stats", "journal", "events"):
        async with http.get(emulator.page + path) as response:
            assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cache-Control"] == "no-store"
            assert "Access-Control-Allow-Origin" not in response.headers
