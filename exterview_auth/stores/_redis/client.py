"""The connection to Redis: of an application's own client, or made from a URL, for each event loop and process its own."""

from __future__ import annotations

import asyncio
import inspect
import os
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ...errors import ConfigurationError, StoreError
from .failures import COMMAND_TIMEOUT
from .news import News

CONNECTIONS = 64
"""At most, of one process and loop; who finds none waits for one."""
_EXAMPLE = "redis://HOST:6379/0, rediss:// for TLS, unix:// for a socket"


# What a fork inherits, for the life of the process: letting go of a connection takes it out of the parent's event loop too.
_inherited: list[object] = []


class Connected(NamedTuple):
    """What one event loop has: a client, and who listens on it."""

    client: Any
    news: News


class Clients:
    """*url_or_client* as a client for the running loop. Raises `ConfigurationError` for what is neither."""

    def __init__(self, url_or_client: Any) -> None:
        self._url = _checked_url(url_or_client) if isinstance(url_or_client, str) else None
        self._own = None if self._url is not None else _checked_client(url_or_client)
        self._by_loop: dict[asyncio.AbstractEventLoop, Connected] = {}
        self._pid = os.getpid()

    @property
    def server(self) -> str:
        """Where it connects to, without credentials."""
        return "a client of the application" if self._url is None else _public(self._url)

    def here(self) -> Connected:
        """
        The running loop's; the connections of an ended loop, or of the process before a fork, are not touched.

        Raises `StoreError` after a fork for an application's client that was used before it: what it reads would be the
        parent's.
        """
        if self._pid != os.getpid():
            self._leave_to_parent()
        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            self._by_loop = {known: its for known, its in self._by_loop.items() if not known.is_closed()}
            client = self._own if self._url is None else _client(self._url)
            self._by_loop[loop] = Connected(client, News(client))
        return self._by_loop[loop]

    def _leave_to_parent(self) -> None:
        if self._own is not None and self._by_loop:
            raise StoreError("Redis cannot be used: its client was used before the fork; make one in each process")
        _inherited.append(self._by_loop)
        self._pid, self._by_loop = os.getpid(), {}

    async def aclose(self) -> None:
        """Close what was made from the URL for the running loop; an application's own client is left alone."""
        if self._pid != os.getpid():
            _inherited.append(self._by_loop)
            return
        connected = self._by_loop.pop(asyncio.get_running_loop(), None)
        if connected is not None and self._url is not None:
            await connected.client.aclose()


def _client(url: str) -> Redis:
    return Redis.from_pool(_pool(url))


def _pool(url: str) -> BlockingConnectionPool:
    # A connection that was cut without a word is noticed by the network, where there is one.
    network: dict[str, Any] = {} if url.startswith("unix:") else {"socket_keepalive": True}
    return BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=COMMAND_TIMEOUT,
        # Neither bounds nor repetitions of its own: a lock that was taken is not to be taken again, and a process that
        # stood still is to take in what came meanwhile.
        socket_timeout=None,
        socket_connect_timeout=None,
        # Without errors to repeat after, it does not reconnect either, which who listens and who subscribes would do at once.
        retry=Retry(NoBackoff(), 0, supported_errors=()),
        protocol=2,  # no handshake
        driver_info=None,
        **network,
    )


def _checked_url(url: str) -> str:
    """*url*, if a connection could be made by it; none is opened."""
    try:
        parts = urlsplit(url)
        pool = _pool(url)
        pool.connection_class(**pool.connection_kwargs)
    except Exception as failure:  # noqa: BLE001 - options of a URL are checked in many ways, and their errors may quote it
        problem = f"the one given is none ({type(failure).__name__})"
    else:
        if "@" not in parts.path + parts.query + parts.fragment or parts.scheme == "unix":
            return url
        problem = "there is an @ behind its host: percent-encode the password in it"
    raise ConfigurationError(f"RedisStore takes a URL such as {_EXAMPLE}; {problem}")


def _checked_client(client: Any) -> Any:
    execute = getattr(client, "execute_command", None)
    if isinstance(client, type):
        raise ConfigurationError(f"RedisStore takes a client, not the class {client.__name__}; make one")
    if callable(execute) and hasattr(client, "eval"):
        if inspect.iscoroutinefunction(execute):
            return client
        raise ConfigurationError("RedisStore takes a client of redis.asyncio; this one would block the event loop")
    raise ConfigurationError(
        f"RedisStore takes a URL ({_EXAMPLE}) or a redis.asyncio client, not {type(client).__name__}"
    )


def _public(url: str) -> str:
    """Scheme and place alone."""
    parts = urlsplit(url)
    return f"unix://{parts.path}" if parts.scheme == "unix" else f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
