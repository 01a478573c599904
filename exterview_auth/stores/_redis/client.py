"""One client of Redis for each event loop and process: the application's own, or one made from a URL."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from ..._endpoint import is_loopback
from ..._events import emit
from ..._secret import plain_kind
from ...errors import ConfigurationError, StoreError
from .errors import COMMAND_TIMEOUT, leads_elsewhere
from .notifications import ChangeFeed

T = TypeVar("T")

CONNECTIONS = 64
"""Connections of one process and loop at most; further commands wait for one."""
_EXAMPLE = "redis://HOST:6379/0, rediss:// for TLS, unix:// for a socket"

# Connections that a fork inherited, kept until the process ends: collecting one would also remove it from the parent's event loop.
_inherited: list[object] = []


class Connected(NamedTuple):
    """What one event loop has: a client, and the notifications that it receives."""

    client: Any
    changes: ChangeFeed


class RedisClients:
    """*url_or_client* as a client for each loop. Raises `ConfigurationError` if it is neither a URL nor a client."""

    def __init__(self, url_or_client: Any) -> None:
        self._url = url_or_client if isinstance(url_or_client, str) else None
        problem = None if self._url is None else _problem_with(self._url)
        if problem is not None:
            raise ConfigurationError(f"RedisStore needs a URL such as {_EXAMPLE}; {problem}")
        self._own = None if self._url is not None else _checked_client(url_or_client)
        self._logged_transport = False
        self._by_loop: dict[asyncio.AbstractEventLoop, Connected] = {}
        self._pid = os.getpid()

    @property
    def server(self) -> str:
        """Where the client connects to, without credentials."""
        if self._url is None:
            return "a client of the application"
        parts = urlsplit(self._url)
        if parts.scheme == "unix":
            return f"unix://{parts.path}"
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    @property
    def label(self) -> str:
        """What events call the store."""
        return f"RedisStore({self.server!r})"

    def current(self) -> Connected:
        """
        Return the running loop's client. The connections of an ended loop, or of the process before a fork, are not touched.

        Raises `StoreError` if an application's client was used before a fork: its responses would be the parent's.
        """
        if self._pid != os.getpid():
            if self._own is not None and self._by_loop:
                raise StoreError("Redis cannot be used: its client was used before the fork; make one in each process")
            _inherited.append(self._by_loop)
            self._pid, self._by_loop = os.getpid(), {}
        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            self._by_loop = {known: its for known, its in self._by_loop.items() if not known.is_closed()}
            client = self._own if self._url is None else Redis.from_pool(_pool(self._url))
            self._log_transport(client)
            self._by_loop[loop] = Connected(client, ChangeFeed(client))
        return self._by_loop[loop]

    async def call(self, command: Callable[[Any], Awaitable[T]]) -> T:
        """
        Return the result of a *command* of the running loop's client; send it again if another server should have got it.

        After a failover, an address leads to the new master, but connections that were open stay with the old one, now a
        replica. It has not carried out what it refuses.
        """
        client = self.current().client
        try:
            return await command(client)
        except RedisError as failure:
            if not leads_elsewhere(failure):
                raise
        # Not every client has such a pool, and no error of it may hide what the command says.
        with contextlib.suppress(Exception):
            await client.connection_pool.update_active_connections_for_reconnect()
            await client.connection_pool.disconnect(inuse_connections=False)
        return await command(client)

    async def aclose(self) -> None:
        """Close what was made from the URL for the running loop; an application's own client is left open."""
        if self._pid != os.getpid():
            _inherited.append(self._by_loop)
            return
        connected = self._by_loop.pop(asyncio.get_running_loop(), None)
        if connected is not None and self._url is not None:
            await connected.client.aclose()

    def _log_transport(self, client: Any) -> None:
        """Log once if others on the network can read what is sent."""
        if not self._logged_transport and _is_exposed(client):
            self._logged_transport = True
            hint = "tokens cross the network unencrypted; use rediss:// (TLS)"
            emit(logging.WARNING, "store.insecure_transport", store=self.label, server=self.server, hint=hint)


def _is_exposed(client: Any) -> bool:
    """Whether *client* connects to another host without TLS, as far as it says."""
    pool = getattr(client, "connection_pool", None)
    cluster = getattr(getattr(client, "nodes_manager", None), "startup_nodes", {})
    sentinels = getattr(getattr(pool, "sentinel_manager", None), "sentinels", ())
    kind = getattr(pool or next(iter(cluster.values()), None), "connection_class", SSLConnection)
    if issubclass(kind, SSLConnection | UnixDomainSocketConnection):
        return False
    # A Sentinel says only when it is asked where the master is: not on this machine, if it is not there itself.
    options = [each.connection_kwargs for each in (pool, *cluster.values()) if each is not None]
    options += [sentinel.connection_pool.connection_kwargs for sentinel in sentinels]
    return any(not is_loopback(each.get("host") or "localhost") for each in options)


def _pool(url: str) -> BlockingConnectionPool:
    # The network notices a connection that was cut without a word; a socket of this host needs no such check.
    network: dict[str, Any] = {} if url.startswith("unix:") else {"socket_keepalive": True}
    return BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=COMMAND_TIMEOUT,
        # `execute` bounds each command. A timeout of the socket would also fire when this process was paused and the
        # response has arrived; a retry would acquire a lock that is acquired already.
        socket_timeout=None,
        socket_connect_timeout=None,
        # Without errors to retry on, redis-py does not reconnect either: a read and a subscription would both do so at once.
        retry=Retry(NoBackoff(), 0, supported_errors=()),
        protocol=2,  # no handshake
        driver_info=None,
        **network,
    )


def _problem_with(url: str) -> str | None:
    """Return why no connection can be made from *url*, or ``None``; none is opened, and no error of this names the password."""
    try:
        parts = urlsplit(url)
        pool = _pool(url)
        pool.connection_class(**pool.connection_kwargs)
    except Exception as failure:  # noqa: BLE001 - options of a URL are checked in many ways, and their errors may quote it
        return f"this is not one ({type(failure).__name__})"
    # redis-py would take the rest of such a password for a database or an option, and connect to another host.
    # A socket's path may have an @ in it, but then nothing stands before the path that does not end in one.
    split = parts.scheme != "unix" or (parts.netloc and "@" not in parts.netloc)
    if split and "@" in parts.path + parts.query + parts.fragment:
        return "there is an @ after its host: percent-encode the password"
    return None


def _checked_client(client: Any) -> Any:
    execute = getattr(client, "execute_command", None)
    if isinstance(client, type):
        raise ConfigurationError(f"RedisStore needs a client, not the class {client.__name__}; make an instance")
    if callable(execute) and hasattr(client, "eval"):
        if inspect.iscoroutinefunction(execute):
            return client
        raise ConfigurationError("RedisStore needs a client of redis.asyncio; this one would block the event loop")
    raise ConfigurationError(f"RedisStore needs a URL ({_EXAMPLE}) or a redis.asyncio client, not {plain_kind(client)}")
