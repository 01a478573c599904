"""The soak, for a few seconds: whatever happens to API, tokens and Redis, no answer is wrong and nothing is left."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import pytest
from aiohttp import ClientSession, web

from benchmarks.soak import server
from benchmarks.soak.course import Found
from benchmarks.soak.disturbances import API, LOGINS, REDIS, Window
from benchmarks.soak.flatness import MEBIBYTE, at_rest, course
from benchmarks.soak.judge import Event, Judge
from benchmarks.soak.requests import KINDS, WrongAnswerError, ask_for, send
from exterview_auth import AuthSession, ExterviewAuth, PasswordLogin

from .running import benchmarks

DISTURBANCES = {
    "all tokens revoked",
    "all tokens revoked, and once more after the login",
    "one account's tokens revoked",
    "the main account's tokens revoked",
    "API key rotated",
    "API restarted, tokens kept",
    "API restarted, tokens lost",
    "API killed, tokens kept",
    "logins refused for two seconds",
    "logins refused, with Retry-After",
    "Redis stopped and started, empty",
    "Redis killed and started, empty",
    "Redis paused",
    "Redis flushed",
}


# Ten seconds or so; several times as many where the machine is busy.
@pytest.fixture(scope="module")
def figures(redis_binary: str) -> Any:
    done = benchmarks("soak", "--seconds", "2", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])["soak"]


def test_no_answer_is_wrong_whatever_happens(figures: Any) -> None:
    """Every disturbance has come, requests of every kind were answered, and no outcome is without a reason."""
    assert set(figures["disturbances"]) == DISTURBANCES
    assert {f"200, {kind}" for kind in KINDS} <= set(figures["outcomes"])
    assert figures["wrong"] == 0
    assert figures["ok"] is True


def test_nothing_is_left_at_rest(figures: Any) -> None:
    """Tasks, descriptors, connections, threads, timers and owners are the same at rest, and none are left after closing."""
    assert all(same for *_, same in figures["at rest"].values())
    for process in ("1", "2"):
        for measure in ("API connections", "Redis connections", "requests waiting", "timers"):
            assert figures["at rest"][f"{measure}, {process}"][1] == 0
    assert figures["at rest"]["tasks after closing, both"] == [0, 0, True]


def failed(error: str, **more: Any) -> Event:
    """Return a request of the first process from 10 to 11 s that ended in *error*."""
    event = {"what": "failed", "account": "main", "began": 10.0, "ended": 11.0, "by": "process-0", "kind": "json"}
    return {**event, "lineage": error, "error": error, "text": "", **more}


def act(what: str, *, began: float = 10.5, by: str = "process-0", account: str = "main") -> Event:
    return {"what": what, "account": account, "began": began, "ended": began + 0.1, "by": by}


def refused(*seen: tuple[float, str], kind: str = "json") -> Event:
    """Return a 401 after refusals, each with the time when its token was issued and the reason."""
    return failed("RefusedError", text=json.dumps([(issued, 10.0, why) for issued, why in seen]), kind=kind)


LOST = {"lineage": "ClientOSError, ClientConnectionError, ClientError"}
RIGHT = [
    (failed("ClientOSError", **LOST), [Window(API, 10.9, 12.0)], []),
    (failed("LoginUnavailableError"), [Window(LOGINS, 5.5, 6.0)], []),
    (failed("LoginUnavailableError"), [Window(API, 10.0, 12.0)], []),
    (failed("LoggedOutError"), [], [act("logout")]),
    (failed("ClosedError"), [], [act("replace_owner")]),
    (failed("ClosedError", account="account-01"), [], [act("replace_pool", account="*")]),
    (refused((5.0, "revoked"), (10.5, "revoked")), [], []),
    (refused((5.0, "revoked"), kind="once"), [], []),
    (refused((5.0, "revoked")), [Window(API, 9.0, 10.2)], []),
]
WRONG = [
    (failed("ClientOSError", **LOST), [Window(API, 2.0, 4.0), Window(REDIS, 10.0, 11.0)], []),
    (failed("LoginUnavailableError"), [Window(LOGINS, 1.0, 2.0)], []),
    (failed("LoginBudgetExceededError"), [Window(LOGINS, 10.0, 11.0)], []),
    (failed("CredentialsRejectedError"), [Window(API, 10.0, 11.0)], []),
    (failed("LoggedOutError"), [], [act("logout", by="process-1")]),
    (failed("ClosedError"), [], [act("replace_owner", began=20.0)]),
    (failed("ClosedError"), [], [act("replace_pool", account="*")]),
    (refused((5.0, "revoked")), [], []),
    (refused((5.0, "revoked"), (5.0, "revoked")), [], []),
    (refused((5.0, "revoked"), (10.5, "expired")), [], []),
    (failed("WrongAnswerError"), [Window(API, 10.0, 11.0)], []),
    (failed("hangs"), [Window(API, 10.0, 11.0)], []),
    (failed("noise", text="unclosed <ExterviewAuth ...>"), [Window(REDIS, 2.0, 4.0)], []),
    (failed("noise", text="unclosed <StreamWriter ...>"), [Window(REDIS, 10.0, 11.0)], []),
    (failed("noise", text="Task exception was never retrieved"), [Window(REDIS, 10.0, 11.0)], []),
]


@pytest.mark.parametrize(("event", "windows", "acts"), RIGHT)
def test_a_failure_with_a_reason_is_right(event: Event, windows: list[Window], acts: list[Event]) -> None:
    """What the contract allows, at a time when it allows it, is explained and counted."""
    right, wrong = Judge(windows, [event, *acts]).verdicts()
    assert right.total() == 1
    assert wrong == []


@pytest.mark.parametrize(("event", "windows", "acts"), WRONG)
def test_a_failure_without_a_reason_is_wrong(event: Event, windows: list[Window], acts: list[Event]) -> None:
    """The same at another time, of another owner, or anything else, is a wrong answer."""
    assert Judge(windows, [event, *acts]).verdicts() == ({}, [event])


class LyingApi(server.Api):
    """Answers everybody as if somebody else had asked."""

    async def _answer(self, number: str, account: str, body: bytes) -> web.Response:
        return await super()._answer(f"{number}0", account, body)

    async def _big(self, request: web.Request) -> web.Response:
        answer = await super()._big(request)
        assert isinstance(answer.body, bytes)
        return web.Response(body=b"x" + answer.body)


async def outcomes(api: server.Api) -> dict[str, Any]:
    """Return what each kind of request raises at *api*, or ``None``."""
    await api.do_admit(keys=["key"], revoked_since={})
    runner = web.AppRunner(api.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", api.port).start()
    login = PasswordLogin("main", "password of main")
    owner = ExterviewAuth(login, api_key="key", endpoint=f"http://127.0.0.1:{api.port}/graphql")
    try:
        async with ClientSession() as http, owner as auth:
            asked = ask_for(AuthSession(http, auth), "process-0-1", "main", Random(1), 10.0)
            ends = await asyncio.gather(*(send(kind, asked) for kind in KINDS), return_exceptions=True)
    finally:
        await runner.cleanup()
    return dict(zip(KINDS, ends, strict=True))


async def test_each_kind_of_request_knows_its_own_answer() -> None:
    """Nothing is raised where the answer is the request's own."""
    assert await outcomes(server.Api(3600.0, server.loopback_port())) == dict.fromkeys(KINDS)


