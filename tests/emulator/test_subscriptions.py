"""GraphQL over WebSocket: the protocol ``graphql-transport-ws``, its guard and its close codes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from exterview_auth.emulator import Emulator
from exterview_auth.emulator._graphql import websocket as protocol

PROTOCOL = "graphql-transport-ws"


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator() as emulator:
        yield emulator


def credentials(emulator: Emulator) -> dict[str, str]:
    return {"x-api-key": emulator.api_key, "Authorization": f"Bearer {emulator.issue_token()}"}


@pytest_asyncio.fixture
async def http(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest_asyncio.fixture
async def raw(emulator: Emulator, http: aiohttp.ClientSession) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with http.ws_connect(emulator.endpoint, protocols=[PROTOCOL], headers=credentials(emulator)) as websocket:
        yield websocket


@pytest_asyncio.fixture
async def ws(raw: aiohttp.ClientWebSocketResponse) -> aiohttp.ClientWebSocketResponse:
    await raw.send_json({"type": "connection_init"})
    assert await raw.receive_json() == {"type": "connection_ack"}
    return raw


def subscription(name: str, query: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "subscribe", "payload": {"query": query, **more}}


async def close_code(websocket: aiohttp.ClientWebSocketResponse) -> int | None:
    while (await websocket.receive()).type not in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}:
        pass
    return websocket.close_code


async def results(websocket: aiohttp.ClientWebSocketResponse, name: str) -> list[Any]:
    found = []
    while (message := await websocket.receive_json())["type"] == "next":
        assert message["id"] == name
        found.append(message["payload"])
    assert message == {"id": name, "type": "complete"}
    return found


@pytest.mark.asyncio
async def test_a_subscription_yields_its_items_and_completes(ws: aiohttp.ClientWebSocketResponse) -> None:
    """Ticks come in order, then `complete`."""
    await ws.send_json(subscription("1", "subscription { clock(interval: 0.001, count: 3) { index at } }"))
    assert [one["data"]["clock"]["index"] for one in await results(ws, "1")] == [0, 1, 2]


@pytest.mark.asyncio
async def test_scored_candidates_come_from_the_data(emulator: Emulator, ws: aiohttp.ClientWebSocketResponse) -> None:
    """The candidates are those of the queries, of one job where one is named."""
    query = "subscription($job: String) { candidateScored(jobId: $job) { _id resumeScore jobId interviews { id } } }"
    await ws.send_json(subscription("1", query, variables={"job": emulator.job_ids[1]}))
    found = [one["data"]["candidateScored"] for one in await results(ws, "1")]
    assert [one["jobId"] for one in found] == [emulator.job_ids[1]] * 3
    await ws.send_json(subscription("1", query))
    known = emulator._state.data.candidates
    assert [one["data"]["candidateScored"]["_id"] for one in await results(ws, "1")] == list(known)[:3]


@pytest.mark.asyncio
async def test_queries_run_over_the_socket_too(ws: aiohttp.ClientWebSocketResponse) -> None:
    """A query gives one result; what is wrong gives `error` with the engine's errors, and the connection goes on."""
    await ws.send_json(subscription("a", "query { __typename }"))
    assert await results(ws, "a") == [{"data": {"__typename": "Query"}}]
    for wrong in (
        "{ nothing }",
        "subscription { clock(count: -1) { at } }",
        "subscription { clock(interval: 61) { at } }",
        'mutation { login(email: "a", password: "b") { token } }',
    ):
        await ws.send_json(subscription("b", wrong))
        message = await ws.receive_json()
        assert (message["id"], message["type"], bool(message["payload"])) == ("b", "error", True)
    await ws.send_json(subscription("c", "subscription { clock(count: $no) { at } }"))
    assert (await ws.receive_json())["type"] == "error"


@pytest.mark.asyncio
async def test_unknown_operations_are_errors(ws: aiohttp.ClientWebSocketResponse) -> None:
    """Errors that the engine finds before the first item end the operation with `error`."""
    await ws.send_json(subscription("1", "subscription($n: Int!) { clock(count: $n) { at } }"))
    message = await ws.receive_json()
    assert (message["type"], "$n" in message["payload"][0]["message"]) == ("error", True)


@pytest.mark.asyncio
async def test_completing_ends_a_subscription_and_frees_its_id(ws: aiohttp.ClientWebSocketResponse) -> None:
    """After the client's `complete` nothing more comes of it; a late or unknown one is ignored."""
    await ws.send_json(subscription("1", "subscription { clock(interval: 60) { index } }"))
    assert (await ws.receive_json())["type"] == "next"
    await ws.send_json({"id": "1", "type": "complete"})
    await ws.send_json({"id": "1", "type": "complete"})
    await ws.send_json(subscription("1", "query { __typename }"))
    assert len(await results(ws, "1")) == 1


