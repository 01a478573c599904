"""The fixtures as projects use them, under each way to run async tests, in processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from exterview_auth import _pytest_plugin
from tests.kit.pytest_runs import project, run
from tests.test_readme import SNIPPETS

ASYNC = """
    import asyncio

    import aiohttp
    import pytest

    from exterview_auth import ExterviewAuth, LoginUnavailableError
    from exterview_auth.testing import expect

    SMOKE = "query {{ __typename }}"


    @pytest.fixture
    def anyio_backend():
        return "asyncio"


    {mark}
    async def test_fifty_requests_log_in_once(exterview, exterview_api):
        with expect(exterview, logins=1, refused=0, requests=51):
            await asyncio.gather(*(exterview_api.graphql(SMOKE) for _ in range(50)))
        assert (exterview.logins, exterview.requests, exterview.refused) == (1, 51, 0)


    {mark}
    async def test_a_revoked_token_is_renewed(exterview, exterview_api):
        assert (exterview.logins, exterview.requests, exterview.journal) == (0, 0, ())
        await exterview_api.graphql(SMOKE)
        exterview.revoke()
        with expect(exterview, logins=1, refused=1, requests=3):
            await exterview_api.graphql(SMOKE)
        assert [record.status for record in exterview.journal] == [200, 200, 401, 200, 200]


    {mark}
    async def test_time_passes_for_both(exterview, exterview_api, exterview_clock):
        await exterview_api.graphql(SMOKE)
        exterview_clock.advance(3601)
        with expect(exterview, logins=1, refused=0):
            await exterview_api.graphql(SMOKE)


    @pytest.mark.exterview(token_lifetime=60)
    {mark}
    async def test_a_renewal_ahead_is_awaited(exterview, exterview_api, exterview_clock):
        await exterview_api.graphql(SMOKE)
        async with expect(exterview, logins=1, refused=0):
            exterview_clock.advance(58)
        with expect(exterview, logins=0, requests=1, refused=0):
            await exterview_api.graphql(SMOKE)


    @pytest.mark.exterview(login_timeout=0.2, seed=7)
    {mark}
    async def test_an_outage_is_short(exterview, exterview_api):
        exterview.fail_logins(1000)
        with pytest.raises(LoginUnavailableError):
            await exterview_api.graphql(SMOKE)


    {mark}
    async def test_the_owner_is_a_middleware(exterview, exterview_owner):
        async with aiohttp.ClientSession(middlewares=(exterview_owner,)) as http:
            async with http.post(exterview.endpoint, json={{"query": SMOKE}}) as answer:
                assert answer.status == 200


    {mark}
    async def test_an_application_is_configured_by_its_environment(exterview, exterview_env):
        async with ExterviewAuth.from_env() as auth:
            assert (await auth.token()).value
        assert exterview.logins == 1


    @pytest.mark.exterview(token_lifetime=60, login_delay=0.05)
    {mark}
    async def test_a_short_lifetime(exterview, exterview_owner, exterview_clock):
        token = await exterview_owner.token()
        assert token.expires_in == 60
        exterview_clock.advance(61)
        assert exterview_owner.current is None
        assert await exterview_owner.token() is not token
"""

SYNC = """
    import asyncio

    from exterview_auth.testing import expect


    def test_sync_code(exterview, exterview_owner, exterview_env):
        with expect(exterview, logins=1):
            assert asyncio.run(exterview_owner.token()) is exterview_owner.current


    def test_several_loops(exterview, exterview_api):
        async def ask():
            return await exterview_api.graphql("query { __typename }")

        with expect(exterview, logins=1, requests=4):
            assert [asyncio.run(ask()) for _ in range(3)] == [{"__typename": "Query"}] * 3


    def test_an_owner_that_nobody_used(exterview_owner, exterview_api):
        assert exterview_owner.current is None
        assert "first use" in repr(exterview_api)