async def test_an_answer_of_somebody_else_is_noticed() -> None:
    """A body that belongs to another number is a wrong answer, in every kind of request that reads one."""
    found = await outcomes(LyingApi(3600.0, server.loopback_port()))
    noticed = {kind for kind, raised in found.items() if isinstance(raised, WrongAnswerError)}
    assert noticed == set(KINDS) - {"unread", "websocket"}


def points(*values: float) -> list[tuple[float, float]]:
    """One value a second."""
    return [(float(second), value) for second, value in enumerate(values)]


@pytest.mark.parametrize(
    ("measure", "early", "late", "flat"),
    [
        ("memory", 60 * MEBIBYTE, 61 * MEBIBYTE, True),
        ("memory", 50 * MEBIBYTE, 52.6 * MEBIBYTE, False),
        ("memory", 500 * MEBIBYTE, 503.1 * MEBIBYTE, False),
        ("objects", 60_000, 95_000, False),
        ("tasks", 90, 130, True),
        ("tasks", 90, 140, False),
        ("threads", 5, 36, False),
        ("tasks", 90, 40, True),
    ],
)
def test_what_grows_is_not_flat(measure: str, early: float, late: float, *, flat: bool) -> None:
    """The warm-up does not count, and the end is compared with what came after it."""
    seconds = points(*[0.0] * 100, *[early] * 100, *[early] * 200, *[late] * 100)
    found = course(measure, "1", seconds, 500.0)
    assert found is not None
    assert (found.early, found.late) == (early, late)
    assert found.flat is flat


def test_a_short_soak_says_that_it_is_too_short() -> None:
    """Within a minute a figure under load means nothing, whatever it does."""
    found = course("memory", "1", points(*range(60)), 60.0)
    assert found is not None
    assert found.verdict == "(too short)"


def resting(**gauges: int) -> list[dict[str, Any]]:
    return [{"gauges": {"memory": 1, **gauges}, "types": {}}]


def test_one_task_more_at_rest_is_noticed() -> None:
    """Figures at rest are compared to the piece, objects and blocks to two per cent."""
    rests = [resting(tasks=82, objects=100, blocks=100), resting(tasks=83, objects=102, blocks=103)]
    found = Found(rests=rests, redis_clients=[0, 0])
    found.left["tasks"] = 1
    same = {held.measure: held.flat for held in at_rest(found)}
    assert same == {
        "tasks": False,
        "objects": True,
        "blocks": False,
        "Redis' clients": True,
        "tasks after closing": False,
    }
