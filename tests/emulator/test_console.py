"""``POST /query``: the page's box for queries, whose client is the library itself."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientSession

from exterview_auth.emulator import Emulator, _console
from tests.kit.api import until
from tests.kit.emulator import Answer, answer


async def run(emulator: Emulator, http: ClientSession, query: Any, **more: Any) -> Answer:
    return await answer(http.post(f"{emulator.page}query", json={"query": query, **more}))


async def test_a_query_is_signed_and_answered(emulator: Emulator, http: ClientSession) -> None:
    """No credential is needed to ask; the library logs in once and signs."""
    for _ in range(2):
        status, content, _ = await run(emulator, http, "query Jobs { jobs { id } }")
        assert (status, content["status"]) == (200, 200)
        assert [one["id"] for one in content["answer"]["data"]["jobs"]] == list(emulator.job_ids)
        assert 0 < content["seconds"] < 60
    assert [(one.operation, one.status) for one in emulator.journal] == [("Login", 200), ("Jobs", 200), ("Jobs", 200)]


async def test_after_a_revocation_it_shows_what_the_library_does(emulator: Emulator, http: ClientSession) -> None:
    """A refusal, one login, and the query again; a rotated key is picked up in the same way."""
    await run(emulator, http, "query Jobs { jobs { id } }")
    emulator.revoke()
    emulator.rotate_api_key()
    assert (await run(emulator, http, "query Jobs { jobs { id } }")).content["status"] == 200
    assert [(one.operation, one.status) for one in emulator.journal[2:]] == [
        ("Jobs", 401),
        ("Login", 200),
        ("Jobs", 200),
    ]


async def test_variables_and_errors_come_through(emulator: Emulator, http: ClientSession) -> None:
    """Variables are sent, and what the API refuses is shown with its status."""
    query = "query One($id: String) { interviews(candidateId: $id) { id } }"
    shown = await run(emulator, http, query, variables={"id": "nobody"}, operationName="One")
    assert shown.content["answer"] == {"data": {"interviews": []}}
    assert "errors" in (await run(emulator, http, "{ nothing }")).content["answer"]
    emulator.refuse(5, status=403)
    refused = await run(emulator, http, "{ jobs { id } }")
    assert (refused.status, refused.content["status"]) == (200, 403)


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"query": ""}, "The query is missing"),
        ({"query": 1}, "The query is missing"),
        ({"query": "{ a }", "variables": []}, "The variables must be a JSON object"),
        ({"query": "{ a }", "operationName": 1}, "The operationName must be a string"),
        (
            {"query": 'mutation { login(email: "a", password: "b") { token } }'},
            "The box logs in by itself; the answer to a login has a token, which no page shows",
        ),
    ],
)
async def test_what_it_cannot_send_is_named(
    emulator: Emulator, http: ClientSession, sent: dict[str, Any], sentence: str
) -> None:
    """A malformed query and a login, whose answer would show a token, are refused before anything is sent."""
    refused = await answer(http.post(f"{emulator.page}query", json=sent))
    assert refused.body == (400, {"error": sentence})
    assert emulator.stats().requests == 0


async def test_a_failing_login_is_told_in_its_own_sentence(
    emulator: Emulator, http: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of the library is the answer, and shows no secret."""
    monkeypatch.setattr(_console, "LOGIN_SECONDS", 0.2)
    emulator.fail_logins(100)
    refused = await run(emulator, http, "{ jobs { id } }")
    assert refused.status == 502
    assert refused.content["error"]
    assert not any(secret in refused.content["error"] for secret in (emulator.password, emulator.api_key))


async def test_a_query_that_takes_too_long_is_given_up(
    emulator: Emulator, http: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever in front of a page."""
    await run(emulator, http, "{ jobs { id } }")
    monkeypatch.setattr(_console, "QUERY_SECONDS", 0.05)
    emulator.latency = 3600
    slow = await run(emulator, http, "{ jobs { id } }")
    assert slow.body == (504, {"error": "There was no answer within 0.05 s"})


async def test_the_emulator_stops_while_a_query_waits() -> None:
    """The client of the box ends with the emulator, and begins again with it."""
    before = asyncio.all_tasks()
    async with Emulator() as emulator, ClientSession() as http:
        await run(emulator, http, "{ jobs { id } }")
        emulator.latency = 3600
        waiting = asyncio.create_task(run(emulator, http, "{ jobs { id } }"))
        await until(lambda: emulator.stats().requests_running == 1)
        begun = time.monotonic()
        await emulator.stop()
        assert time.monotonic() - begun < 10
        ended = (await asyncio.gather(waiting, return_exceptions=True))[0]
        assert isinstance(ended, aiohttp.ClientError) or (isinstance(ended, Answer) and ended.status in {502, 504})
        emulator.latency = 0
        await emulator.start()
        assert (await run(emulator, http, "{ jobs { id } }")).content["status"] == 200
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