"""


@pytest.mark.parametrize(
    ("mark", "options"),
    [
        ("@pytest.mark.asyncio", ("-o", "asyncio_mode=strict")),
        ("@pytest.mark.asyncio(loop_scope='session')", ("-o", "asyncio_mode=strict")),
        ("", ("-o", "asyncio_mode=auto")),
        ("@pytest.mark.anyio", ("-p", "no:asyncio")),
        ("@pytest.mark.asyncio", ("-o", "asyncio_mode=strict", "-n", "2")),
    ],
    ids=["strict", "strict, one loop", "auto", "anyio", "xdist"],
)
def test_the_fixtures_work_under_each_way_to_run_async_tests(
    tmp_path: Path, mark: str, options: tuple[str, ...]
) -> None:
    """They are sync, and need no mode; with warnings as errors, nothing is left behind."""
    done = run(project(tmp_path, test_async=ASYNC.format(mark=mark), test_sync=SYNC), *options)
    assert done.passed, done.output
    assert done.outcomes == {"passed": 11}


@pytest.mark.parametrize(
    "fixture", ["exterview", "exterview_env", "exterview_clock", "exterview_owner", "exterview_api"]
)
def test_another_backend_of_anyio_is_one_sentence(tmp_path: Path, fixture: str) -> None:
    """Each test that it would run on trio fails before, with the fixture to add, and nothing else is said."""
    source = f"""
        import pytest

        pytestmark = pytest.mark.anyio


        @pytest.fixture(params=["asyncio", "trio", ("trio", {{"restrict_keyboard_interrupt_to_checkpoints": True}})])
        def anyio_backend(request):
            return request.param


        async def test_it_runs({fixture}):
            pass
    """
    done = run(project(tmp_path, test_backends=source), "-p", "no:asyncio")
    assert done.outcomes == {"passed": 1, "errors": 2}, done.output
    sentence = (
        "exterview_auth needs asyncio, and anyio runs this test on trio: add a fixture anyio_backend that returns"
    )
    assert done.output.count(f"\n{sentence} 'asyncio' to the module or conftest.py\n") == 2
    assert "Traceback" not in done.output
    assert "never awaited" not in done.output


def test_sync_tests_need_no_plugin_for_async_ones(tmp_path: Path) -> None:
    """Nor an event loop that runs."""
    done = run(project(tmp_path, test_sync=SYNC), "-p", "no:asyncio", "-p", "no:anyio")
    assert done.passed, done.output


def test_unittest_needs_no_fixtures(tmp_path: Path) -> None:
    """`exterview_auth.testing` alone does."""
    source = """
        import unittest

        import aiohttp

        from exterview_auth import AuthSession, ExterviewAuth, PasswordLogin
        from exterview_auth.testing import ThreadedEmulator, expect


        class Tests(unittest.IsolatedAsyncioTestCase):
            @classmethod
            def setUpClass(cls):
                cls.exterview = cls.enterClassContext(ThreadedEmulator(seed=7))

            async def test_one_login(self):
                login = PasswordLogin(self.exterview.email, self.exterview.password)
                owner = ExterviewAuth(login, api_key=self.exterview.api_key, endpoint=self.exterview.endpoint)
                async with owner as auth, aiohttp.ClientSession() as http:
                    with expect(self.exterview, logins=1):
                        await AuthSession(http, auth).graphql("query { __typename }")
    """
    done = run(project(tmp_path, test_unittest=source))
    assert done.passed, done.output


def test_a_test_may_change_the_variables(tmp_path: Path) -> None:
    """With `monkeypatch`, in either order of the fixtures; afterwards the environment is as it was."""
    source = """
        import os

        BEFORE = dict(os.environ)


        def test_monkeypatch_first(monkeypatch, exterview_env):
            monkeypatch.setenv("EXTERVIEW_PASSWORD", "another")
            monkeypatch.delenv("EXTERVIEW_API_KEY")


        def test_monkeypatch_last(exterview_env, monkeypatch):
            monkeypatch.setenv("EXTERVIEW_PASSWORD", "another")
            monkeypatch.setenv("EXTERVIEW_SCOPE", "another")


        def test_afterwards():
            now = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
            assert now == {name: value for name, value in BEFORE.items() if name != "PYTEST_CURRENT_TEST"}
    """
    done = run(project(tmp_path, test_variables=source))
    assert done.passed, done.output


def test_the_readmes_test_passes(tmp_path: Path) -> None:
    """As it is written there."""
    (snippet,) = (snippet for snippet in SNIPPETS if "exterview_clock" in snippet)
    done = run(project(tmp_path, test_readme=snippet), "-o", "asyncio_mode=strict")
    assert done.passed, done.output


# -- what it costs others --------------------------------------------------------------------------------------------------

LOADED = """
    import sys


    def test_nothing_of_ours():
        with open("modules-{name}", "w") as file:
            file.write("\\n".join(sorted(sys.modules)))
