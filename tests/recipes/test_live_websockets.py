"""The recipe for WebSockets that live longer than their token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import aiohttp
import pytest

from exterview_auth import AuthSession, CredentialsRejectedError, ExterviewAuth, GraphQLError
from exterview_auth.testing import Clock, ThreadedEmulator, expect
from tests.kit.api import until
from tests.kit.showing import assert_shows_none

from . import with_live_websockets
from .with_live_websockets import Subscriptions

pytestmark = pytest.mark.usefixtures("exterview_env")
TICKS = "subscription { clock(interval: 0.02, count: 100) { index } }"
FEW = "subscription ($count: Int) { clock(interval: 0, count: $count) { index } }"

Live = tuple[AuthSession, Subscriptions]


@pytest.fixture
async def live(exterview_env: Any) -> AsyncIterator[Live]:
    """What the recipe yields."""
    async with with_live_websockets.exterview() as opened:
        yield opened


async def test_the_program_runs_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the candidates and leaves nothing open."""
    await with_live_websockets.main()
    assert capsys.readouterr().out.count("'resumeScore'") == 3


async def test_a_subscription_that_ends_has_ended(live: Live, exterview: ThreadedEmulator) -> None:
    """All results come, once, with variables; then the iteration is over."""
    api, subscriptions = live
    indices = [each["data"]["clock"]["index"] async for each in subscriptions.subscribe(api, FEW, count=4)]
    assert indices == [0, 1, 2, 3]
    assert not subscriptions._open


async def test_handshakes_share_one_login(live: Live, exterview: ThreadedEmulator) -> None:
    """Twenty at once make one login at the start, and one after the token was revoked; nobody notices."""
    api, subscriptions = live

    async def number_of_results() -> int:
        return len([each async for each in subscriptions.subscribe(api, FEW, count=2)])

    for _ in range(2):
        with expect(exterview, logins=1):
            assert await asyncio.gather(*(number_of_results() for _ in range(20))) == [2] * 20
        exterview.revoke()


async def test_open_subscriptions_go_on_with_the_new_token(live: Live, exterview: ThreadedEmulator) -> None:
    """A renewal replaces each socket: three subscriptions go on, and the old sockets are closed."""
    api, subscriptions = live
    started, renewed = [asyncio.Event() for _ in range(3)], asyncio.Event()

    async def goes_on(has_started: asyncio.Event) -> int:
        """Return how many sockets the results came from until some came after the renewal: each begins with index 0."""
        begun, after = 0, 0
        async with aclosing(subscriptions.subscribe(api, TICKS)) as results:
            async for result in results:
                begun += result["data"]["clock"]["index"] == 0
                has_started.set()
                after += renewed.is_set() and begun == 2
                if after == 3:
                    break
        return begun

    tasks = [asyncio.create_task(goes_on(has_started)) for has_started in started]
    await asyncio.gather(*(each.wait() for each in started))
    old = exterview.journal[-1].fingerprint
    exterview.revoke()
    with expect(exterview, logins=1):
        assert await api.graphql("{ __typename }") == {"__typename": "Query"}  # it meets the 401
        renewed.set()
        assert await asyncio.gather(*tasks) == [2, 2, 2]
    handshakes = [each for each in exterview.journal if each.status == 101]
    assert [each.fingerprint == old for each in handshakes] == [True] * 3 + [False] * 3
    await until(lambda: exterview.stats().websockets_open == 0)


@pytest.mark.exterview(token_lifetime=600)
async def test_a_renewal_ahead_replaces_sockets_before_they_expire(
    exterview: ThreadedEmulator, exterview_clock: Clock
) -> None:
    """Nothing is refused: the token's end is known, and the next handshake has the next token."""
    subscriptions = Subscriptions()
    options: dict[str, Any] = {"on_token": subscriptions.on_token, "clock": exterview_clock}
    async with aiohttp.ClientSession() as http, ExterviewAuth.from_env(**options) as auth:
        begun = 0
        api = AuthSession(http, auth)
        with expect(exterview, logins=2, refused=0):
            async with aclosing(subscriptions.subscribe(api, TICKS)) as results:
                async for result in results:
                    if result["data"]["clock"]["index"] == 0:
                        begun += 1
                        if begun == 2:
                            break
                        exterview_clock.advance(590)
                        await api.graphql("{ __typename }")  # any request looks at the clock


async def test_a_socket_that_the_server_ends_is_an_error(live: Live, exterview: ThreadedEmulator) -> None:
    """It is not opened again and again: the caller decides."""
    api, subscriptions = live
    with pytest.raises(ConnectionResetError, match="closed with code 4400"):
        async for _ in subscriptions.subscribe(api, ""):
            pass
    assert not subscriptions._open


async def test_an_operation_that_is_refused_is_an_error(live: Live) -> None:
    """The API's errors are in it."""
    api, subscriptions = live
    with pytest.raises(GraphQLError) as caught:
        async for _ in subscriptions.subscribe(api, "subscription { clock(interval: -1) { index } }"):
            pass
    assert "interval" in caught.value.errors[0]["message"]


async def test_wrong_credentials_are_one_login_and_one_clear_error(
    exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The iteration raises it, and shows no secret."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "not-the-password")
    async with with_live_websockets.exterview() as (api, subscriptions):

        async def fails() -> CredentialsRejectedError:
            with pytest.raises(CredentialsRejectedError) as caught:
                await anext(subscriptions.subscribe(api, TICKS))
            return caught.value

        with expect(exterview, logins=1, requests=1):
            errors = await asyncio.gather(*(fails() for _ in range(10)))
    for error in errors:
        assert_shows_none(error, "not-the-password", exterview.api_key)
