"""``GET /events``: what happens, as it happens, and how a stream goes on where it was cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from aiohttp import ClientResponse, ClientSession

from exterview_auth.emulator import Emulator, _emulator, _events
from tests.kit.api import until
from tests.kit.emulator import answer, log_in, smoke


class Event(NamedTuple):
    """One event of a stream."""

    kind: str
    number: str
    data: Any


async def read(response: ClientResponse) -> AsyncIterator[Event]:
    """Yield the events of a stream, as a browser does (HTML standard, section 9.2.6)."""
    fields: dict[str, str] = {}
    async for line in response.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif "data" in fields:
            yield Event(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
            fields = {}


@asynccontextmanager
async def stream(
    emulator: Emulator, http: ClientSession, query: str = "", **headers: str
) -> AsyncIterator[AsyncIterator[Event]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.get(f"{emulator.page}events{query}", headers=named) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        yield read(response)


async def take(events: AsyncIterator[Event], *kinds: str) -> list[Event]:
    """Return the next events of *kinds*, one for each, in this order; others are skipped."""
    found: list[Event] = []
    async with asyncio.timeout(30):
        while len(found) < len(kinds):
            event = await anext(events)
            if event.kind in kinds:
                assert event.kind == kinds[len(found)], event
                found.append(event)
    return found


async def test_what_happened_and_what_happens_is_told(emulator: Emulator, http: ClientSession) -> None:
    """A stream begins with what the journal has, and goes on with requests and controls as they come, each with its number."""
    await smoke(emulator, http)
    async with stream(emulator, http) as events:
        journal, first, state = await take(events, "journal", "request", "state")
        run = journal.data["run"]
        assert journal.data == {"run": run, "missed": 0}
        assert (first.number, first.data["operation"], first.data["status"]) == (f"{run}-1", "__typename", 200)
        assert state.data["stats"]["requests"] == 1
        emulator.refuse(1, status=500)
        await smoke(emulator, http)
        control, request = await take(events, "control", "request")
    assert (control.number, control.data["control"]) == (f"{run}-2", "refuse")
    assert control.data["arguments"] == {"times": 1, "status": 500}
    assert (request.number, request.data["status"]) == (f"{run}-3", 500)


async def test_the_state_shows_what_is_the_case(emulator: Emulator, http: ClientSession) -> None:
    """Counters, times, faults, logins in flight, and tokens by fingerprint with what remains of their lives."""
    emulator.issue_token()
    emulator.revoke()
    emulator.issue_token()
    emulator.expire()
    emulator.token_lifetime = 60
    emulator.latency = 0.01
    emulator.issue_token()
    emulator.fail_logins(2, retry_after="Fri, 31 Dec 2027 23:59:59 GMT")
    emulator.refuse(3)
    emulator.silence(3600)
    login = asyncio.create_task(log_in(emulator, http))
    await until(lambda: emulator.stats().logins_running == 1)
    async with stream(emulator, http) as events:
        *_, (_, _, state) = await take(
            events, "control", "control", "control", "control", "control", "control", "control", "state"
        )
    emulator.silence(0)
    assert (await login).status == 503
    assert state["times"] == {"token_lifetime": 60, "login_delay": 0, "latency": 0.01}
    assert (state["faults"]["fail_logins"], state["faults"]["refuse"]) == (2, 3)
    assert 3500 < state["faults"]["silence"] <= 3600
    assert [(one["state"], one["lifetime"]) for one in state["tokens"]] == [
        ("valid", 60),
        ("expired", 3600),
        ("revoked", 3600),
    ]
    assert 0 < state["tokens"][0]["remaining"] <= 60
    assert state["tokens"][1]["remaining"] == 0
    assert (len(state["logins"]), state["tokens_known"]) == (1, 3)
    assert len(state["api_key"]) == 8


async def test_a_stream_goes_on_where_it_was_cut(emulator: Emulator, http: ClientSession) -> None:
    """With `Last-Event-ID`, or `after` in the URL, only what came later is sent."""
    for _ in range(3):
        await smoke(emulator, http)
    run = emulator._state.journal.run
    for options in ({"Last_Event_ID": f"{run}-2"}, {"query": f"?after={run}-2"}):
        async with stream(emulator, http, **options) as events:
            first, _ = await take(events, "request", "state")
        assert first.number == f"{run}-3"


@pytest.mark.parametrize("last", ["other-2", "{run}-4", "{run}-", "{run}-x", "{run}--1", "{run}-²", "nonsense", "-"])
async def test_an_id_of_another_run_begins_anew(emulator: Emulator, http: ClientSession, last: str) -> None:
    """An id that this journal has not given leads to all that it has."""
    for _ in range(3):
        await smoke(emulator, http)
    run = emulator._state.journal.run
    async with stream(emulator, http, Last_Event_ID=last.replace("{run}", run).encode().decode("latin-1")) as events:
        _, first = await take(events, "journal", "request")
    assert first.number == f"{run}-1"


async def test_an_id_of_thousands_of_digits_begins_anew(emulator: Emulator, http: ClientSession) -> None:
    """No client makes the server fail with an id that no journal has given."""
    await smoke(emulator, http)
    async with stream(emulator, http, f"?after={emulator._state.journal.run}-{'9' * 5000}") as events:
        assert [one.kind for one in await take(events, "journal", "request")] == ["journal", "request"]


async def test_a_reset_begins_another_journal(emulator: Emulator, http: ClientSession) -> None:
    """The stream says so, and goes on with what comes after the reset."""
    await smoke(emulator, http)
    async with stream(emulator, http) as events:
        before, _ = await take(events, "journal", "request")
        emulator.reset()
        after, control = await take(events, "journal", "control")
    assert after.data["run"] != before.data["run"]
    assert (control.number, control.data["control"]) == (f"{after.data['run']}-1", "reset")


async def test_a_slow_stream_is_told_what_it_missed(emulator: Emulator, http: ClientSession) -> None:
    """The journal is bounded, so what came and went between two looks is counted."""
    for _ in range(1010):
        emulator._state.journal.add_request(
            method="POST",
            path="/graphql",
            operation=None,
            status=200,
            fingerprint=None,
            reason=None,
            seconds=0.0,
            login=False,
        )
    async with stream(emulator, http) as events:
        journal, first = await take(events, "journal", "request")
    assert journal.data["missed"] == 10
    assert first.number.endswith("-11")


async def test_a_quiet_stream_shows_life(
    emulator: Emulator, http: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing happens the state is sent again and again, so that a page knows that its numbers are not old."""
    monkeypatch.setattr(_events, "HEARTBEAT", 0.2)
    async with stream(emulator, http) as events:
        begun = time.monotonic()
        states = await take(events, "state", "state", "state")
    assert time.monotonic() - begun > 0.3
    assert len({json.dumps(one.data) for one in states}) == 1