"""


def test_a_run_without_our_fixtures_loads_two_modules(tmp_path: Path) -> None:
    """The plugin's own, and the package's ``__init__``, which loads nothing; there is no hook but the one at the start."""
    project(tmp_path, test_with=LOADED.format(name="with"), test_without=LOADED.format(name="without"))
    assert run(tmp_path, "test_with.py", own_coverage=True).passed
    assert run(tmp_path, "test_without.py", "-p", "no:exterview_auth", own_coverage=True).passed
    loaded, others = (set((tmp_path / f"modules-{name}").read_text().split()) for name in ("with", "without"))
    assert loaded - others - {"test_with"} == {"exterview_auth", "exterview_auth._pytest_plugin"}
    assert [name for name in vars(_pytest_plugin) if name.startswith("pytest_")] == ["pytest_configure"]


def test_the_coverage_of_an_application_is_whole(tmp_path: Path) -> None:
    """Nothing of it is imported before it is measured, and the emulator's thread takes nothing from it."""
    application = """
        import aiohttp

        from exterview_auth import AuthSession, ExterviewAuth


        async def count_interviews(session):
            found = await session.graphql("query { interviews { id } }")
            if found["interviews"]:
                return len(found["interviews"])
            return 0


        async def main():
            async with ExterviewAuth.from_env() as auth, aiohttp.ClientSession() as http:
                return await count_interviews(AuthSession(http, auth))
    """
    tests = """
        import asyncio

        import application


        def test_there_are_some(exterview_env):
            assert asyncio.run(application.main()) > 0


        def test_there_are_none(exterview, exterview_api):
            exterview.answer("interviews", data={"interviews": []})
            assert asyncio.run(application.count_interviews(exterview_api)) == 0
    """
    project(tmp_path, application=application, test_application=tests)
    done = run(tmp_path, "--cov=application", "--cov-branch", "--cov-fail-under=100", own_coverage=True)
    assert done.passed, done.output


# -- failures --------------------------------------------------------------------------------------------------------------


def test_a_failed_test_shows_the_journal(tmp_path: Path) -> None:
    """Of that test alone, and only if it has an emulator; without any credential, of the test's arguments either."""
    source = """
        import asyncio
        import os


        def test_passes(exterview_owner):
            asyncio.run(exterview_owner.token())


        def test_fails(exterview, exterview_api, exterview_env):
            async def ask():
                await exterview_api.graphql("query Mine { __typename }")
                exterview.revoke()
                await exterview_api.graphql("query Mine { __typename }")

            asyncio.run(ask())
            assert set(exterview_env.values()) <= set(os.environ.values())
            with open("secrets", "w") as file:
                file.write(" ".join([exterview.api_key, exterview.password, exterview_api.auth.current.value]))
            assert False


        def test_asks_nothing(exterview):
            assert False


        def test_asks_often(exterview, exterview_api):
            async def ask():
                await asyncio.gather(*(exterview_api.graphql("query { __typename }") for _ in range(60)))

            asyncio.run(ask())
            assert False


        def test_is_not_ours():
            assert False
    """
    done = run(project(tmp_path, test_failures=source), "-p", "no:asyncio")
    assert done.outcomes == {"failed": 4, "passed": 1}
    sections = done.output.split("Exterview emulator")[1:]
    assert len(sections) == 3
    lines = sections[0].splitlines()[1:6]
    assert [line.split("  ")[1] for line in lines] == ["200", "200", "401", "200", "200"]
    assert [line.split("  ")[2] for line in lines if "Mine" in line] == ["Mine"] * 3
    assert "revoked" in lines[2]
    assert sections[1].splitlines()[1] == "it saw no request"
    assert sections[2].splitlines()[1] == "... 11 earlier requests"
    for secret in (tmp_path / "secrets").read_text().split():
        assert secret not in done.output


