"""`LateSession`: the `AuthSession` of a test, made before the test's event loop runs."""

from __future__ import annotations

import asyncio

from aiohttp import ClientSession, TCPConnector, ThreadedResolver

from .._aiohttp.internals.sessions import loop_of
from .._auth import ExterviewAuth
from .._session import AuthSession
from ..errors import ConfigurationError


class LateSession(AuthSession):
    """
    An `AuthSession` on an aiohttp session that is created when it is first used, on the event loop that runs then.

    A fixture that needs no plugin for async tests is sync, and aiohttp creates no session outside a loop. It keeps no connection
    open, because nothing of a loop can be closed once that has ended, as it has when such a fixture ends.
    """

    __slots__ = ("_late",)

    def __init__(self, auth: ExterviewAuth) -> None:
        # Without the constructor of `AuthSession`, which takes a session.
        self._attach(auth, (), has_base_url=False)
        self._late: ClientSession | None = None

    @property
    def _session(self) -> ClientSession:  # type: ignore[override]  # which is assigned there
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError(
                "exterview_api needs asyncio, and none of its event loops runs here; run the test on asyncio, not on trio"
            ) from None
        if self._late is None or self._late.closed or loop_of(self._late) is not loop:
            self.detach()
            self._late = ClientSession(connector=TCPConnector(force_close=True, resolver=ThreadedResolver()))
        return self._late

    def detach(self) -> None:
        """Let go of the session; outside its loop, too. No connection is left but those of answers that nobody has read."""
        if self._late is not None:
            self._late.detach()
            self._late = None

    def __repr__(self) -> str:
        return f"AuthSession(<a session made on first use>, {self._auth!r})"