async def test_the_emulator_stops_at_once_with_streams_open(
    http: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No stream holds the stop up, however long that would wait for one, and each one ends."""
    monkeypatch.setattr(_emulator, "_SHUTDOWN_SECONDS", 3600)
    emulator = await Emulator().start()
    async with stream(emulator, http) as one, stream(emulator, http) as two:
        await take(one, "journal", "state")
        await take(two, "journal", "state")
        begun = time.monotonic()
        await emulator.stop()
        assert time.monotonic() - begun < 60
        assert [event async for event in one] == [event async for event in two] == []


async def test_streams_are_limited(emulator: Emulator, http: ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stream too many is refused with a sentence; one that has ended makes room."""
    monkeypatch.setattr(_events, "MOST_STREAMS", 1)
    async with stream(emulator, http) as events:
        await take(events, "journal")
        refused = await answer(http.get(f"{emulator.page}events"))
        assert refused.body == (503, {"error": "There are 1 streams already; close a page"})
        assert refused.headers["Retry-After"] == "5"

    async def is_free() -> bool:
        async with http.get(f"{emulator.page}events") as response:
            return response.status == 200

    async with asyncio.timeout(30):
        while not await is_free():  # noqa: ASYNC110 - the server ends the other stream when it notices
            await asyncio.sleep(0.01)


async def test_a_stuck_client_holds_nothing_up(emulator: Emulator) -> None:
    """A client that reads nothing gets no memory of its own, and the emulator answers others and stops."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(emulator.page.split(":")[2].strip("/")))
    writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readline()
    reader._transport.pause_reading()  # type: ignore[attr-defined]  # nothing else stops a client from reading
    async with ClientSession() as http:
        for _ in range(30):
            for number in range(100):
                emulator.answer(f"Operation{number}", data={})
            assert await smoke(emulator, http) == 200
    begun = time.monotonic()
    await emulator.stop()
    assert time.monotonic() - begun < 60
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