def test_a_wrong_marker_is_one_sentence(tmp_path: Path) -> None:
    """It names what it does not take, and what it takes; a wrong value is the emulator's own error."""
    source = """
        import pytest


        @pytest.mark.exterview(ttl=60)
        def test_unknown(exterview):
            pass


        @pytest.mark.exterview(60)
        def test_positional(exterview):
            pass


        @pytest.mark.exterview(token_lifetime="long")
        def test_value(exterview):
            pass


        @pytest.mark.exterview(host="0.0.0.0")
        def test_host(exterview):
            pass
    """
    done = run(project(tmp_path, test_markers=source))
    assert done.outcomes == {"errors": 4}
    takes = "by name, it takes token_lifetime, login_delay, latency, seed, host"
    assert f"the marker exterview does not take ttl; {takes}" in done.output
    assert f"the marker exterview does not take positional arguments; {takes}" in done.output
    assert "token_lifetime must be a number of seconds" in done.output
    assert "the emulator listens on loopback only" in done.output


def test_the_closest_marker_counts(tmp_path: Path) -> None:
    """Those of class and module add to it; with a seed or a host, the test has an emulator of its own; then all is as before."""
    source = """
        import pytest

        pytestmark = pytest.mark.exterview(token_lifetime=60, latency=0.001)


        @pytest.mark.exterview(login_delay=0.01)
        class TestClass:
            @pytest.mark.exterview(token_lifetime=30)
            def test_three(self, exterview):
                assert (exterview.token_lifetime, exterview.login_delay, exterview.latency) == (30, 0.01, 0.001)


        def test_one(exterview, exterview_server):
            assert (exterview.token_lifetime, exterview.login_delay, exterview.latency) == (60, 0, 0.001)
            assert exterview is exterview_server


        @pytest.mark.exterview(seed=7, email="ada@example.com")
        def test_own(exterview, exterview_server):
            assert exterview is not exterview_server
            assert exterview.organization_id != exterview_server.organization_id
            assert (exterview.email, exterview.token_lifetime) == ("ada@example.com", 60)
    """
    plain = """
        def test_defaults(exterview):
            assert (exterview.token_lifetime, exterview.login_delay, exterview.latency) == (3600, 0, 0)
    """
    done = run(project(tmp_path, test_markers=source, test_plain=plain))
    assert done.outcomes == {"passed": 4}, done.output


def test_the_marker_is_listed(tmp_path: Path) -> None:
    """With all that it takes."""
    assert f"@pytest.mark.{_pytest_plugin.MARKER}" in run(project(tmp_path), "--markers").output


# -- fixtures ---------------------------------------------------------------------------------------------------------------


def test_the_environment_is_the_emulators_alone(tmp_path: Path) -> None:
    """What the machine has set does not count, and is there again afterwards."""
    source = """
        import os

        import pytest

        from exterview_auth import ExterviewAuth


        @pytest.fixture(autouse=True, scope="module")
        def machine():
            os.environ["EXTERVIEW_BEARER_TOKEN"] = "of-the-machine"


        def test_within(exterview_env, exterview):
            assert {name: value for name, value in os.environ.items() if name.startswith("EXTERVIEW_")} == exterview_env
            assert ExterviewAuth.from_env().account == exterview.email


        def test_afterwards():
            names = [name for name in os.environ if name.startswith("EXTERVIEW_")]
            assert names == ["EXTERVIEW_BEARER_TOKEN"]
    """
    done = run(project(tmp_path, test_environment=source))
    assert done.passed, done.output


