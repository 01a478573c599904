"""Starting and stopping the emulator, its credentials, and its controls as methods."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, overload

from aiohttp import web

from exterview_auth._clock import boot_time
from exterview_auth._options import check_callable
from exterview_auth.errors import ConfigurationError

from ._app import OAUTH, Api
from ._arguments import checked_credentials, checked_seed, loopback_address, port_number, seconds
from ._console import GRAPHQL
from ._controls import Controls
from ._journal import JournalRecord
from ._state import EmulatorState, Times
from ._stats import EmulatorStats

BACKLOG = 4096
"""Connections that may wait to be accepted, because thousands of requests may come at once."""

TIMES = Times._fields
"""What of an emulator can be assigned."""

_SHUTDOWN_SECONDS = 0.5


async def all_accepted() -> None:
    """Return once connections are accepted that are about to be: a server that closes leaves them open (python/cpython#109564)."""
    for _ in range(5):
        await asyncio.sleep(0)


class _Seconds:
    """A time of the emulator, checked when it is assigned and kept in the state, where every part reads it."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, emulator: None, owner: type) -> Self: ...
    @overload
    def __get__(self, emulator: Emulator, owner: type) -> float: ...
    def __get__(self, emulator: Emulator | None, owner: type) -> Self | float:
        if emulator is None:
            return self
        value: float = getattr(emulator._state, self._name)  # noqa: SLF001 - a part of `Emulator`
        return value

    def __set__(self, emulator: Emulator, value: float) -> None:
        emulator._controls.set_time(self._name, value)  # noqa: SLF001 - a part of `Emulator`


class Emulator:
    """
    An embedded server that answers like the Exterview API, on a loopback socket.

    ::

        async with Emulator() as emulator:
            login = PasswordLogin(emulator.email, emulator.password)
            auth = ExterviewAuth(login, api_key=emulator.api_key, endpoint=emulator.endpoint)

    The data is the same for the same *seed*. Tokens are always random, and keys and passwords are random unless you pass
    *api_key*, *email* and *password*. *token_lifetime*, *login_delay* and *latency* are seconds and may be assigned at any time.
    *port* zero takes any free port. An emulator that was stopped can be started again: at the same endpoint, with the same
    accounts, tokens and data.

    *clock* is a callable that returns seconds, by which the lifetimes of tokens are counted. Pass the same clock to
    `ExterviewAuth` to move both. Delays and silence take real time.

    Every control takes effect at once, also for requests that are in progress: `revoke`, `expire`, `rotate_api_key`, `fail_logins`,
    `refuse`, `silence`, `answer`, `reset`, and the three attributes of seconds. The page at `page` has a button for each. Other
    processes send ``POST /controls/fail-logins`` with ``{"times": 3, "status": 429}`` as JSON, and so on (``/controls/latency`` takes
    ``seconds``), and read ``GET /stats``, ``/journal`` and ``/events`` (server-sent events).
    """

    __module__ = "exterview_auth.emulator"

    # So that a misspelt attribute is an error. A subclass has `__dict__`, and may have attributes of its own.
    __slots__ = ("__weakref__", "_api", "_controls", "_host", "_port", "_runner", "_state", "_was_started")

    token_lifetime: _Seconds = _Seconds("How long each token is valid that is issued from now on, in seconds.")
    login_delay: _Seconds = _Seconds("How long each login takes that begins from now on, in seconds.")
    latency: _Seconds = _Seconds(
        "How long each request that arrives from now on waits before it is looked at, in seconds."
    )

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        token_lifetime: float = 3600.0,
        login_delay: float = 0.0,
        latency: float = 0.0,
        seed: int = 2025,
        clock: Callable[[], float] | None = None,
        api_key: str | None = None,
        email: str | None = None,
        password: str | None = None,
    ) -> None:
        """Check the arguments, which the class describes. `start` listens."""
        self._host = loopback_address(host)
        self._port = port_number(port)
        given = checked_credentials(api_key, email, password)
        times = {"token_lifetime": token_lifetime, "login_delay": login_delay, "latency": latency}
        clock = boot_time if clock is None else clock
        check_callable(clock, "clock")
        self._state = EmulatorState(
            checked_seed(seed), Times(**{name: seconds(value, name) for name, value in times.items()}), clock
        )
        self._state.accounts.adopt(*given)
        self._controls = Controls(self._state)
        self._api = Api(self._state, self._controls)
        self._runner: web.AppRunner | None = None
        self._was_started = False

    def __setattr__(self, name: str, value: object) -> None:
        try:
            super().__setattr__(name, value)
        except AttributeError:
            unknown = f"{name!r} cannot be assigned; what can are {', '.join(TIMES)}"
        else:
            return
        raise AttributeError(unknown, name=name, obj=self)

    async def start(self) -> Self:
        """Listen; raise `ConfigurationError` if the port is taken, or the emulator is running already."""
        if self._runner is not None:
            raise ConfigurationError("the emulator is running already; call stop() first, or create another one")
        # Set before the first await, so that a second `start` in the meantime is refused.
        self._runner = runner = web.AppRunner(
            self._api.application(),
            access_log=None,
            handler_cancellation=True,  # a login whose client has gone away must not count as running
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        self._state.faults.start()
        try:
            await runner.setup()
            await web.TCPSite(runner, self._host, self._port, backlog=BACKLOG).start()
        except BaseException as error:
            self._runner = None
            await runner.cleanup()
            if isinstance(error, OSError):
                raise ConfigurationError(_cannot_listen(self._host, self._port, error)) from None
            raise
        self._port = runner.addresses[0][1]  # kept for the next start: users have the endpoint's URL in their hands
        self._was_started = True
        return self

    async def stop(self) -> None:
        """Close every connection and end every task, also of unanswered requests. Calling it again is fine."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        await all_accepted()
        await runner.cleanup()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def __repr__(self) -> str:
        if not self._was_started:
            return "<Emulator not started>"
        return f"<Emulator {self.endpoint} {'stopped' if self._runner is None else 'running'}>"

    @property
    def endpoint(self) -> str:
        """The GraphQL endpoint's URL; the other paths are on the same origin."""
        return f"{self._origin}{GRAPHQL}"

    @property
    def token_endpoint(self) -> str:
        """The OAuth 2.0 token endpoint's URL (RFC 6749, section 3.2)."""
        return f"{self._origin}{OAUTH}"

    @property
    def page(self) -> str:
        """The URL of the page for people."""
        return f"{self._origin}/"

    @property
    def api_key(self) -> str:
        """The organization's current API key."""
        return self._started.accounts.api_key

    @property
    def restricted_api_key(self) -> str:
        """A valid key without permissions: it may log in, and every other operation is answered 403."""
        return self._started.accounts.restricted_api_key

    @property
    def email(self) -> str:
        """The user's e-mail address."""
        return self._started.accounts.email

    @property
    def password(self) -> str:
        """The user's password."""
        return self._started.accounts.password

    @property
    def client_id(self) -> str:
        """The OAuth client's id."""
        return self._started.accounts.client_id

    @property
    def client_secret(self) -> str:
        """The OAuth client's secret."""
        return self._started.accounts.client_secret

    @property
    def organization_id(self) -> str:
        """The organization's id, an argument of `getCandidates`."""
        return self._started.data.organization_id

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The ids of the open jobs."""
        return tuple(self._started.data.jobs)

    def issue_token(self) -> str:
        """Return a valid bearer token without a login, for `StaticLogin`."""
        return self._started.issue_token()

    def revoke(self) -> None:
        """Make every bearer token invalid; refresh tokens stay valid."""
        self._controls.revoke()

    def expire(self) -> None:
        """End the lifetime of every bearer token."""
        self._controls.expire()

    def rotate_api_key(self) -> str:
        """Replace the organization's API key and return the new one. The old one is answered 401 from now on."""
        _ = self._started
        return self._controls.rotate_api_key()

    def fail_logins(self, times: int, status: int = 503, retry_after: float | str | None = None) -> None:
        """
        Answer the next *times* logins with *status*; zero ends it.

        *retry_after* is sent as the header ``Retry-After``: seconds, or an HTTP date.
        """
        self._controls.fail_logins(times, status, retry_after)

    def refuse(self, times: int, status: int = 401, retry_after: float | str | None = None) -> None:
        """
        Answer the next *times* requests that are not logins and have valid credentials with *status*; zero ends it.

        *retry_after* is as for `fail_logins`.
        """
        self._controls.refuse(times, status, retry_after)

    def silence(self, seconds: float) -> None:
        """Accept logins and do not answer them for *seconds* from now; zero ends it."""
        self._controls.silence(seconds)

    def answer(self, operation_name: str, data: Any = ..., errors: Any = ...) -> None:
        """
        Answer an operation with *data*, GraphQL *errors*, or both, in place of the engine's answer.

        *operation_name* is the name that `journal` shows: that of the operation, or of its first field if it has no name. The
        schema need not have the operation. Its requests need valid credentials, like all others. *errors* is a list of objects,
        or of messages. Without *data* and *errors*, the operation is answered by the engine again.

        For ``bulk-upload``, whose form must still be valid, *data* is the whole answer, and *errors* are not possible. OAuth
        logins are always the emulator's own.
        """
        self._controls.answer(operation_name, data, errors)

    def reset(self) -> None:
        """
        Begin again: no token is valid, and times, data, faults, canned answers, counters and journal are those of the beginning.

        The credentials stay, also a rotated API key. Delayed requests are answered at once. A request that was in progress does
        not change what comes later: it is not counted, uses up no fault, and a token that it gets is not valid.
        """
        self._controls.reset()

    def stats(self) -> EmulatorStats:
        """Return the counters since the start or the last `reset`."""
        return self._state.stats()

    @property
    def journal(self) -> tuple[JournalRecord, ...]:
        """The last 1000 requests, the oldest first, each with its answer. Requests of the page are left out."""
        return self._state.journal.records()

    @property
    def _origin(self) -> str:
        _ = self._started
        return f"http://[{self._host}]:{self._port}" if ":" in self._host else f"http://{self._host}:{self._port}"

    @property
    def _started(self) -> EmulatorState:
        if not self._was_started:
            raise ConfigurationError(
                "the emulator was not started; use 'async with Emulator() as emulator' or await start()"
            )
        return self._state


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken; choose another one, or 0 for any free port"
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights than this user has; choose one from 1024 on, or 0 for any free port"
    return f"cannot listen on port {port} of {host} ({error.strerror or error}); choose another host or port"
