"""The controls as an HTTP API, for other processes and for the page."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from typing import Any

import pytest
from aiohttp import ClientSession

from exterview_auth.emulator import Emulator
from tests.kit.api import until
from tests.kit.emulator import SMOKE, Answer, answer, credentials, log_in, smoke


async def use(emulator: Emulator, http: ClientSession, control: str, **arguments: Any) -> Answer:
    return await answer(http.post(f"{emulator.page}controls/{control}", json=arguments))


async def test_tokens_and_the_key_are_controlled_by_path(emulator: Emulator, http: ClientSession) -> None:
    """`revoke` and `expire` end tokens, and `rotate-api-key` answers with the new key, which nothing may store."""
    token = emulator.issue_token()
    assert (await use(emulator, http, "revoke")).body == (200, {"control": "revoke"})
    assert await smoke(emulator, http, token) == 401
    headers = credentials(emulator)
    assert (await use(emulator, http, "expire")).status == 200
    refused = await answer(http.post(emulator.endpoint, json={"query": "{ __typename }"}, headers=headers))
    assert refused.content == {"error": "The bearer token has expired"}
    old = emulator.api_key
    rotated = await use(emulator, http, "rotate-api-key")
    assert rotated.body == (200, {"control": "rotate-api-key", "api_key": emulator.api_key})
    assert rotated.headers["Cache-Control"] == "no-store"
    assert emulator.api_key != old


async def test_faults_are_controlled_by_path(emulator: Emulator, http: ClientSession) -> None:
    """`fail-logins`, `refuse` and `silence` take the arguments of the methods."""
    await use(emulator, http, "fail-logins", times=1, status=429, retry_after=1.5)
    refused = await log_in(emulator, http)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1.5")
    await use(emulator, http, "fail-logins", times=1)
    assert (await log_in(emulator, http)).status == 503
    await use(emulator, http, "refuse", times=1, status=429, retry_after=7)
    limited = await answer(http.post(emulator.endpoint, json=SMOKE, headers=credentials(emulator)))
    assert (limited.status, limited.headers["Retry-After"]) == (429, "7")
    await use(emulator, http, "refuse", times=1, status=500)
    await use(emulator, http, "refuse", times=1)
    assert [await smoke(emulator, http) for _ in range(2)] == [401, 200]
    await use(emulator, http, "silence", seconds=3600)
    login = asyncio.create_task(log_in(emulator, http))
    await until(lambda: emulator.stats().logins_running == 1)
    await use(emulator, http, "silence", seconds=0)
    assert (await login).status == 200


async def test_times_are_controlled_by_path(emulator: Emulator, http: ClientSession) -> None:
    """`latency`, `login-delay` and `token-lifetime` assign the attributes of these names."""
    for control, name in (("latency", "latency"), ("login-delay", "login_delay"), ("token-lifetime", "token_lifetime")):
        assert (await use(emulator, http, control, seconds=0.02)).status == 200
        assert getattr(emulator, name) == 0.02
    begun = time.monotonic()
    assert (await log_in(emulator, http)).content["data"]["login"]["expiresIn"] == 0.02
    assert time.monotonic() - begun > 0.03


async def test_an_answer_is_given_by_path(emulator: Emulator, http: ClientSession) -> None:
    """`answer` takes the operation's name, data and errors, and without both takes the answer back."""
    question = {"query": "query Weather { sun }"}
    await use(emulator, http, "answer", operation_name="Weather", data={"sun": True}, errors=["cloudy"])
    shown = await answer(http.post(emulator.endpoint, json=question, headers=credentials(emulator)))
    assert shown.body == (200, {"data": {"sun": True}, "errors": [{"message": "cloudy"}]})
    await use(emulator, http, "answer", operation_name="Weather")
    unknown = await answer(http.post(emulator.endpoint, json=question, headers=credentials(emulator)))
    assert "data" not in unknown.content


async def test_reset_by_path_is_as_new(emulator: Emulator, http: ClientSession) -> None:
    """`reset` empties journal and counters, and the credentials still log in."""
    await log_in(emulator, http)
    await use(emulator, http, "reset")
    assert (emulator.journal, emulator.stats().requests) == ((), 0)
    assert (await log_in(emulator, http)).status == 200


def body_of(sent: Any) -> bytes:
    return sent if isinstance(sent, bytes) else json.dumps(sent).encode()


OBJECT = "The body must be a JSON object"
TYPE = "The Content-Type must be application/json; send {} where there is nothing to say"
NUMBER = "must be a number of seconds, zero or more, not"


