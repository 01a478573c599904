"""The way to the API: proxy, DNS, TLS, an answer to an unsigned request, and the server's clock."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from typing import NamedTuple
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from exterview_auth._aiohttp.internals.sessions import without_own_credentials
from exterview_auth._calls import DaemonThreads, bounded
from exterview_auth._endpoint import is_encrypted, is_loopback
from exterview_auth._proxies import from_environment
from exterview_auth.logins._unreachable import PRIVATE_CA

from ..account import FAILURES
from ..advice import NOT_A_PROGRAMS, ErrorContext, advice
from ..scrubber import Scrubber
from .report import Check, Status, failed, ok, skipped, warned

CLOCK_WARNS, CLOCK_FAILS = 60, 300
"""Seconds between this clock and the server's, from which on that is a warning and a failure."""
CERTIFICATE_WARNS = 14
"""Days that a certificate has left, at most, for a warning."""

_DAY = 86_400
_SERVER_ERROR, _REDIRECT, _CLIENT_ERROR = 500, 300, 400
_NO_PROXY = "leave this machine out of the proxy with NO_PROXY"


class Answer(NamedTuple):
    """What an unsigned request got, and when it was sent and answered, by this clock."""

    status: int
    date: str | None
    sent: float
    received: float


async def network_checks(endpoint: URL, seconds: float) -> AsyncIterator[Check]:
    """Yield what stands between this machine and *endpoint*; each wait takes at most *seconds*."""
    proxy = _proxy(endpoint)
    yield proxy.check
    resolved = await _dns(endpoint, seconds) if proxy.url is None else ok("dns", "left to the proxy")
    yield resolved
    # A name that nobody knows is said once.
    reachable = resolved.status is Status.OK and proxy.check.status is not Status.FAIL
    if proxy.url is None and is_encrypted(endpoint):
        yield await _tls(endpoint, seconds) if reachable else skipped("tls", "dns")
    answer = await _answer(endpoint, seconds) if reachable else None
    if proxy.url is not None or not is_encrypted(endpoint):
        yield _tls_without_a_look(endpoint, answer)
    yield (
        _connection(answer, endpoint)
        if answer is not None
        else skipped("connection", "proxy" if resolved.status is Status.OK else "dns")
    )
    yield _clock(answer)


# -- the proxy -------------------------------------------------------------------------------------------------------


class Proxy(NamedTuple):
    """The proxy that requests to the endpoint go through, if there is one, and what to say about it."""

    check: Check
    url: URL | None = None


def _proxy(endpoint: URL) -> Proxy:
    """Return the proxy that aiohttp would take from the environment."""
    host, configured, found = endpoint.host or "", getproxies(), from_environment(endpoint)
    if found is None:
        if configured.get("all") and not proxy_bypass(host):
            remedy = f"set {endpoint.scheme.upper()}_PROXY, if the API is to be reached through it"
            return Proxy(warned("proxy", "ALL_PROXY is set, and not read", remedy))
        why = f", because NO_PROXY names {host}" if configured.get(endpoint.scheme) else ""
        return Proxy(ok("proxy", f"none{why}"))
    variable, text = found
    try:
        url = URL(text)
        shown = f"{url.scheme}://{url.host}:{url.port}"
    except ValueError:
        return Proxy(failed("proxy", f"{variable} is no URL", "set it to one such as http://proxy.example:3128"))
    return _judged(endpoint, url, shown, variable)


def _judged(endpoint: URL, url: URL, shown: str, variable: str) -> Proxy:
    if url.scheme == "https":
        return Proxy(warned("proxy", f"{shown} in {variable} is not used", "give the http:// address of the proxy"))
    if url.scheme != "http" or not url.host:
        return Proxy(
            failed("proxy", f"{variable} is no http:// URL", "set it to one such as http://proxy.example:3128")
        )
    if not is_encrypted(endpoint) and not is_loopback(url.host):
        return Proxy(failed("proxy", f"plain HTTP would pass {shown}", f"{_NO_PROXY}; {NOT_A_PROGRAMS}"), url)
    with_user = ", with a user and password" if url.user else ""
    return Proxy(ok("proxy", f"{shown} from {variable}{with_user}: {NOT_A_PROGRAMS}"), url)


# -- names and certificates ------------------------------------------------------------------------------------------


async def _dns(endpoint: URL, seconds: float) -> Check:
    """Return whether the endpoint's host has an address."""
    host = endpoint.raw_host or ""
    remedy = "check EXTERVIEW_ENDPOINT or EXTERVIEW_ENVIRONMENT, and this machine's name servers"
    # In a daemon thread: a resolver that hangs does not delay the end of the command.
    resolve = partial(socket.getaddrinfo, host, endpoint.port, type=socket.SOCK_STREAM)
    try:
        found = await bounded(DaemonThreads(1, "exterview_auth doctor").run(resolve), seconds)
    except TimeoutError:
        return failed("dns", f"no answer about {host} within {seconds:g} s", remedy)
    except (OSError, UnicodeError) as error:
        return failed(
            "dns", f"{host} has no address ({getattr(error, 'strerror', None) or type(error).__name__})", remedy
        )
    addresses = sorted({str(address[0]) for *_, address in found})
    return ok("dns", f"{host} is an address" if addresses == [host] else f"{host} has {', '.join(addresses)}")


