"""Faults of the login endpoint: all waiters get one typed error, and no more logins are sent than can help."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import TCPConnector, ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from exterview_auth import CredentialsRejectedError, LoginError, LoginUnavailableError
from tests.kit.certificates import HOST, certificate

from ._raw_server import Act, Call, RawServer, once, silence, status
from ._row import Kind, Outcome, Play, Row, after
from ._site import site
from ._stage import Stage

PLACE = "login endpoint"
THRICE = 1.74
"""Seconds of login timeout: the third login begins after 0.75 to 1.25 s, the fourth would not before another second."""


# -- before HTTP --------------------------------------------------------------------------------------------------------


async def refused(stage: Stage) -> Outcome:
    """The port is closed."""
    at = await site(stage, login_timeout=THRICE)
    await at.server.hang_up()
    met = await at.met_by()
    await at.server.listen()
    return await at.outcome(met)


async def nameless(stage: Stage) -> Outcome:
    """The host name is unknown until it is learned."""
    names = Names()
    return await over_tls(stage, names.learn, host=HOST, trusted=True, names=names, seconds=2.0)


class Names(AbstractResolver):
    """The system's resolver, with every name once it was learned."""

    def __init__(self) -> None:
        self._system = ThreadedResolver()
        self._learned = False

    def learn(self, _trust: ssl.SSLContext, _authority: Path) -> None:
        """From now on every name is this machine's."""
        self._learned = True

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return await self._system.resolve("127.0.0.1" if self._learned else host, port, family)

    async def close(self) -> None:
        """There is nothing open."""


async def distrusted(stage: Stage) -> Outcome:
    """The certificate is not valid until its authority is trusted."""
    return await over_tls(stage, ssl.SSLContext.load_verify_locations)


async def over_tls(
    stage: Stage,
    heal: Callable[[ssl.SSLContext, Path], None],
    *,
    host: str = "127.0.0.1",
    trusted: bool = False,
    names: Any = None,
    seconds: float = THRICE,
) -> Outcome:
    """A server that cannot be reached before *heal*."""
    authority, key = certificate(stage.directory)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority, key)
    trust = ssl.create_default_context(cafile=authority if trusted else None)
    login_session = stage.session(connector=TCPConnector(ssl=trust, resolver=names))
    connector = TCPConnector(ssl=trust, resolver=names)
    server = RawServer(tls, host=host)
    at = await site(stage, server, connector=connector, login_session=login_session, login_timeout=seconds)
    met = await at.met_by()
    heal(trust, authority)
    return await at.outcome(met)


# -- a response, or none ------------------------------------------------------------------------------------------------


def login(make: Callable[[RawServer], Act], **options: Any) -> Play:
    """A login endpoint that does this until it is healed."""

    async def play(stage: Stage) -> Outcome:
        at = await site(stage, **options)
        at.server.login = make(at.server)
        met = await at.met_by()
        at.server.login = at.server.issue
        return await at.outcome(met)

    return play


async def breaks_off(call: Call) -> None:
    await call.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"data": ')
    call.reset()


async def drips(call: Call) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n":
        await call.write(bytes([byte]))
        await asyncio.sleep(1)


def token(value: str) -> Callable[[RawServer], Act]:
    return lambda _: status(200, {"data": {"login": {"token": value}}})


async def flooded(stage: Stage) -> Outcome:
    """A hundred megabytes, of which only a mebibyte is read, and what the sockets hold."""
    sent = 0

    async def flood(call: Call) -> None:
        nonlocal sent
        await call.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1000):
            await call.write(b" " * 100_000)
            sent += 100_000

    outcome = await login(lambda _: flood)(stage)
    return outcome if sent < 2**24 else outcome._replace(left=(f"{sent} bytes were read",))


async def redirected(stage: Stage) -> Outcome:
    """The server of the redirect's target gets no request."""
    elsewhere = await stage.open(RawServer())
    asked: list[Call] = []

    async def listens(call: Call) -> None:
        asked.append(call)
        await elsewhere.issue(call)

    elsewhere.login = elsewhere.api = listens
    outcome = await login(lambda _: status(307, {}, f"Location: {elsewhere.endpoint}"))(stage)
    return outcome._replace(left=("the redirect was followed",) * bool(asked))


def _times(number: int) -> tuple[Row, Row]:
    refusal = status(number, {"error": "later"})
    wait = () if number != 429 else ("Retry-After: 1",)
    come_back = status(number, {"error": "later"}, *wait)
    return (
        Row(PLACE, f"{number} once", login(lambda at: once(come_back, at.issue), login_timeout=5.0), logins=2),
        Row(
            PLACE,
            f"{number} for ever",
            login(lambda _: refusal, login_timeout=THRICE),
            LoginUnavailableError,
            f"{number}",
            logins=3,
        ),
    )


def _rejection(number: int) -> Row:
    play = login(lambda _: status(number, {"error": "Invalid credentials"}))
    kind = CredentialsRejectedError
    return Row(PLACE, str(number), play, kind, f"{number}", then=after(kind))


def _wrong(fault: str, make: Callable[[RawServer], Act], says: str, gets: Kind = LoginError, **rest: Any) -> Row:
    return Row(PLACE, fault, login(make), gets, says, **{"then": after(gets), **rest})


DENIED = {"errors": [{"message": "Wrong password", "extensions": {"code": "UNAUTHENTICATED"}}], "data": None}
TOO_LATE = "within 2 s|did not answer in time"
"""The login's time and its request's end at the same moment."""
HTML = status(200, b"<html><body>It works!</body></html>", "Content-Type: text/html")

ROWS = (
    Row(PLACE, "connection refused", refused, LoginUnavailableError, "the connection was refused", logins=3),
    Row(
        PLACE,
        "name not found",
        nameless,
        LoginUnavailableError,
        "its host name was not found|within 2 s",
        logins=(1, 4),
    ),
    Row(PLACE, "TLS refused", distrusted, LoginUnavailableError, "the TLS handshake failed", logins=3),
    Row(
        PLACE,
        "reset in the middle of the answer",
        login(lambda _: breaks_off, login_timeout=THRICE),
        LoginUnavailableError,
        "the response ended too early",
        logins=3,
    ),
    _wrong("accepts and never answers", lambda _: silence, TOO_LATE, LoginUnavailableError),
    _wrong("one byte a second", lambda _: drips, TOO_LATE, LoginUnavailableError),
    *(row for number in (429, 500, 502, 503) for row in _times(number)),
    *(_rejection(number) for number in (400, 401, 403)),
    _wrong(
        "200 with GraphQL errors",
        lambda _: status(200, DENIED),
        "Wrong password",
        CredentialsRejectedError,
    ),
    _wrong("200 without a token", lambda _: status(200, {"data": {"login": {}}}), "without a token"),
    _wrong("200 with HTML", lambda _: HTML, "text/html instead of JSON"),
    Row(PLACE, "an answer of 100 MB", flooded, LoginError, "more than 1048576 bytes", then=LoginError),
    _wrong("a token with control characters", token("token-1\r\nX: y"), "control characters"),
    _wrong("a token of 1 MB", token("token-1" * 140_000), "too long"),
    Row(PLACE, "redirect to another origin", redirected, LoginError, "credentials are not sent there", then=LoginError),
)
