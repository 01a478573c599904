"""
The pytest plugin ``exterview_auth``: fixtures that give each test an emulator, and an owner that logs in to it.

pytest imports this module in every run of every project that has this package installed. So it imports nothing of the package:
each fixture does, when a test asks for it. All fixtures are sync, so that they need no plugin for async tests, and work with
each that runs them on asyncio.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from ._auth import ExterviewAuth
    from ._session import AuthSession
    from .emulator import JournalRecord
    from .testing import Clock, ThreadedEmulator

ASSIGNED = ("token_lifetime", "login_delay", "latency")
"""What the marker sets on the emulator that all tests share."""
CONSTRUCTED = ("seed", "host", "api_key", "email", "password")
"""What the marker gives to an emulator of the test's own."""
OWNED = ("login_timeout",)
"""What the marker gives to `exterview_owner`."""
TAKES = (*ASSIGNED, *CONSTRUCTED, *OWNED)
MARKER = f"exterview({'=, '.join(TAKES)}=): how the Exterview emulator and exterview_owner begin this test."
SECONDS_TO_CLOSE = 10.0
"""How long the end of a test waits for an event loop of the application's own."""
MOST_SHOWN = 50
"""Requests of the journal that a failed test shows; the last ones."""

_emulator_of = pytest.StashKey["ThreadedEmulator"]()


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, for ``--strict-markers``."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture(scope="session")
def exterview_server() -> Iterator[ThreadedEmulator]:
    """An emulator for the whole run, on a separate event loop and thread. `exterview` is this emulator, reset for each test."""
    from .testing import ThreadedEmulator  # noqa: PLC0415 - as the module says

    with ThreadedEmulator() as server:
        yield server


@pytest.fixture
def exterview(request: pytest.FixtureRequest) -> Iterator[ThreadedEmulator]:
    """
    An emulator of the Exterview API, reset for each test, with all controls and counts since the test began.

    ``exterview.logins``, ``exterview.requests`` and ``exterview.refused`` are counts; ``exterview.journal`` is shown if the test
    fails. ``@pytest.mark.exterview(token_lifetime=60)`` says how it begins: *token_lifetime*, *login_delay* and *latency* in
    seconds, or *seed*, *host*, *api_key*, *email* and *password* as `Emulator` takes them. *login_timeout* is `exterview_owner`'s.
    """
    _require_asyncio(request)
    options = {name: value for name, value in _marked(request.node).items() if name not in OWNED}
    if any(name in options for name in CONSTRUCTED):
        from .testing import ThreadedEmulator  # noqa: PLC0415 - as above

        with ThreadedEmulator(**options) as emulator:
            _show_journal_of(request.node, emulator)
            yield emulator
        return
    emulator = request.getfixturevalue("exterview_server")
    emulator.reset()
    for name, value in options.items():
        setattr(emulator, name, value)
    _show_journal_of(request.node, emulator)
    yield emulator


