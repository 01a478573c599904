"""What the doctor says of the key, the login and the token."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from aiohttp import web

from exterview_auth.emulator import Emulator
from tests.cli.doctor.examined import examined
from tests.kit.command import Answer
from tests.kit.tokens import jwt_of

NOT_EXAMINED = "warn not examined; mend what stands above first"


@pytest.mark.usefixtures("emulator")
def test_a_wrong_password_fails_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else: the key was not judged."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "wrong-4711")
    found = examined()
    assert found["login"].startswith(
        "fail the login was refused for this user: it answered 200, 'Invalid email or password'; correct"
    )
    assert found["key"] == found["token"] == NOT_EXAMINED
    assert found.code == 1
    assert "4711" not in found.text


@pytest.mark.usefixtures("emulator")
def test_a_wrong_key_fails_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the login is what met it."""
    monkeypatch.setenv("EXTERVIEW_API_KEY", "wrong-4711")
    found = examined()
    assert found["login"] == "warn refused because of the key; mend key first"
    assert found["key"].startswith(
        "fail the login was refused: the header x-api-key is not accepted (it answered 401, 'Invalid API key'); put a valid key into"
    )
    assert found["token"] == NOT_EXAMINED


def test_a_key_without_permission_fails_the_key(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The login works with it, and the token is fine."""
    monkeypatch.setenv("EXTERVIEW_API_KEY", emulator.restricted_api_key)
    found = examined()
    assert found["login"].startswith("ok ")
    assert found["key"].startswith("fail the API answered 403")
    assert found["token"] == "ok lives 60 min"


@pytest.mark.usefixtures("fixed_token")
def test_a_dead_bearer_token_fails_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a 401 about the token, so the key was not judged."""
    monkeypatch.setenv("EXTERVIEW_BEARER_TOKEN", "dead-4711")
    found = examined()
    assert found["login"] == "ok none: the token comes from EXTERVIEW_BEARER_TOKEN"
    assert found["token"].startswith("fail the API answered 401")
    assert "put a new token into EXTERVIEW_BEARER_TOKEN" in found["token"]
    assert found["key"] == NOT_EXAMINED
    assert "4711" not in found.text


@pytest.mark.usefixtures("fixed_token")
def test_a_wrong_key_beside_a_bearer_token_fails_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API says which of both it is."""
    monkeypatch.setenv("EXTERVIEW_API_KEY", "wrong-4711")
    assert examined()["key"].startswith(
        'fail the API answered 401 ("Invalid API key"): the header x-api-key is not accepted'
    )


@pytest.mark.usefixtures("fixed_token")
@pytest.mark.parametrize(
    ("left", "says"),
    [
        (3600, "ok lives 60 min"),
        (95, "ok lives 9"),
        (30, "warn lives "),
        (-30, "warn has expired by its own words; put a new token into EXTERVIEW_BEARER_TOKEN"),
    ],
)
def test_what_is_left_of_a_bearer_token_counts(
    left: int, says: str, serve: Callable[[Answer], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing renews it, so its last minute is a warning, also where the API still takes it."""

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"data": {"__typename": "Query"}})

    serve(answer)
    monkeypatch.setenv("EXTERVIEW_BEARER_TOKEN", jwt_of(exp=int(time.time()) + left))
    found = examined()
    assert found["token"].startswith(says)
    assert found.code == 0


@pytest.mark.usefixtures("fixed_token")
def test_an_api_that_breaks_after_the_login_fails(serve: Callable[[Answer], None]) -> None:
    """What comes is not an answer of the API."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=200 if request.method == "GET" else 503, text="<html>")

    serve(answer)
    found = examined("--timeout", "2")
    assert found["token"].startswith("fail the API answered 503")

    async def nonsense(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="x" * 10, headers={"Content-Encoding": "gzip"})

    serve(nonsense)
    found = examined("--timeout", "2")
    assert found.code == 1
    assert "fail" in {found.checks[name]["status"] for name in ("key", "connection")}
