"""The API misbehaves: a refusal is renewed once and sent again, and any other answer is the caller's."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import aiohttp

from exterview_auth import LoginBudgetExceededError, graphql_unauthenticated
from tests.kit.api import KEY

from ._raw_server import EARLY, REFUSAL, Act, Call, RawServer, garbage, status
from ._row import Outcome, Play, Row
from ._site import site
from ._stage import Met, Stage, crowd

PLACE = "API"
UPLOAD = b"resume " * 500_000
BUDGET = 3


def api(make: Callable[[RawServer], Act], *, revoked: bool = True, callers: int = 5, **options: Any) -> Play:
    """Return a scenario in which the API does this to refused requests, after every token was *revoked*; or to all."""

    async def play(stage: Stage) -> Outcome:
        at = await site(stage, **options)
        await at.warm()
        act = make(at.server)
        at.server.api = at.server.refusing(act) if revoked else act
        if revoked:
            at.server.tokens.clear()
        met = await at.met_by(callers)
        at.server.api = at.server.serve
        return await at.outcome(met)

    return play


async def refuses_for_ever(stage: Stage) -> Outcome:
    """Send one request after another, until no login is allowed; the last token is used as soon as it is good."""
    at = await site(stage, max_logins=(BUDGET, 60.0))
    await at.warm()
    at.server.api = status(401, REFUSAL)
    rounds = [await at.met_by(1) for _ in range(BUDGET + 3)]
    at.server.api = at.server.serve
    met = Met([got for met in rounds for got in met.got], max(met.seconds for met in rounds))
    return await at.outcome(met)


async def endless(call: Call) -> None:
    """Refuse with a body that has no end, and slowly for some."""
    await call.write(b"HTTP/1.1 401 X\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
    slow = b'"n": 0' in call.body
    while True:
        await call.write(b"3\r\nno \r\n" if slow else b"8000\r\n" + b" " * 0x8000 + b"\r\n")
        await asyncio.sleep(0.02 * slow)


async def refuses_without_end(stage: Stage) -> Outcome:
    """The body comes slowly, and as fast as possible."""
    at = await site(stage)
    await at.warm()
    at.server.tokens.clear()
    at.server.api = at.server.refusing(endless)
    return await at.outcome(await crowd(at.post(json={"n": number % 2}) for number in range(4)))


async def closes(call: Call) -> None:
    """Refuse, and close the connection."""
    await call.answer(401, REFUSAL, "Connection: close")
    call.writer.close()


async def refuses_in_mid_upload(stage: Stage) -> Outcome:
    """The server answers before it has read, and closes; the replay arrives whole."""
    at = await site(stage)
    await at.warm()
    arrived: list[int] = []

    async def measures(call: Call) -> None:
        arrived.append(len(call.body))
        await at.server.serve(call)

    at.server.tokens.clear()
    at.server.api = measures
    met = await crowd(at.post(EARLY, data=io.BytesIO(UPLOAD)) for _ in range(3))
    whole = arrived == [len(UPLOAD)] * 3
    return await at.outcome(met, *("an upload did not arrive whole",) * (not whole))


async def refuses_one_operation(stage: Stage) -> Outcome:
    """One operation is refused whatever the token, while the others are served."""
    at = await site(stage)
    await at.warm()

    async def either(call: Call) -> None:
        odd = call.head.startswith("POST /odd")
        await (call.answer(401, REFUSAL) if odd else at.server.serve(call))

    at.server.api = either
    met = await crowd(at.post(path) for path in ("/odd", *["/graphql"] * 4))
    at.server.api = at.server.serve
    return await at.outcome(met)


async def redirects_away(stage: Stage) -> Outcome:
    """The server elsewhere answers, and gets no credentials."""
    elsewhere = await stage.open(RawServer())
    heads: list[str] = []

    async def answers(call: Call) -> None:
        heads.append(call.head)
        await call.answer(401, REFUSAL)

    elsewhere.api = answers
    away = status(307, {}, f"Location: {elsewhere.endpoint}")
    # The headers of the caller's own session are in danger too.
    outcome = await api(lambda _: away, revoked=False, callers=3, headers={"x-api-key": KEY})(stage)
    leaked = [head for head in heads if KEY in head or "token-" in head]
    return outcome._replace(left=("credentials left the origin",) * bool(leaked or not heads))


UNAUTHENTICATED = {"data": None, "errors": [{"message": "no", "extensions": {"code": "UNAUTHENTICATED"}}]}

ROWS = (
    Row(
        PLACE,
        "401 for ever",
        refuses_for_ever,
        (401,) * BUDGET + (LoginBudgetExceededError,) * 3,
        "the next login is possible in",
        logins=BUDGET,
    ),
    Row(PLACE, "401 with a body that never ends", refuses_without_end),
    Row(PLACE, "401 in mid-upload", refuses_in_mid_upload),
    Row(PLACE, "401 then close", api(lambda _: closes)),
    Row(PLACE, "401 for one operation only", refuses_one_operation, (401, 200, 200, 200, 200)),
    Row(PLACE, "403", api(lambda _: status(403, {"error": "no permission"}), revoked=False), 403, logins=0),
    Row(PLACE, "400", api(lambda _: status(400, {"error": "a header is missing"}), revoked=False), 400, logins=0),
    Row(
        PLACE,
        "200 with UNAUTHENTICATED",
        api(lambda _: status(200, UNAUTHENTICATED), is_unauthorized=graphql_unauthenticated),
    ),
    Row(PLACE, "garbage instead of HTTP", api(lambda _: garbage, revoked=False), aiohttp.ClientResponseError, logins=0),
    Row(PLACE, "redirect off the origin", redirects_away, 401, logins=0),
)