@pytest.fixture
def exterview_env(exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """The variables of ``ExterviewAuth.from_env()`` for the emulator, set; all others that begin with ``EXTERVIEW_`` are unset."""
    import os  # noqa: PLC0415 - as above

    from ._secret import Secret  # noqa: PLC0415 - as above

    # The report of a test that fails shows its arguments.
    variables = {
        "EXTERVIEW_ENDPOINT": exterview.endpoint,
        "EXTERVIEW_API_KEY": Secret(exterview.api_key),
        "EXTERVIEW_EMAIL": exterview.email,
        "EXTERVIEW_PASSWORD": Secret(exterview.password),
    }
    # The test's own `monkeypatch`: with another one, what the test changes would come back after the variables are unset.
    for name in [name for name in os.environ if name.startswith("EXTERVIEW_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    return variables


@pytest.fixture
def exterview_clock(exterview: ThreadedEmulator) -> Clock:
    """
    The clock of the emulator and of `exterview_owner`: ``exterview_clock.advance(3600)`` lets an hour pass for both.

    A renewal ahead of expiry runs in the background: ``async with expect(exterview, logins=1)`` around the ``advance`` waits for it.
    A login that pauses between its attempts, as after ``exterview.fail_logins(1000)``, goes on with an ``advance`` too.

    Pass it to your own owner as ``clock=exterview_clock``. Libraries that patch Python's time, such as freezegun and
    time-machine, do not move it, so no token expires by them.
    """
    return exterview.clock


@pytest.fixture
def exterview_owner(request: pytest.FixtureRequest, exterview: ThreadedEmulator) -> Iterator[ExterviewAuth]:
    """
    An `ExterviewAuth` of the emulator's user, on `exterview_clock`. It reads a rotated API key, and is closed at the end.

    With ``@pytest.mark.exterview(login_timeout=0.2)``, a login fails after so many seconds, as in a test of an outage.
    """
    from . import ExterviewAuth, PasswordLogin  # noqa: PLC0415 - as above

    async def api_key() -> str:
        return exterview.api_key

    login = PasswordLogin(exterview.email, exterview.password)
    options = {name: value for name, value in _marked(request.node).items() if name in OWNED}
    owner = ExterviewAuth(login, api_key=api_key, endpoint=exterview.endpoint, clock=exterview.clock, **options)
    yield owner
    _close(owner)


@pytest.fixture
def exterview_api(exterview_owner: ExterviewAuth) -> Iterator[AuthSession]:
    """An `AuthSession` with `exterview_owner`'s credentials, for the event loop that the test runs on."""
    from .testing._late_session import LateSession  # noqa: PLC0415 - as above

    api = LateSession(exterview_owner)
    yield api
    api.detach()


def _require_asyncio(request: pytest.FixtureRequest) -> None:
    """Fail a test that anyio's plugin is about to run on another backend, before it can."""
    if "anyio_backend" not in request.fixturenames:
        return
    backend = request.getfixturevalue("anyio_backend")
    name = backend if isinstance(backend, str) else backend[0]  # with its options
    if name != "asyncio":
        pytest.fail(
            f"exterview_auth needs asyncio, and anyio runs this test on {name}: add a fixture anyio_backend that returns"
            " 'asyncio' to the module or conftest.py",
            pytrace=False,
        )


def _marked(item: pytest.Item) -> dict[str, Any]:
    """Return what the test's markers say; the closest one counts."""
    options: dict[str, Any] = {}
    for mark in item.iter_markers("exterview"):
        unknown = [name for name in mark.kwargs if name not in TAKES]
        if mark.args or unknown:
            wrong = ", ".join(unknown) or "positional arguments"
            pytest.fail(
                f"the marker exterview does not take {wrong}; by name, it takes {', '.join(TAKES)}", pytrace=False
            )
        options = {**mark.kwargs, **options}
    return options


def _close(owner: ExterviewAuth) -> None:
    """Close *owner* on its own event loop if that runs or can still run, or else on a new one."""
    import asyncio  # noqa: PLC0415 - as above
    from threading import Thread  # noqa: PLC0415 - as above

    loop = owner._lifecycle.loop  # noqa: SLF001 - only it knows where its tasks are
    if loop is not None and loop.is_running():
        _close_on_running(loop, owner)
        return
    if loop is not None and not loop.is_closed():
        loop.run_until_complete(owner.aclose())
        return
    # On a thread, because `asyncio.run` leaves this one without the loop that a plugin may have set for it.
    closing = Thread(target=lambda: asyncio.run(owner.aclose()))
    closing.start()
    closing.join()


def _close_on_running(loop: AbstractEventLoop, owner: ExterviewAuth) -> None:
    """Close *owner* on *loop*, which a thread of the application runs."""
    import asyncio  # noqa: PLC0415 - as above

    closing = asyncio.run_coroutine_threadsafe(owner.aclose(), loop)
    try:
        closing.result(SECONDS_TO_CLOSE)
    except TimeoutError:
        closing.cancel()
        what = f"exterview_owner could not be closed within {SECONDS_TO_CLOSE:g} s"
        pytest.fail(f"{what}: the event loop that used it is blocked, or has stopped", pytrace=False)


def _show_journal_of(item: pytest.Item, emulator: ThreadedEmulator) -> None:
    item.stash[_emulator_of] = emulator
    plugins = item.config.pluginmanager
    # With the first test that has an emulator: other runs do not pay for a hook.
    if not plugins.has_plugin(_JournalInReports.__name__):
        plugins.register(_JournalInReports(), _JournalInReports.__name__)


class _JournalInReports:
    """Adds the journal to the report of a test that fails."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        emulator = item.stash.get(_emulator_of, None)
        if report.failed and emulator is not None:
            report.sections.append(("Exterview emulator", _text_of(emulator.journal)))
        return report


def _text_of(journal: tuple[JournalRecord, ...]) -> str:
    """Return the *journal*'s last records as lines, which hold no secret, as the records do not."""
    if not journal:
        return "it saw no request"
    lines = [
        f"{record.time:%H:%M:%S.%f}  {record.status or '-'}  {record.operation or record.path}"
        f"  token {record.fingerprint or '-'}  {record.reason or ''}".rstrip()
        for record in journal[-MOST_SHOWN:]
    ]
    if len(journal) > MOST_SHOWN:
        lines.insert(0, f"... {len(journal) - MOST_SHOWN} earlier requests")
    return "\n".join(lines)
