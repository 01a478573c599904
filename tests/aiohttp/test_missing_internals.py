"""An aiohttp that lacks something private is named on first use, and nothing is sent to the wrong place."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from yarl import URL

from exterview_auth import ConfigurationError, ExterviewAuth, LoginContext, Token
from exterview_auth._aiohttp.internals import imported, needed
from exterview_auth._aiohttp.internals.requests import call_of
from tests.aiohttp.test_hot_path import created_by_aiohttp
from tests.aiohttp.test_internals import uses_by_module
from tests.kit.api import Api, post, scene

NAMES = [(owner, name) for owner, names in needed.NEEDED.items() for name in names]


def sentence(owner: str, name: str) -> str:
    """Return what the error about this name says."""
    return rf"^exterview_auth cannot work with aiohttp {re.escape(aiohttp.__version__)}, which has no {owner}\.{name} \(.+\); install a version that it knows \(aiohttp.*\)$"


@pytest.fixture
def first_use(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process that has sent nothing yet."""
    monkeypatch.setattr(needed, "_complete", set())
    needed.require_aiohttp.cache_clear()
    yield
    needed.require_aiohttp.cache_clear()


def test_every_private_name_is_looked_at() -> None:
    """What the folder uses stands in its list."""
    used = set().union(*uses_by_module().values())
    only_types = {"_RequestContextManager", "_WSRequestContextManager", "_BaseRequestContextManager"}
    only_types |= {"_RequestOptions", "_WSConnectOptions"}
    assert used - only_types <= {name for _, name in NAMES}
    assert all(name in vars(imported) for name in needed.NEEDED["aiohttp"])


class Lacking:
    """Another object without one of its attributes."""

    def __init__(self, whole: object, name: str) -> None:
        self._whole = whole
        self._name = name

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_Lacking") or name in {"_whole", "_name"}:
            return object.__getattribute__(self, name)
        if name == self._name:
            raise AttributeError(name)
        return getattr(self._whole, name)


@pytest.mark.usefixtures("first_use")
@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, name in NAMES if owner != "StreamWriter"])
async def test_each_name_that_is_missing_is_named(owner: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With aiohttp's version, what it was for, and what to install; again each time, and no more once it is there."""
    [whole] = await created_by_aiohttp(URL("http://127.0.0.1:1/"))
    async with aiohttp.ClientSession() as http:
        request: Any = whole
        session: Any = http
        with monkeypatch.context() as without:
            if owner == "aiohttp":
                without.setattr(imported, name, None)
            elif owner == "ClientSession":
                session = Lacking(http, name)
                request = SimpleNamespace(**dict.fromkeys(needed.NEEDED["ClientRequest"]))
                request.session = session
            elif owner == "ClientRequest":
                request = Lacking(request, name)
            else:
                without.setattr(needed, owner, type(owner, (), dict.fromkeys(set(needed.NEEDED[owner]) - {name})))
            for _ in range(2):
                with pytest.raises(ConfigurationError, match=sentence(owner, name)):
                    needed.require_request(request)
                if owner != "ClientRequest":
                    with pytest.raises(ConfigurationError, match=sentence(owner, name)):
                        needed.require_session(session)
        needed.require_request(whole)
        needed.require_session(http)


@pytest.mark.usefixtures("first_use")
@pytest.mark.parametrize("name", ["_timer", "send", "update_body", "loop"])
async def test_nothing_is_sent_if_a_request_lacks_something(name: str) -> None:
    """Neither signed nor unsigned, for us or for strangers, and no login is made."""

    class Request(aiohttp.ClientRequest):
        def __getattribute__(self, attribute: str) -> Any:
            if attribute == name:
                raise AttributeError(attribute)
            return super().__getattribute__(attribute)

    async with Api() as stranger, scene(session={"request_class": Request}) as at:
        for url in (at.api.endpoint, stranger.endpoint) * 2:
            with pytest.raises(ConfigurationError, match=sentence("ClientRequest", name)):
                await post(at.http, url, middlewares=(at.auth,))
        assert (at.api.arrivals, stranger.arrivals, at.login.count) == ([], [], 0)


async def test_calls_that_cannot_be_told_apart_are_not_mixed_up() -> None:
    """A timeout that all calls share would lead the redirects of one to another."""
    [request] = await created_by_aiohttp(URL("http://127.0.0.1:1/"))
    request._timer = None  # type: ignore[assignment]
    with pytest.raises(ConfigurationError, match=sentence("ClientRequest", "_timer")):
        call_of(request)


@pytest.mark.usefixtures("first_use")
async def test_an_owner_says_it_when_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its logins build on aiohttp too, and so does a ``login_session``."""

    async def login(_: LoginContext) -> Token:
        return Token("token")

    with monkeypatch.context() as without:
        without.setattr(imported, "HttpProcessingError", None)
        with pytest.raises(ConfigurationError, match=sentence("aiohttp", "HttpProcessingError")):
            ExterviewAuth(login, api_key="key")
    async with aiohttp.ClientSession() as own:
        middlewares = own._middlewares
        del own._middlewares
        with pytest.raises(ConfigurationError, match=sentence("ClientSession", "_middlewares")):
            ExterviewAuth(login, api_key="key", login_session=own)
        own._middlewares = middlewares
        assert ExterviewAuth(login, api_key="key", login_session=own)


@pytest.mark.parametrize(
    ("remove", "missing"),
    [
        ("del aiohttp.client._RequestContextManager", "RequestContextManager"),
        ("del aiohttp.client._WSRequestContextManager", "WSRequestContextManager"),
        ("del aiohttp.base_protocol.BaseProtocol", "BaseProtocol"),
        ("sys.modules['aiohttp.base_protocol'] = None", "BaseProtocol"),
        ("sys.modules['aiohttp.http'] = None", "HttpProcessingError"),
    ],
)
def test_importing_the_library_does_not_fail(remove: str, missing: str) -> None:
    """Names that it imports are looked for on first use too."""
    program = f"""
import asyncio, sys
import aiohttp, aiohttp.client, aiohttp.base_protocol
{remove}
from exterview_auth import ConfigurationError, ExterviewAuth, Token

async def main():
    async def login(context):
        return Token("t")
    try:
        ExterviewAuth(login, api_key="k", endpoint="http://127.0.0.1:9/")
    except ConfigurationError as error:
        print(error)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert re.match(sentence("aiohttp", missing), done.stdout)
    assert done.stderr == ""