@pytest.mark.asyncio
async def test_pings_are_answered(raw: aiohttp.ClientWebSocketResponse) -> None:
    """A ping gets its pong, before the init too, and a pong gets nothing."""
    await raw.send_json({"type": "pong"})
    await raw.send_json({"type": "ping"})
    assert await raw.receive_json() == {"type": "pong"}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "text", ["{", "[]", '"x"', "{}", '{"type": "nothing"}', '{"type": []}', "[" * 100_000, '{"type": "complete"}']
)
async def test_invalid_messages_close_with_4400(raw: aiohttp.ClientWebSocketResponse, text: str) -> None:
    """What is no message of the protocol ends the connection."""
    await raw.send_str(text)
    assert await close_code(raw) == 4400


@pytest.mark.asyncio
async def test_binary_messages_close_with_4400(raw: aiohttp.ClientWebSocketResponse) -> None:
    """The protocol is text."""
    await raw.send_bytes(b'{"type": "ping"}')
    assert await close_code(raw) == 4400


@pytest.mark.asyncio
@pytest.mark.parametrize("message", [{"payload": {}}, {"payload": None}, {"id": "", "payload": {"query": "{a}"}}])
async def test_malformed_subscriptions_close_with_4400(
    ws: aiohttp.ClientWebSocketResponse, message: dict[str, Any]
) -> None:
    """A subscription needs an id and a query."""
    await ws.send_json({"id": "1", "type": "subscribe", **message})
    assert await close_code(ws) == 4400


@pytest.mark.asyncio
async def test_subscribing_before_the_acknowledgement_closes_with_4401(raw: aiohttp.ClientWebSocketResponse) -> None:
    """Nothing runs before `connection_init`."""
    await raw.send_json(subscription("1", "query { __typename }"))
    assert await close_code(raw) == 4401


@pytest.mark.asyncio
async def test_another_protocol_closes_with_4406(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A client that does not speak the protocol is told so."""
    async with http.ws_connect(emulator.endpoint, headers=credentials(emulator)) as websocket:
        assert await close_code(websocket) == 4406


@pytest.mark.asyncio
async def test_a_missing_init_closes_with_4408(
    emulator: Emulator, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that never sends `connection_init` is not waited for."""
    monkeypatch.setattr(protocol, "SECONDS_TO_INIT", 0.01)
    async with http.ws_connect(emulator.endpoint, headers=credentials(emulator), protocols=[PROTOCOL]) as websocket:
        assert await close_code(websocket) == 4408


@pytest.mark.asyncio
async def test_an_id_in_use_closes_with_4409(ws: aiohttp.ClientWebSocketResponse) -> None:
    """Two operations cannot have one id."""
    for _ in range(2):
        await ws.send_json(subscription("1", "subscription { clock(interval: 60) { index } }"))
    assert await close_code(ws) == 4409


@pytest.mark.asyncio
async def test_a_second_init_closes_with_4429(ws: aiohttp.ClientWebSocketResponse) -> None:
    """The connection is initialised once."""
    await ws.send_json({"type": "connection_init"})
    assert await close_code(ws) == 4429


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"x-api-key": None}, 400),
        ({"Authorization": None}, 400),
        ({"Authorization": "Basic x"}, 400),
        ({"x-api-key": "wrong"}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"x-api-key": "restricted"}, 403),
        ({"Sec-WebSocket-Version": "5"}, 400),
    ],
)
async def test_handshakes_are_guarded_like_requests(
    emulator: Emulator, http: aiohttp.ClientSession, change: dict[str, str | None], status: int
) -> None:
    """A handshake without the right headers is refused with the documented status; a content type is not asked for."""
    replaced = {"restricted": emulator.restricted_api_key}
    changed = {name: value and replaced.get(value, value) for name, value in change.items()}
    headers = {name: value for name, value in {**credentials(emulator), **changed}.items() if value}
    handshake = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    async with http.get(emulator.endpoint, headers={**handshake, **headers}) as response:
        assert (response.status, list(await response.json())) == (status, ["error"])
    assert emulator.stats().statuses == {status: 1}


@pytest.mark.asyncio
async def test_open_sockets_are_counted(emulator: Emulator, ws: aiohttp.ClientWebSocketResponse) -> None:
    """A handshake counts as 101 at once, and the socket while it is open; leaving it ends what it runs."""
    await ws.send_json(subscription("1", "subscription { clock(interval: 60) { index } }"))
    await ws.receive_json()
    assert (emulator.stats().statuses, emulator.stats().websockets_open) == ({101: 1}, 1)
    await ws.close()
    async with asyncio.timeout(5):
        while emulator.stats().websockets_open:  # noqa: ASYNC110 - the server runs in this loop and has no event for it
            await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_a_client_that_drops_the_connection_is_forgotten(
    emulator: Emulator, http: aiohttp.ClientSession, ws: aiohttp.ClientWebSocketResponse
) -> None:
    """A connection that breaks while results stream leaves no operation behind."""
    await ws.send_json(subscription("1", "subscription { clock(interval: 0, count: 10000) { index } }"))
    await ws.receive_json()
    await http.close()
    async with asyncio.timeout(5):
        while emulator.stats().websockets_open:  # noqa: ASYNC110 - the server runs in this loop and has no event for it
            await asyncio.sleep(0.001)
