"""The journal: what was asked, how it was answered, with which token, and why so."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientSession
from yarl import URL

from exterview_auth.emulator import Emulator, JournalRecord, _app
from exterview_auth.emulator._graphql.websocket import PROTOCOL
from tests.kit.api import until
from tests.kit.emulator import LOGIN, SMOKE, answer, credentials, log_in, smoke


def fingerprint(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:8]


def fields(record: JournalRecord) -> tuple[Any, ...]:
    return record.method, record.path, record.operation, record.status, record.fingerprint, record.reason, record.login


async def query(emulator: Emulator, http: ClientSession, text: str, token: str, **more: Any) -> Any:
    body = {"query": text, **more}
    return (await answer(http.post(emulator.endpoint, json=body, headers=credentials(emulator, token)))).body


async def test_a_login_and_its_requests_tell_their_token(emulator: Emulator, http: ClientSession) -> None:
    """A login has the fingerprint of the token that it issued, and each request that of the token which it carried."""
    before = datetime.now(UTC)
    token = (await log_in(emulator, http)).content["data"]["login"]["token"]
    await query(emulator, http, "query Jobs { jobs { title } }", token)
    emulator.revoke()
    await query(emulator, http, "{ jobs { title } }", token)
    login, jobs, refused = emulator.journal
    assert fields(login) == ("POST", "/graphql", "Login", 200, fingerprint(token), None, True)
    assert fields(jobs) == ("POST", "/graphql", "Jobs", 200, fingerprint(token), None, False)
    assert fields(refused) == (
        "POST",
        "/graphql",
        "jobs",
        401,
        fingerprint(token),
        "The bearer token was revoked",
        False,
    )
    assert before <= login.time <= jobs.time <= refused.time <= datetime.now(UTC)
    assert [one.number for one in (login, jobs)] == [1, 2]
    assert 0 < login.seconds < 60
    with pytest.raises(FrozenInstanceError):
        login.status = 500  # type: ignore[misc]  # that it cannot be assigned is the rule


async def test_each_refusal_says_why(emulator: Emulator, http: ClientSession) -> None:
    """The reason is the refusal's sentence; of a revoked token it says what the API does not."""
    token = emulator.issue_token()
    await smoke(emulator, http, "never issued")
    emulator.expire()
    await smoke(emulator, http, token)
    await answer(http.post(emulator.endpoint, json=SMOKE, headers={**credentials(emulator), "x-api-key": "wrong"}))
    await answer(http.post(emulator.endpoint, json=SMOKE))
    emulator.refuse(1, status=500)
    await smoke(emulator, http)
    restricted = {**credentials(emulator), "x-api-key": emulator.restricted_api_key}
    await answer(http.post(emulator.endpoint, json=SMOKE, headers=restricted))
    await answer(http.put(emulator.endpoint, json=SMOKE, headers=credentials(emulator)))
    assert [(one.status, one.reason) for one in emulator.journal] == [
        (401, "Invalid bearer token"),
        (401, "The bearer token has expired"),
        (401, "Invalid API key"),
        (400, "The x-api-key header is missing"),
        (500, "Requests are refused for the moment"),
        (403, "This API key lacks the permission for this operation"),
        (405, "/graphql takes POST only"),
    ]


async def test_a_request_that_is_refused_for_another_reason_tells_its_token(
    emulator: Emulator, http: ClientSession
) -> None:
    """It was sent with that token, though its API key is wrong or missing, or its path is none of the API's."""
    token = emulator.issue_token()
    bearer = {"Authorization": f"bearer  {token} "}
    for headers in (bearer, {**bearer, "x-api-key": "wrong"}):
        await answer(http.post(emulator.endpoint, json=SMOKE, headers=headers))
    await answer(http.get(emulator.page + "elsewhere", headers=bearer))
    await answer(http.post(emulator.endpoint, json=SMOKE, headers={"Authorization": f"Basic {token}"}))
    found = [(one.status, one.fingerprint) for one in emulator.journal]
    assert found == [*((status, fingerprint(token)) for status in (400, 401, 404)), (400, None)]


