"""GraphQL over WebSocket: the protocol ``graphql-transport-ws``, its guard and its close codes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import ClientSession

from exterview_auth.emulator import Emulator
from exterview_auth.emulator._graphql import websocket as protocol
from tests.kit.api import until
from tests.kit.emulator import answer, credentials

Socket = aiohttp.ClientWebSocketResponse


@pytest_asyncio.fixture
async def raw(api: ClientSession) -> AsyncIterator[Socket]:
    """Open a connection that is not initialised."""
    async with api.ws_connect("/graphql", protocols=[protocol.PROTOCOL]) as websocket:
        yield websocket


@pytest_asyncio.fixture
async def ws(raw: Socket) -> Socket:
    """Initialise the connection."""
    await raw.send_json({"type": "connection_init"})
    assert await raw.receive_json() == {"type": "connection_ack"}
    return raw


async def begin(ws: Socket, name: str, query: str, **more: Any) -> None:
    await ws.send_json({"id": name, "type": "subscribe", "payload": {"query": query, **more}})


ENDLESS = "subscription { clock(interval: 60) { index } }"


async def close_code(websocket: Socket) -> int | None:
    while (await websocket.receive()).type not in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}:
        pass
    return websocket.close_code


async def results(ws: Socket, name: str, query: str, **more: Any) -> list[Any]:
    """Return the data of every result of an operation that ends well."""
    await begin(ws, name, query, **more)
    found = []
    while (message := await ws.receive_json())["type"] == "next":
        assert message["id"] == name
        found.append(message["payload"]["data"])
    assert message == {"id": name, "type": "complete"}
    return found


async def test_a_subscription_yields_its_items_and_completes(ws: Socket) -> None:
    """Ticks come in order, then `complete`."""
    ticks = await results(ws, "1", "subscription { clock(interval: 0.001, count: 3) { index at } }")
    assert [one["clock"]["index"] for one in ticks] == [0, 1, 2]


async def test_scored_candidates_come_from_the_data(emulator: Emulator, ws: Socket) -> None:
    """The candidates are those of the queries, of one job where one is named."""
    query = "subscription($job: String) { candidateScored(jobId: $job) { _id resumeScore jobId interviews { id } } }"
    found = await results(ws, "1", query, variables={"job": emulator.job_ids[1]})
    assert [one["candidateScored"]["jobId"] for one in found] == [emulator.job_ids[1]] * 3
    found = await results(ws, "1", query)
    assert [one["candidateScored"]["_id"] for one in found] == list(emulator._state.data.candidates)[:3]


async def test_queries_run_over_the_socket_too(ws: Socket) -> None:
    """A query gives one result, and the connection goes on."""
    for name in ("a", "b"):
        assert await results(ws, name, "query { __typename }") == [{"__typename": "Query"}]


async def test_operations_without_a_result_end_with_error(ws: Socket) -> None:
    """The engine's errors come as `error`, and so does a login, which is sent by POST; the connection goes on."""
    for wrong in (
        "{ nothing }",
        "subscription { clock(count: -1) { at } }",
        "subscription { clock(interval: 61) { at } }",
        "subscription { clock(count: $no) { at } }",
        "subscription($n: Int!) { clock(count: $n) { at } }",
        'mutation { login(email: "a", password: "b") { token } }',
    ):
        await begin(ws, "b", wrong)
        message = await ws.receive_json()
        assert (message["id"], message["type"], bool(message["payload"])) == ("b", "error", True)


async def test_completing_ends_a_subscription_and_frees_its_id(ws: Socket) -> None:
    """After the client's `complete` nothing more comes of it; a late or unknown one is ignored."""
    await begin(ws, "1", ENDLESS)
    assert (await ws.receive_json())["type"] == "next"
    for _ in range(2):
        await ws.send_json({"id": "1", "type": "complete"})
    assert len(await results(ws, "1", "query { __typename }")) == 1


async def test_pings_are_answered(raw: Socket) -> None:
    """A ping gets its pong, before the init too, and a pong gets nothing."""
    await raw.send_json({"type": "pong"})
    await raw.send_json({"type": "ping"})
    assert await raw.receive_json() == {"type": "pong"}


INIT = {"type": "connection_init"}
RUN = {"id": "1", "type": "subscribe", "payload": {"query": ENDLESS}}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        *((text, 4400) for text in ("{", "[]", '"x"', "{}", '{"type": "nothing"}', '{"type": []}', "[" * 100_000)),
        (b'{"type": "ping"}', 4400),
        ([{"type": "complete"}], 4400),
        ([INIT, {**RUN, "payload": {}}], 4400),
        ([INIT, {**RUN, "payload": None}], 4400),
        ([INIT, {**RUN, "id": ""}], 4400),
        ([RUN], 4401),
        ([INIT, RUN, RUN], 4409),
        ([INIT, INIT], 4429),
    ],
)
async def test_broken_rules_close_with_their_code(
    raw: Socket, messages: str | bytes | list[dict[str, Any]], expected: int
) -> None:
    """Not a message: 4400; no init: 4401; an id in use: 4409; a second init: 4429. Binary frames are not messages."""
    if isinstance(messages, str):
        await raw.send_str(messages)
    elif isinstance(messages, bytes):
        await raw.send_bytes(messages)
    else:
        for message in messages:
            await raw.send_json(message)
    assert await close_code(raw) == expected


async def test_another_protocol_closes_with_4406(api: ClientSession) -> None:
    """A client that does not speak the protocol gets the reason."""
    async with api.ws_connect("/graphql") as websocket:
        assert await close_code(websocket) == 4406


async def test_a_missing_init_closes_with_4408(api: ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that never sends `connection_init` is not waited for."""
    monkeypatch.setattr(protocol, "SECONDS_TO_INIT", 0.01)
    async with api.ws_connect("/graphql", protocols=[protocol.PROTOCOL]) as websocket:
        assert await close_code(websocket) == 4408


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("x-api-key", "", 400),
        ("Authorization", "Bearer wrong", 401),
        ("x-api-key", "restricted", 403),
        ("Sec-WebSocket-Version", "5", 400),
    ],
)
async def test_handshakes_are_guarded_like_requests(
    emulator: Emulator, http: ClientSession, name: str, value: str, status: int
) -> None:
    """A handshake without the right headers is refused with the documented status; a content type is not needed."""
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **credentials(emulator),
        name: emulator.restricted_api_key if value == "restricted" else value,
    }
    refused = await answer(http.get(emulator.endpoint, headers=headers))
    assert (refused.status, list(refused.content)) == (status, ["error"])
    assert emulator.stats().statuses == {status: 1}


async def test_open_sockets_are_counted(emulator: Emulator, ws: Socket) -> None:
    """A handshake counts as 101 at once, and the socket while it is open; leaving it ends what it runs."""
    await begin(ws, "1", ENDLESS)
    await ws.receive_json()
    assert (emulator.stats().statuses, emulator.stats().websockets_open) == ({101: 1}, 1)
    await ws.close()
    await until(lambda: emulator.stats().websockets_open == 0)


async def test_a_client_that_drops_the_connection_is_forgotten(
    emulator: Emulator, api: ClientSession, ws: Socket
) -> None:
    """A connection that breaks while results stream leaves no operation behind."""
    await begin(ws, "1", "subscription { clock(interval: 0, count: 10000) { index } }")
    await ws.receive_json()
    await api.close()
    await until(lambda: emulator.stats().websockets_open == 0)