async def _tls(endpoint: URL, seconds: float) -> Check:
    """Return whether the endpoint's certificate is trusted, and for how long."""
    host, port = endpoint.raw_host or "", endpoint.port or 443
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(
                host, port, ssl=ssl.create_default_context(), server_hostname=host
            )
    except ssl.SSLCertVerificationError as error:
        remedy = f"check EXTERVIEW_ENDPOINT; {PRIVATE_CA}"
        return failed("tls", f"the certificate of {host} is not trusted ({error.verify_message.rstrip('. ')})", remedy)
    except ssl.SSLError as error:
        return failed(
            "tls", f"{host}:{port} does not speak TLS ({error.reason})", "check the port in EXTERVIEW_ENDPOINT"
        )
    except OSError as error:  # a timeout too
        why = error.strerror or type(error).__name__
        return failed("tls", f"no connection to {host}:{port} ({why})", "check the network, firewalls and HTTPS_PROXY")
    spoken = writer.get_extra_info("ssl_object")
    check = _certificate(host, spoken.version(), spoken.getpeercert())
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        await bounded(writer.wait_closed(), 1.0)
    return check


def _certificate(host: str, version: str | None, certificate: dict[str, object] | None) -> Check:
    ends = ssl.cert_time_to_seconds(str((certificate or {})["notAfter"]))
    days = int((ends - time.time()) // _DAY)
    detail = f"{version}, and the certificate of {host} is valid for {days} days"
    if days < CERTIFICATE_WARNS:
        return warned("tls", detail, "have the API's operator renew it, or wait: most are renewed by themselves")
    return ok("tls", detail)


def _tls_without_a_look(endpoint: URL, answer: Answer | Exception | None) -> Check:
    """Return what is known of TLS where no connection of our own shows it."""
    if not is_encrypted(endpoint):
        return ok("tls", "not used: the endpoint is on this machine")
    if isinstance(answer, aiohttp.ClientSSLError):
        remedy = "check EXTERVIEW_ENDPOINT; if the proxy looks into TLS, set SSL_CERT_FILE to its certificates"
        return failed("tls", f"the certificate of {endpoint.host} is not trusted through the proxy", remedy)
    if isinstance(answer, Answer):
        return ok("tls", f"the certificate of {endpoint.host} is trusted, through the proxy")
    return skipped("tls", "connection")


# -- an answer -------------------------------------------------------------------------------------------------------


async def _answer(endpoint: URL, seconds: float) -> Answer | Exception:
    """Return what the endpoint answers to a request without credentials."""
    limit = aiohttp.ClientTimeout(total=seconds)
    try:
        async with without_own_credentials(aiohttp.ClientSession(timeout=limit, trust_env=True)) as http:
            sent = time.time()
            async with http.get(endpoint, allow_redirects=False) as response:
                return Answer(response.status, response.headers.get("Date"), sent, time.time())
    except FAILURES as error:
        return error


def _connection(answer: Answer | Exception, endpoint: URL) -> Check:
    if isinstance(answer, Exception):
        advised = advice(answer, ErrorContext(None, Scrubber(os.environ), endpoint=endpoint))
        return failed("connection", advised.message, advised.hint)
    took = f"answers {answer.status} to a request without credentials, after {(answer.received - answer.sent) * 1000:.0f} ms"
    if answer.status >= _SERVER_ERROR:
        return warned("connection", took, "the server has a problem: try again later")
    if _REDIRECT <= answer.status < _CLIENT_ERROR:
        return warned(
            "connection", took, "set EXTERVIEW_ENDPOINT to its final URL: credentials do not follow a redirect"
        )
    return ok("connection", took)


# -- the clock -------------------------------------------------------------------------------------------------------


def _clock(answer: Answer | Exception | None) -> Check:
    """Return how far this machine's clock is from the server's."""
    if not isinstance(answer, Answer):
        return skipped("clock", "connection")
    date = _server_time(answer.date)
    if date is None:
        return warned("clock", "not compared, because the answer has no Date", "compare it with another clock")
    # The header says whole seconds, and the server wrote it at some moment between the two of ours.
    ahead = (answer.sent + answer.received) / 2 - (date + 0.5)
    seconds = round(abs(ahead) + (answer.received - answer.sent) / 2)
    if seconds < CLOCK_WARNS:
        return ok("clock", f"within {max(seconds, 1)} s of the server's")
    detail = f"{seconds} s {'ahead of' if ahead > 0 else 'behind'} the server's"
    make = failed if seconds >= CLOCK_FAILS else warned
    return make(
        "clock", detail, "set this machine's clock by NTP: tokens seem to end early or late, and signatures fail"
    )


def _server_time(date: str | None) -> float | None:
    """Return the header's time in seconds since the epoch."""
    try:
        moment = None if date is None else parsedate_to_datetime(date)
        # Without a zone, it is in UTC too (RFC 9110, section 5.6.7).
        return None if moment is None else (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