async def test_a_login_that_is_refused_says_why(emulator: Emulator, http: ClientSession) -> None:
    """A wrong password is answered 200 by GraphQL, with the code as the reason; a failing login has its status."""
    await log_in(emulator, http, password="wrong")
    emulator.fail_logins(1, status=429)
    await log_in(emulator, http)
    assert [fields(one)[2:] for one in emulator.journal] == [
        ("Login", 200, None, "UNAUTHENTICATED", True),
        ("Login", 429, None, "Logins fail for the moment", True),
    ]


async def test_a_login_with_a_wrong_key_is_named(emulator: Emulator, http: ClientSession) -> None:
    """By its operation, like any request that is refused for its key; it does not count as a login. A body may say nothing."""
    wrong = {"x-api-key": "wrong", "Content-Type": "application/json"}
    for body in (json.dumps({"query": LOGIN}), "{", json.dumps({"query": SMOKE["query"]})):
        assert (await answer(http.post(emulator.endpoint, data=body, headers=wrong))).status == 401
    assert [fields(one)[2:] for one in emulator.journal] == [
        (operation, 401, None, "Invalid API key", False) for operation in ("Login", None, "__typename")
    ]
    assert emulator.stats().logins == 0


async def test_errors_of_graphql_give_their_code(emulator: Emulator, http: ClientSession) -> None:
    """At status 200 the reason is the first error's code, and never its message, which quotes the request."""
    token = emulator.issue_token()
    for text in (
        "{ nothing }",
        "{",
        "subscription S { clock { at } }",
        'mutation M { uploadResume(candidateId: "c", file: "f") { size } }',
    ):
        await query(emulator, http, text, token)
    await query(emulator, http, "query A { a } query B { b }", token, operationName="B")
    emulator.answer("Odd", errors=[{"message": "no", "extensions": {"code": "secret words"}}])
    await query(emulator, http, "query Odd { odd }", token)
    assert [(one.operation, one.status, one.reason) for one in emulator.journal] == [
        ("nothing", 200, "GRAPHQL_VALIDATION_FAILED"),
        (None, 200, "GRAPHQL_PARSE_FAILED"),
        ("S", 200, "BAD_REQUEST"),
        ("M", 200, "NOT_FOUND"),
        ("B", 200, "GRAPHQL_VALIDATION_FAILED"),
        ("Odd", 200, "The answer has GraphQL errors"),
    ]


async def test_other_ways_in_are_written_down_too(emulator: Emulator, http: ClientSession, api: ClientSession) -> None:
    """OAuth logins by their grant, uploads, multipart requests, and a WebSocket when it is opened."""
    client = {"client_id": emulator.client_id, "client_secret": emulator.client_secret}
    issued = await answer(http.post(emulator.token_endpoint, data={"grant_type": "client_credentials", **client}))
    await answer(http.post(emulator.token_endpoint, data={"grant_type": "my password", **client}))
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("jobId", "j")
    await answer(api.post("/bulk-upload-resumes", data=form))
    operations = {"operations": '{"query": "query Named { jobs { title } }"}', "map": "{}"}
    multipart = aiohttp.FormData(operations, default_to_multipart=True)
    await answer(api.post("/graphql", data=multipart))
    async with api.ws_connect("/graphql", protocols=[PROTOCOL]):
        await until(lambda: len(emulator.journal) == 5)
        assert emulator.stats().requests_running == 0
    assert [(one.path, one.operation, one.status, one.login) for one in emulator.journal] == [
        ("/oauth/token", "client_credentials", 200, True),
        ("/oauth/token", None, 400, True),
        ("/bulk-upload-resumes", "bulk-upload", 400, False),
        ("/graphql", "Named", 200, False),
        ("/graphql", None, 101, False),
    ]
    assert emulator.journal[0].fingerprint == fingerprint(issued.content["access_token"])
    assert emulator.journal[1].reason == "unsupported_grant_type"
    assert emulator.stats().requests == 5


