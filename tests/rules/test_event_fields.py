"""What events say of whom, in a pool above all, where many owners share one log."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

import exterview_auth
from exterview_auth import (
    AuthPool,
    AuthSession,
    ExterviewAuth,
    LoginContext,
    LoginUnavailableError,
    MemoryStore,
    PasswordLogin,
    Token,
)
from tests.kit.api import KEY, Api, post, scene, until
from tests.kit.login_endpoint import Reply, login_endpoint
from tests.kit.stores import told

PACKAGE = Path(exterview_auth.__file__).parent
PAGE = PACKAGE.parent / ".github" / "EVENTS.md"


@pytest.fixture(autouse=True)
def all_events(caplog: pytest.LogCaptureFixture) -> None:
    """Every event is looked at."""
    caplog.set_level(logging.DEBUG, "exterview_auth")


def emitted() -> Iterator[tuple[str, str, str, set[str]]]:
    """The module, the name, the level and the fields of each event."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "emit":
                level, event = node.args
                assert isinstance(level, ast.Attribute)
                assert isinstance(event, ast.Constant)
                assert isinstance(event.value, str)
                fields = {field.arg for field in node.keywords if field.arg is not None}
                if None in {field.arg for field in node.keywords}:
                    fields |= fields_of_a_mapping(tree)
                yield str(path.relative_to(PACKAGE)), event.value, level.attr.lower(), fields


def fields_of_a_mapping(tree: ast.AST) -> set[str]:
    """The keys of what the property ``event_fields`` of a module returns."""
    (method,) = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "event_fields")
    (mapping,) = (node.value for node in ast.walk(method) if isinstance(node, ast.Return))
    assert isinstance(mapping, ast.Dict)
    return {ast.literal_eval(key) for key in mapping.keys if key is not None}


def listed() -> dict[str, tuple[str, set[str]]]:
    """The level and the fields of each event in the page's table."""
    rows = re.findall(
        r"^\| `([a-z_.]+)` \| (info|warning|error) \| ([^|]*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {event: (level, set(re.findall(r"`(\w+)`", fields))) for event, level, fields in rows}


def test_the_page_lists_all_events() -> None:
    """Each event of the code is in the table, with its level and its fields, and nothing else is."""
    found: dict[str, tuple[str, set[str]]] = {}
    for _, event, level, fields in emitted():
        assert found.setdefault(event, (level, set()))[0] == level
        found[event][1].update(fields)
    assert listed() == found


def test_every_event_says_of_which_account_or_store_it_is() -> None:
    """An owner's events have ``account``, a store's own ``store``."""
    events = list(emitted())
    assert len(events) > 20
    nameless = [event for module, event, _, fields in events if not fields & {"account", "store"}]
    assert nameless == []
    assert {event for module, event, _, _ in events if module.startswith("stores")} >= {
        "store.lease_lost",
        "store.no_news",
    }


async def test_a_pools_log_tells_whose_login_failed_and_why(caplog: pytest.LogCaptureFixture) -> None:
    """Each failed attempt has its account, the login's reason, its number, the seconds since the login began, and its error."""
    async with Api() as api:
        outages = {"acme": 2}

        def owner_of(account: str) -> ExterviewAuth:
            async def login(_context: LoginContext) -> Token:
                if outages.get(account):
                    outages[account] -= 1
                    raise LoginUnavailableError("down")
                return Token(api.issue(), expires_in=60)

            return ExterviewAuth(login, api_key=KEY, endpoint=api.endpoint, account=account)

        async with AuthPool(owner_of) as pool, aiohttp.ClientSession() as http:
            statuses = await asyncio.gather(*(post(AuthSession(http, pool[name]), "") for name in ("acme", "globex")))
    assert {status for status, _ in statuses} == {200}
    times = r"seconds=(\d+\.\d+)"
    failed = [re.sub(times, "", line) for line in told(caplog, "login.failed")]
    assert failed == [
        f"login.failed account='acme' reason='first' attempt={attempt}  error='LoginUnavailableError' problem='down'"
        for attempt in (1, 2)
    ]
    seconds = [float(found[1]) for line in told(caplog, "login.failed") if (found := re.search(times, line))]
    assert 0 <= seconds[0] < seconds[1]
    issued = sorted(re.sub(times, "", line) for line in told(caplog, "token.issued"))
    assert issued == [
        "token.issued account='acme' reason='first' attempt=3  expires_in=60.0",
        "token.issued account='globex' reason='first' attempt=1  expires_in=60.0",
    ]
    for record in caplog.records:
        level, fields = listed()[vars(record)["event"]]
        assert record.levelname.lower() == level
        assert {"account", "reason"} <= set(re.findall(r" (\w+)=", record.getMessage())) <= fields


async def test_an_account_without_a_name_has_a_digest(caplog: pytest.LogCaptureFixture) -> None:
    """The same for all events of it and in every process, another for another account, and never the e-mail address."""
    digests: list[str] = []
    async with login_endpoint(Reply(200, {"data": {"login": {"token": "t-1"}}})) as endpoint:
        for email in ("ada@example.com", "ada@example.com", "bob@example.com"):
            login = PasswordLogin(email, "pass word")
            async with ExterviewAuth(login, api_key=KEY, endpoint=endpoint.url, store=MemoryStore()) as auth:
                auth.invalidate(await auth.token())
                await auth.token()
                await auth.logout()
            (digest,) = set(re.findall(r"account='(\w*)'", caplog.text))
            digests.append(digest)
            assert len(caplog.messages) >= 3
            assert "example.com" not in caplog.text
            caplog.clear()
    assert all(re.fullmatch("[0-9a-f]{12}", digest) for digest in digests)
    assert digests[0] == digests[1] != digests[2]


async def test_the_budgets_latch_emits_both_events(caplog: pytest.LogCaptureFixture) -> None:
    """One event when it closes after too many useless logins, and one when it opens again by itself."""
    async with scene(max_logins=(2, 3.0), account="acme") as at:
        at.api.keys.clear()  # every token is refused
        for _ in range(3):
            with contextlib.suppress(exterview_auth.LoginBudgetExceededError):
                await at.post()
        (paused,) = told(caplog, "logins.paused")
        said = r"error='LoginBudgetExceededError' problem='2 logins within 3 s gave tokens that the API refused; .*'"
        assert re.fullmatch(rf"logins\.paused account='acme' reason='max_logins' seconds=[0-3]\.\d+ {said}", paused)
        at.api.keys.add(KEY)
        await until(lambda: told(caplog, "logins.resumed") != [])
        assert (await at.post())[0] == 200
        assert told(caplog, "logins.resumed") == ["logins.resumed account='acme' reason='max_logins'"]
