"""`ThreadedEmulator`: an emulator for code on any event loop, or on none."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import subprocess
import sys
import threading
from urllib.request import Request, urlopen

import aiohttp
import pytest

from exterview_auth import AuthSession, ConfigurationError, ExterviewAuth, PasswordLogin
from exterview_auth import testing as kit
from exterview_auth.emulator import Emulator
from exterview_auth.emulator._emulator import TIMES, _Seconds
from exterview_auth.testing import Clock, ThreadedEmulator
from exterview_auth.testing._threaded_emulator import CONTROLS
from tests.kit.emulator import SMOKE, credentials


def ask(emulator: Emulator) -> str:
    """Return what the smoke test answers to sync code."""
    headers = {**credentials(emulator), "Content-Type": "application/json"}
    with urlopen(Request(emulator.endpoint, json.dumps(SMOKE).encode(), headers)) as answer:
        name: str = json.load(answer)["data"]["__typename"]
        return name


def test_every_method_of_the_emulator_is_a_control_here() -> None:
    """With its signature and docstring; what can be assigned, too."""
    public = {name: value for name, value in vars(Emulator).items() if not name.startswith("_")}
    methods = {name for name, value in public.items() if inspect.isfunction(value)}
    assert methods - {"start", "stop"} == set(CONTROLS)
    assert {name for name, value in public.items() if isinstance(value, _Seconds)} == set(TIMES)
    for name in CONTROLS:
        ours, its = getattr(ThreadedEmulator, name), getattr(Emulator, name)
        assert ours is not its
        assert (inspect.signature(ours), ours.__doc__) == (inspect.signature(its), its.__doc__)


def emulators() -> set[threading.Thread]:
    """Return the threads of emulators; one of them may serve the whole run."""
    return {thread for thread in threading.enumerate() if thread.name == "exterview emulator"}


def test_sync_code_asks_it() -> None:
    """Its thread is gone afterwards."""
    before = emulators()
    with ThreadedEmulator() as exterview:
        assert isinstance(exterview, Emulator)
        assert ask(exterview) == "Query"
        assert (exterview.requests, exterview.logins, exterview.refused) == (1, 0, 0)
        assert emulators() > before
    assert emulators() == before


def test_controls_take_effect_before_they_return() -> None:
    """Each runs on the server's thread; its result and its error come back to the caller's."""
    with ThreadedEmulator() as exterview:
        key = exterview.rotate_api_key()
        assert key == exterview.api_key
        exterview.token_lifetime = 60
        assert exterview.token_lifetime == 60
        exterview.answer("__typename", data={"__typename": "Mine"})
        assert ask(exterview) == "Mine"
        assert [record.operation for record in exterview.journal] == ["__typename"]
        exterview.reset()
        assert (exterview.token_lifetime, exterview.requests, exterview.journal) == (3600, 0, ())
        with pytest.raises(ConfigurationError, match="times must be a whole number"):
            exterview.refuse(-1)
        with pytest.raises(ConfigurationError, match="latency must be a number of seconds"):
            exterview.latency = -1
        assert ask(exterview) == "Query"


@pytest.mark.parametrize("kind", [Emulator, ThreadedEmulator])
@pytest.mark.parametrize("name", ["token_lifetme", "journal", "clock", "refuse"])
def test_what_cannot_be_assigned_is_one_sentence(kind: type[Emulator], name: str) -> None:
    """It has what can be; a class of the test's own may have attributes."""
    sentence = f"^'{name}' cannot be assigned; what can are token_lifetime, login_delay, latency$"
    with pytest.raises(AttributeError, match=sentence):
        setattr(kind(), name, 5)

    class Mine(kind):  # type: ignore[misc, valid-type]  # either of the two
        """Adds an attribute."""

    mine = Mine()
    mine.jobs = 5
    assert mine.jobs == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_control_in_the_child_of_a_fork_is_one_sentence() -> None:
    """The server's thread is not there, so that nothing would answer; leaving the block there ends only the child's."""
    with ThreadedEmulator() as exterview:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            signal.alarm(20)  # where it hangs
            try:
                exterview.stats()
            except ConfigurationError as error:
                exterview.__exit__()
                os.write(writer, str(error).encode())
            finally:
                os._exit(0)
        os.close(writer)
        said = os.read(reader, 1000).decode()
        os.close(reader)
        os.waitpid(child, 0)
        assert said.endswith("was forked from; start another ThreadedEmulator here")
        assert ask(exterview) == "Query"