def test_the_owner_takes_a_rotated_key_and_is_closed_at_the_end(tmp_path: Path) -> None:
    """Also if the test leaves a login behind that has no answer, or a thread whose event loop runs on."""
    source = """
        import asyncio
        import threading

        import pytest

        from exterview_auth import ClosedError

        owners, running = [], []


        def test_rotation(exterview, exterview_api):
            async def ask():
                await exterview_api.graphql("query { __typename }")
                exterview.rotate_api_key()
                await exterview_api.graphql("query { __typename }")

            asyncio.run(ask())
            owners.append(exterview_api.auth)


        def test_a_login_is_left_behind(exterview, exterview_owner):
            async def leave():
                exterview.silence(60)
                waiting = asyncio.ensure_future(exterview_owner.token())
                await asyncio.sleep(0.05)
                waiting.cancel()

            asyncio.run(leave())
            owners.append(exterview_owner)


        def test_an_applications_thread_still_runs(exterview_owner):
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, daemon=True)
            thread.start()
            asyncio.run_coroutine_threadsafe(exterview_owner.token(), loop).result(20)
            owners.append(exterview_owner)
            running.append((loop, thread))


        def test_all_are_closed():
            for loop, thread in running:
                loop.call_soon_threadsafe(loop.stop)
                thread.join()
                loop.close()
            assert len(owners) == 3
            for owner in owners:
                with pytest.raises(ClosedError):
                    asyncio.run(owner.token())
    """
    done = run(project(tmp_path, test_owner=source), "-p", "no:asyncio")
    assert done.passed, done.output


def test_an_owner_whose_loop_is_blocked_is_one_sentence(tmp_path: Path) -> None:
    """The end of the test does not wait for it for ever."""
    source = """
        import asyncio
        import threading

        from exterview_auth import _pytest_plugin

        _pytest_plugin.SECONDS_TO_CLOSE = 0.1
        over = threading.Event()


        def test_blocked(exterview_owner):
            async def block():
                await exterview_owner.token()
                started.set()
                over.wait()

            started = threading.Event()
            threading.Thread(target=lambda: asyncio.run(block()), daemon=True).start()
            assert started.wait(20)


        def test_afterwards():
            over.set()
    """
    done = run(project(tmp_path, test_blocked=source), "-p", "no:asyncio")
    assert done.outcomes == {"passed": 2, "error": 1}, done.output
    assert "exterview_owner could not be closed within 0.1 s: the event loop that used it is blocked" in done.output


@pytest.mark.parametrize(
    ("imported", "travel"),
    [
        ("from freezegun import freeze_time", "freeze_time(now + 2 * hour, tick=True, real_asyncio=True)"),
        ("import time_machine", "time_machine.travel(now + 2 * hour)"),
    ],
    ids=["freezegun", "time-machine"],
)
def test_travelling_expires_no_token_and_the_clock_does(tmp_path: Path, imported: str, travel: str) -> None:
    """After two hours of either library, a token of one hour serves on; after an hour of the clock it does not."""
    source = f"""
        from datetime import UTC, datetime, timedelta

        {imported}
        from exterview_auth.testing import expect

        SMOKE = "query {{ __typename }}"


        async def test_travel(exterview, exterview_api, exterview_clock):
            await exterview_api.graphql(SMOKE)
            now, hour = datetime.now(UTC), timedelta(hours=1)
            with {travel}:
                assert datetime.now(UTC) - now >= 2 * hour
                with expect(exterview, logins=0, refused=0, requests=1):
                    await exterview_api.graphql(SMOKE)
                exterview_clock.advance(hour.total_seconds())
                with expect(exterview, logins=1, refused=0):
                    await exterview_api.graphql(SMOKE)
    """
    done = run(project(tmp_path, test_travel=source), "-o", "asyncio_mode=auto")
    assert done.passed, done.output
