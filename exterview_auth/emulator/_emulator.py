"""Starting, stopping and steering the emulator."""

from __future__ import annotations

import errno
from types import TracebackType
from typing import Self

from aiohttp import web

from exterview_auth.errors import ConfigurationError

from ._app import GRAPHQL, OAUTH, Api
from ._arguments import loopback_address, port_number
from ._controls import Controls
from ._state import EmulatorState

BACKLOG = 4096
"""Connections that may wait to be accepted: thousands of requests come at once."""

_SHUTDOWN_SECONDS = 0.5


class Emulator(Controls):
    """
    An embedded server that answers like the Exterview API, on a loopback socket.

    ::

        async with Emulator() as emulator:
            login = PasswordLogin(emulator.email, emulator.password)
            auth = ExterviewAuth(login, api_key=emulator.api_key, endpoint=emulator.endpoint)

    The data is the same for the same *seed*; keys, passwords and tokens never are. *token_lifetime*, *login_delay* and
    *latency* (before every answer) are seconds and may be assigned while it runs. *port* zero takes any free port.
    A stopped emulator can be started again: at the same endpoint, with the same accounts, tokens and data.

    Every control takes effect at once, also for requests that are on their way.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        token_lifetime: float = 3600.0,
        login_delay: float = 0.0,
        latency: float = 0.0,
        seed: int = 2025,
    ) -> None:
        self._host = loopback_address(host)
        self._port = port_number(port)
        super().__init__(EmulatorState(seed, token_lifetime=token_lifetime, login_delay=login_delay, latency=latency))
        self._api = Api(self._state)
        self._runner: web.AppRunner | None = None

    async def start(self) -> Self:
        """Listen; raises `ConfigurationError` where the port is taken or the emulator runs already."""
        if self._runner is not None:
            raise ConfigurationError("the emulator runs already; stop() it first, or make another one")
        runner = web.AppRunner(
            self._api.application(),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        self._runner = runner
        self._state.faults.open()
        try:
            await runner.setup()
            await web.TCPSite(runner, self._host, self._port, backlog=BACKLOG).start()
        except BaseException as error:
            self._runner = None
            await runner.cleanup()
            if isinstance(error, OSError):
                raise ConfigurationError(_cannot_listen(self._host, self._port, error)) from None
            raise
        self._port = runner.addresses[0][1]
        self._was_started = True
        return self

    async def stop(self) -> None:
        """Close every connection, hanging ones too, and end every task; a second time does nothing."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def endpoint(self) -> str:
        """The GraphQL endpoint's URL; the other paths are on the same origin."""
        return f"{self._origin}{GRAPHQL}"

    @property
    def token_endpoint(self) -> str:
        """The OAuth 2.0 token endpoint's URL (RFC 6749, section 3.2)."""
        return f"{self._origin}{OAUTH}"

    def __repr__(self) -> str:
        state = "running" if self._runner is not None else "stopped" if self._was_started else "not started"
        return f"<Emulator {self.endpoint} {state}>" if self._was_started else f"<Emulator {state}>"

    @property
    def _origin(self) -> str:
        _ = self._started
        return f"http://[{self._host}]:{self._port}" if ":" in self._host else f"http://{self._host}:{self._port}"


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken; choose another one, or 0 for any free port"
    if error.errno == errno.EACCES:
        return f"port {port} is not for this user; choose one from 1024 on, or 0 for any free port"
    return f"port {port} on {host} cannot be listened on ({error.strerror or error}); choose another host or port"