@pytest.mark.parametrize(
    ("control", "sent", "status", "sentence"),
    [
        ("revoke", b"{", 400, OBJECT),
        ("revoke", b"\xff\xfe", 400, OBJECT),
        ("revoke", b"[" * 10_000, 400, OBJECT),
        ("revoke", [], 400, OBJECT),
        ("revoke", None, 400, OBJECT),
        ("revoke", {"times": 1}, 400, "revoke takes no arguments"),
        ("refuse", {"time": 1}, 400, "refuse takes times, status, retry_after, and nothing else"),
        ("fail-logins", {}, 400, "fail-logins needs times"),
        ("refuse", {"times": "3"}, 400, "times must be a whole number, zero or more, not '3'"),
        ("refuse", {"times": 1.5}, 400, "times must be a whole number, zero or more, not 1.5"),
        ("refuse", {"times": True}, 400, "times must be a whole number, zero or more, not True"),
        ("refuse", {"times": -1}, 400, "times must be a whole number, zero or more, not -1"),
        ("refuse", {"times": None}, 400, "times must be a whole number, zero or more, not None"),
        ("refuse", {"times": 1, "status": 200}, 400, "status must be an HTTP error status from 400 to 599, not 200"),
        ("fail-logins", {"times": 1, "retry_after": -1}, 400, f"retry_after {NUMBER} -1"),
        ("refuse", {"times": 1, "retry_after": -1}, 400, f"retry_after {NUMBER} -1"),
        (
            "fail-logins",
            {"times": 1, "retry_after": "1\r\nSet-Cookie: a=b"},
            400,
            "retry_after must be a number of seconds or an HTTP date, in one line of ASCII text",
        ),
        ("silence", {"seconds": "soon"}, 400, f"silence {NUMBER} 'soon'"),
        ("latency", b'{"seconds": NaN}', 400, f"latency {NUMBER} nan"),
        ("latency", b'{"seconds": 1e999}', 400, f"latency {NUMBER} inf"),
        ("latency", {"seconds": []}, 400, f"latency {NUMBER} []"),
        ("latency", {}, 400, "latency needs seconds"),
        ("answer", {"operation_name": 1, "data": {}}, 400, "operation_name must be text, not int"),
        ("answer", {"operation_name": "A", "errors": []}, 400, "errors must be a list of GraphQL errors or of their messages, not empty"),
        ("reset", b"x" * 70_000, 413, "The body is larger than 65536 bytes"),
    ],
)  # fmt: skip
async def test_wrong_input_is_one_sentence(
    emulator: Emulator, control: str, sent: Any, status: int, sentence: str
) -> None:
    """Malformed JSON, wrong names, wrong types and a body that is too large are answered by one JSON sentence; nothing changes."""
    token, headers = emulator.issue_token(), {"Content-Type": "application/json"}
    url, before = f"{emulator.page}controls/{control}", emulator._state.faults.pending()
    async with ClientSession() as http:
        refused = await answer(http.post(url, data=body_of(sent), headers=headers))
        assert refused.body == (status, {"error": sentence})
        assert await smoke(emulator, http, token) == 200
    assert emulator._state.faults.pending() == before
    assert emulator.latency == 0


async def test_a_long_value_is_not_repeated_in_full(emulator: Emulator, http: ClientSession) -> None:
    """A sentence about a wrong value stays a sentence."""
    refused = await use(emulator, http, "latency", seconds="x" * 60_000)
    assert refused.status == 400
    assert len(refused.content["error"]) == 200


@pytest.mark.parametrize("control", ["nothing", "Revoke", "rotate_api_key", "__class__", "set-time", "a" * 1000])
async def test_an_unknown_control_lists_the_controls(emulator: Emulator, http: ClientSession, control: str) -> None:
    """A control that there is not is answered 404 with those that there are."""
    names = "revoke, expire, rotate-api-key, fail-logins, refuse, silence, latency, login-delay, token-lifetime, answer, reset"
    assert (await use(emulator, http, control)).body == (404, {"error": f"There is no such control; there are {names}"})


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
async def test_a_body_of_another_type_is_refused(emulator: Emulator, http: ClientSession, kind: str) -> None:
    """A website can send such types without asking first, so only JSON uses a control."""
    token = emulator.issue_token()
    for path in ("controls/revoke", "query"):
        refused = await answer(http.post(emulator.page + path, data=b"{}", headers={"Content-Type": kind}))
        assert refused.body == (415, {"error": TYPE})
    assert await smoke(emulator, http, token) == 200


async def test_json_may_have_parameters_and_be_empty(emulator: Emulator, http: ClientSession) -> None:
    """A charset is fine, and an empty body is one without arguments."""
    for body, kind in ((b"{}", "application/json; charset=utf-8"), (b"", "Application/JSON")):
        done = await answer(http.post(f"{emulator.page}controls/revoke", data=body, headers={"Content-Type": kind}))
        assert done.status == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "controls/revoke", "POST"),
        ("HEAD", "controls/revoke", "POST"),
        ("PUT", "controls/reset", "POST"),
        ("OPTIONS", "controls/reset", "POST"),
        ("GET", "query", "POST"),
        ("POST", "", "GET, HEAD"),
        ("POST", "stats", "GET, HEAD"),
        ("DELETE", "journal", "GET, HEAD"),
        ("POST", "events", "GET"),
        ("HEAD", "events", "GET"),
    ],
)
async def test_a_wrong_method_is_answered_405(
    emulator: Emulator, http: ClientSession, method: str, path: str, allowed: str
) -> None:
    """A link or an image changes nothing, and what is read cannot be written."""
    async with http.request(method, emulator.page + path) as response:
        assert (response.status, response.headers["Allow"]) == (405, allowed)
        if method != "HEAD":
            assert await response.json() == {"error": f"This path takes {allowed.partition(',')[0]} only"}


async def test_a_compressed_body_is_measured_unpacked(emulator: Emulator, http: ClientSession) -> None:
    """A small body that becomes a large one is refused, and one that cannot be unpacked is answered 400."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    url = f"{emulator.page}controls/reset"
    large = await answer(http.post(url, data=gzip.compress(b" " * 1_000_000), headers=headers))
    assert large.status == 413
    broken = await answer(http.post(url, data=b"no gzip", headers=headers))
    assert broken.status == 400


async def test_using_a_control_is_not_counted(emulator: Emulator, http: ClientSession) -> None:
    """Counters and journal are those of the API, which a control is not."""
    await use(emulator, http, "revoke")
    await use(emulator, http, "nothing")
    assert (emulator.stats().requests, emulator.stats().statuses, emulator.journal) == (0, {}, ())