async def test_a_client_that_goes_away_leaves_a_record(emulator: Emulator, http: ClientSession) -> None:
    """Its request has no status, and the reason says so."""
    emulator.silence(3600)
    login = asyncio.create_task(log_in(emulator, http))
    await until(lambda: emulator.stats().logins_running == 1)
    assert emulator.stats().requests_running == 1
    login.cancel()
    await until(lambda: len(emulator.journal) == 1)
    reason = "The client closed the connection before it was answered"
    assert fields(emulator.journal[0]) == ("POST", "/graphql", "Login", None, None, reason, True)
    assert (emulator.stats().requests_running, emulator.stats().statuses) == (0, {})


async def test_a_failure_of_the_emulator_itself_is_written_down(
    emulator: Emulator, api: ClientSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its status 500 is counted like any other, and the record says where the traceback is."""

    async def fail(*_arguments: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(_app, "answer_graphql", fail)
    async with api.post("/graphql", json=SMOKE) as response:
        assert response.status == 500
    assert (emulator.stats().statuses, emulator.stats().requests_running) == ({500: 1}, 0)
    assert (emulator.journal[-1].status, emulator.journal[-1].reason) == (500, _app.INTERNAL_ERROR)
    assert "ZeroDivisionError" in caplog.text


async def test_the_last_records_are_kept(
    emulator: Emulator, http: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are 1000 at most; the oldest are forgotten first, and the counters count all."""
    for number in range(1010):
        emulator._state.journal.add_request(
            method="POST",
            path="/graphql",
            operation=str(number),
            status=200,
            fingerprint=None,
            reason=None,
            seconds=0.0,
            login=False,
        )
    assert [one.operation for one in emulator.journal] == [str(number) for number in range(10, 1010)]


async def test_looking_is_not_counted(emulator: Emulator, http: ClientSession) -> None:
    """The page, the numbers, the journal and the events stand in neither counters nor journal."""
    for path in ("", "stats", "journal", "events", "controls/nothing"):
        async with http.get(emulator.page + path):
            pass
    assert (emulator.stats().requests, emulator.stats().statuses, emulator.journal) == (0, {}, ())


async def test_a_path_that_there_is_not_is_written_down(emulator: Emulator, http: ClientSession) -> None:
    """Its 404 is counted, and the record has the path, on one line and without a credential."""
    key = emulator.api_key
    for path in (
        "ats/jobs?a=b",
        "a%0Ab",
        f"keys/{key}",
        f"keys/{key.replace('_', '%5F')}",
        "x" * 500,
        "controls",
        "%C3%A4",
    ):
        refused = await answer(http.get(URL(emulator.page + path, encoded=True)))
        assert refused.status == 404
    assert [one.path for one in emulator.journal] == [
        *("/ats/jobs", "/a%0Ab", "***", "***", f"/{'x' * 78}…", "/controls", "/%C3%A4"),
    ]
    assert {(one.status, one.operation, one.reason) for one in emulator.journal} == {
        (404, None, "The API has no such path")
    }
    assert emulator.stats().statuses == {404: 7}


async def test_the_journal_is_served_as_json(emulator: Emulator, http: ClientSession) -> None:
    """`GET /journal` is a list, the oldest first, with the fields of the records."""
    token = emulator.issue_token()
    await smoke(emulator, http, token)
    status, (record,), _ = await answer(http.get(f"{emulator.page}journal"))
    assert status == 200
    assert datetime.fromisoformat(record.pop("time")).tzinfo is not None
    assert 0 < record.pop("seconds") < 60
    told = {"number": 1, "method": "POST", "path": "/graphql", "operation": "__typename", "status": 200}
    assert record == {**told, "fingerprint": fingerprint(token), "reason": None, "login": False}


async def test_no_secret_is_written_down(emulator: Emulator, http: ClientSession) -> None:
    """Wherever a client puts a credential, no journal, event, number or page shows it."""
    emulator._state.accounts.client_secret = "client_secret_without_signs"
    token = emulator.issue_token()
    key = emulator.rotate_api_key()
    emulator._state.accounts.adopt("key_without_signs", None, "password_without_signs")
    secrets = [token, key, emulator.api_key, emulator.password, emulator.client_secret, emulator.restricted_api_key]
    for secret in ("key_without_signs", "password_without_signs", "client_secret_without_signs"):
        await query(emulator, http, f"query a{secret}b {{ jobs {{ title }} }}", token)
        await query(emulator, http, f"{{ {secret} }}", token)
        emulator.answer(secret, data={})
    for secret in secrets:
        await answer(http.post(f"{emulator.endpoint}?token={secret}", json=SMOKE, headers={"x-api-key": secret}))
        await query(emulator, http, "{ jobs { title } }", token, operationName=secret)
        await query(emulator, http, SMOKE["query"], secret)
        await answer(http.post(emulator.token_endpoint, data={"grant_type": secret, "username": secret}))
        parts = {"operations": '{"query": "{ jobs { id } }"}', "map": json.dumps({secret: [f"variables.{secret}"]})}
        for more in ({}, {secret: "x"}):
            multipart = aiohttp.FormData({**parts, **more}, default_to_multipart=True)
            sent = await answer(http.post(emulator.endpoint, data=multipart, headers=credentials(emulator, token)))
            assert sent.status == 400
    await log_in(emulator, http)
    emulator.fail_logins(1, retry_after=token)
    async with http.get(f"{emulator.page}events") as stream:
        shown = ""
        while "event: state" not in shown:
            shown += (await stream.content.readany()).decode()
    for path in ("journal", "stats", ""):
        async with http.get(emulator.page + path) as response:
            shown += await response.text()
    shown += repr(emulator.journal) + repr(emulator)
    assert "***" in shown
    assert [secret for secret in secrets if secret in shown] == []


async def test_a_long_name_is_cut(emulator: Emulator, http: ClientSession) -> None:
    """A name of any length takes one line."""
    await query(emulator, http, f"query {'N' * 500} {{ jobs {{ title }} }}", emulator.issue_token())
    assert emulator.journal[0].operation == "N" * 79 + "…"


async def test_whatever_was_issued_is_hidden_in_a_name(
    emulator: Emulator, http: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bearer and refresh tokens, used, revoked or forgotten ones too, and a key that was rotated away."""
    drawn = iter("TUVWXYZ")
    monkeypatch.setattr("secrets.token_urlsafe", lambda _size: next(drawn) * 43)  # random ones are seldom GraphQL names
    emulator._state.accounts.adopt("key_of_ones_own", None, None)
    client = {"client_id": emulator.client_id, "client_secret": emulator.client_secret}
    form = {"grant_type": "password", "username": emulator.email, "password": emulator.password, **client}
    granted = (await answer(http.post(emulator.token_endpoint, data=form))).content
    used = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"], **client}
    renewed = (await answer(http.post(emulator.token_endpoint, data=used))).content
    issued = [one[kind] for one in (granted, renewed) for kind in ("access_token", "refresh_token")]
    issued += [emulator.issue_token(), emulator.api_key]
    emulator.rotate_api_key()
    emulator.reset()
    for credential in issued:
        for name in (f"Get{credential}", f"{'x' * 79}{credential}"):
            await query(emulator, http, f"query {name} {{ jobs {{ title }} }}", "dead")
    assert [one.operation for one in emulator.journal] == ["***"] * 12


async def test_a_name_of_a_million_characters_is_looked_at_in_no_time(emulator: Emulator, http: ClientSession) -> None:
    """Only what is shown of it is searched for tokens, however many were issued."""
    for _ in range(20_000):
        emulator.issue_token()
    begun = time.perf_counter()
    emulator.answer("x" * 1_000_000, data={})
    assert time.perf_counter() - begun < 1.0


async def test_counters_and_journal_tell_the_same_story(emulator: Emulator, http: ClientSession) -> None:
    """After any requests, the statuses of the records are those that were counted."""
    emulator.refuse(3)
    await asyncio.gather(*(smoke(emulator, http) for _ in range(10)), *(log_in(emulator, http) for _ in range(2)))
    statuses = [one.status for one in emulator.journal]
    assert {status: statuses.count(status) for status in set(statuses)} == emulator.stats().statuses == {200: 9, 401: 3}
    assert emulator.stats().logins == sum(one.login for one in emulator.journal) == 2
