"""Canned answers: what a test lets the emulator say to an operation of its own."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import ClientSession

from exterview_auth import AuthSession, ExterviewAuth, GraphQLError, PasswordLogin
from exterview_auth.emulator import Emulator
from exterview_auth.emulator._graphql.websocket import PROTOCOL
from exterview_auth.errors import ConfigurationError
from tests.kit.emulator import answer, credentials, log_in


async def ask(emulator: Emulator, http: ClientSession, text: str, **more: Any) -> Any:
    body = {"query": text, **more}
    return (await answer(http.post(emulator.endpoint, json=body, headers=credentials(emulator)))).content


async def test_an_operation_of_ones_own_is_answered(emulator: Emulator, http: ClientSession) -> None:
    """The schema need not know its fields; others are answered as before."""
    emulator.answer("OpenRoles", data={"roles": ["Engineer"]})
    assert await ask(emulator, http, "query OpenRoles($a: Int) { roles(first: $a) }") == {
        "data": {"roles": ["Engineer"]}
    }
    both = "query OpenRoles { roles } query Organization { organization { name } }"
    assert (await ask(emulator, http, both, operationName="OpenRoles"))["data"] == {"roles": ["Engineer"]}
    assert (await ask(emulator, http, both, operationName="Organization")).keys() == {"errors"}
    assert "data" in await ask(emulator, http, "query Organization { organization { name } }")


async def test_an_operation_without_a_name_is_answered_by_its_first_field(
    emulator: Emulator, http: ClientSession
) -> None:
    """The name is the one that the journal shows."""
    emulator.answer("weather", data=None)
    assert await ask(emulator, http, "{ weather }") == {"data": None}
    assert emulator.journal[-1].operation == "weather"
    assert (await ask(emulator, http, "{ ... on Query { weather } }")).keys() == {"errors"}
    assert emulator.journal[-1].operation is None


async def test_errors_are_messages_or_objects(emulator: Emulator, http: ClientSession) -> None:
    """A message becomes an error, an object is sent as it is, and data may stand beside them."""
    full = {"message": "no", "extensions": {"code": "FORBIDDEN"}}
    emulator.answer("A", errors=("busy", full))
    assert await ask(emulator, http, "query A { a }") == {"errors": [{"message": "busy"}, full]}
    emulator.answer("A", data={"a": 1}, errors=["half"])
    assert await ask(emulator, http, "query A { a }") == {"data": {"a": 1}, "errors": [{"message": "half"}]}
    emulator.answer("A", data={"a": 2}, errors=None)
    assert await ask(emulator, http, "query A { a }") == {"data": {"a": 2}}


async def test_an_answer_is_taken_back(emulator: Emulator, http: ClientSession) -> None:
    """Without data and errors the engine answers again; taking back what was not given is fine."""
    emulator.answer("Jobs", data={})
    emulator.answer("Jobs")
    emulator.answer("Jobs")
    assert "jobs" in (await ask(emulator, http, "query Jobs { jobs { title } }"))["data"]


async def test_later_changes_of_the_data_change_no_answer(emulator: Emulator, http: ClientSession) -> None:
    """What was given is copied."""
    data: dict[str, Any] = {"a": [1]}
    emulator.answer("A", data=data)
    data["a"].append(2)
    assert await ask(emulator, http, "query A { a }") == {"data": {"a": [1]}}


async def test_a_canned_operation_needs_credentials_like_any_other(emulator: Emulator, http: ClientSession) -> None:
    """A dead token is answered 401, whatever was prepared."""
    emulator.answer("A", data={})
    headers = credentials(emulator, "dead")
    refused = await answer(http.post(emulator.endpoint, json={"query": "query A { a }"}, headers=headers))
    assert refused.status == 401


async def test_a_login_may_have_a_canned_answer(emulator: Emulator, http: ClientSession) -> None:
    """It needs no token, and counts and fails as a login."""
    emulator.answer("Login", data={"login": {"token": "made-up", "expiresIn": 5}})
    emulator.fail_logins(1)
    assert (await log_in(emulator, http)).status == 503
    assert (await log_in(emulator, http)).content["data"]["login"]["token"] == "made-up"
    assert emulator.stats().logins == 2


async def test_a_socket_gives_the_canned_answer_too(emulator: Emulator, api: ClientSession) -> None:
    """A query and a subscription of that name have one result, and complete."""
    emulator.answer("Ticks", data={"tick": 1})
    emulator.answer("Broken", errors=["no"])
    async with api.ws_connect("/graphql", protocols=[PROTOCOL]) as ws:
        await ws.send_json({"type": "connection_init"})
        await ws.receive_json()
        for kind in ("subscription", "query"):
            await ws.send_json({"id": "1", "type": "subscribe", "payload": {"query": f"{kind} Ticks {{ tick }}"}})
            assert await ws.receive_json() == {"id": "1", "type": "next", "payload": {"data": {"tick": 1}}}
            assert await ws.receive_json() == {"id": "1", "type": "complete"}
        await ws.send_json({"id": "2", "type": "subscribe", "payload": {"query": "subscription Broken { a }"}})
        assert await ws.receive_json() == {"id": "2", "type": "error", "payload": [{"message": "no"}]}


async def test_the_library_meets_the_canned_error(emulator: Emulator, http: ClientSession) -> None:
    """What an application does about an error of its own is tried with one line."""
    emulator.answer("A", errors=[{"message": "Quota exceeded", "extensions": {"code": "QUOTA"}}])
    login = PasswordLogin(emulator.email, emulator.password)
    async with ExterviewAuth(login, api_key=emulator.api_key, endpoint=emulator.endpoint) as auth:
        with pytest.raises(GraphQLError, match="Quota exceeded"):
            await AuthSession(http, auth).graphql("query A { a }")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"operation_name": ""}, "operation_name is empty"),
        ({"operation_name": None}, "operation_name must be text, not NoneType"),
        ({"data": {1, 2}}, "data must be what JSON can hold, not set"),
        ({"data": float("nan")}, "data must be what JSON can hold, not float"),
        ({"errors": "busy"}, "errors must be a list of GraphQL errors or of their messages, not empty"),
        ({"errors": {}}, "errors must be a list"),
        ({"errors": []}, "errors must be a list"),
        ({"errors": [1]}, "each of the errors must be its message, or an object that has one under 'message'"),
        ({"errors": [{"message": 1}]}, "each of the errors must be"),
        ({"errors": [{"message": "m", "extensions": "text"}]}, "the extensions of an error must be an object, such as"),
        ({"errors": ["m", {"message": "m", "extensions": []}]}, "the extensions of an error must be an object"),
        ({"errors": [{"message": "m", "extensions": {1, 2}}]}, "errors must be what JSON can hold, not list"),
    ],
)
def test_a_wrong_answer_is_named(arguments: dict[str, Any], sentence: str) -> None:
    """What cannot be sent is refused when it is given, and not when the request comes."""
    with pytest.raises(ConfigurationError, match=sentence):
        Emulator().answer(**{"operation_name": "A", **arguments})