def test_a_control_may_be_used_on_the_servers_own_thread() -> None:
    """It does not wait for itself."""
    with ThreadedEmulator() as exterview:
        assert exterview._on_its_thread(exterview.stats) == exterview.stats()


async def test_an_owner_on_another_loop_uses_it() -> None:
    """And its clock."""
    with ThreadedEmulator(token_lifetime=60) as exterview:
        login = PasswordLogin(exterview.email, exterview.password)
        owner = ExterviewAuth(login, api_key=exterview.api_key, endpoint=exterview.endpoint, clock=exterview.clock)
        async with owner as auth, aiohttp.ClientSession() as http:
            for seconds in (0, 61):
                exterview.clock.advance(seconds)
                await AuthSession(http, auth).graphql("query { __typename }")
        assert (exterview.logins, exterview.refused) == (2, 0)


def test_the_server_expires_tokens_by_the_same_clock() -> None:
    """A token that a client goes on with is refused."""
    clock = Clock()
    with ThreadedEmulator(clock=clock) as exterview:
        assert exterview.clock is clock
        headers = {**credentials(exterview), "Content-Type": "application/json"}
        clock.advance(3601)
        with pytest.raises(OSError, match="401"):
            urlopen(Request(exterview.endpoint, json.dumps(SMOKE).encode(), headers))
        assert exterview.refused == 1


def test_it_can_be_started_again_but_not_twice() -> None:
    """At the same endpoint."""
    exterview = ThreadedEmulator()
    with exterview:
        endpoint = exterview.endpoint
        with pytest.raises(ConfigurationError, match="the emulator is running already"):
            exterview.__enter__()
    assert exterview.stats().requests == 0
    with exterview:
        assert exterview.endpoint == endpoint
        assert ask(exterview) == "Query"


def test_a_taken_port_is_one_sentence() -> None:
    """Where the emulator is entered, and no thread is left."""
    with ThreadedEmulator() as exterview:
        before = emulators()
        port = int(exterview.endpoint.rpartition(":")[2].partition("/")[0])
        second = ThreadedEmulator(port=port)
        with pytest.raises(ConfigurationError, match=f"port {port} on 127.0.0.1 is taken"), second:
            raise AssertionError("it started")
        assert emulators() == before
    second.__exit__()


def test_an_error_of_the_server_ends_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong while it stops is shown by Python, as for any thread."""
    shown: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(args.exc_type))

    async def fail(self: Emulator, *_: object) -> None:
        await Emulator.stop(self)
        raise ZeroDivisionError

    monkeypatch.setattr(ThreadedEmulator, "__aexit__", fail)
    with ThreadedEmulator() as exterview:
        assert ask(exterview) == "Query"
    assert shown == [ZeroDivisionError]


def test_the_clock_needs_no_emulator() -> None:
    """Neither `Clock` nor `expect` loads it: it is an extra."""
    program = "import exterview_auth.testing as t, sys; t.Clock(), t.expect; print([m for m in ('graphql', 'aiohttp.web') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="has no attribute 'Clok'"):
        kit.Clok  # type: ignore[attr-defined]  # noqa: B018 - the access is the test
    assert set(kit.__all__) == {"Clock", "ThreadedEmulator", "expect"}


async def test_many_clients_and_controls_at_once() -> None:
    """Controls and counters from several threads meet a server that is answering."""
    with ThreadedEmulator(token_lifetime=60) as exterview:
        login = PasswordLogin(exterview.email, exterview.password)
        owner = ExterviewAuth(login, api_key=exterview.api_key, endpoint=exterview.endpoint, max_logins=(100, 60.0))
        async with owner as auth, aiohttp.ClientSession() as http:
            api = AuthSession(http, auth)
            requests = [api.graphql("query { __typename }") for _ in range(100)]
            controls = [asyncio.to_thread(exterview.expire) for _ in range(3)]
            readings = [asyncio.to_thread(lambda: len(exterview.journal)) for _ in range(20)]
            done = await asyncio.gather(*requests, *controls, *readings)
        assert done[:100] == [{"__typename": "Query"}] * 100
