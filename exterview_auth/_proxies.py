"""The proxy on the way to a URL: what the environment names, and whether a network error is the proxy's own."""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple
from urllib.request import getproxies, proxy_bypass

from aiohttp import ClientConnectorDNSError, ClientConnectorError, ClientHttpProxyError, ClientProxyConnectionError
from yarl import URL


class NamedProxy(NamedTuple):
    """A proxy as sentences call it, and the variable that names it, if one does."""

    shown: str
    variable: str | None = None

    def __str__(self) -> str:
        return f"the proxy {self.shown}{f' from {self.variable}' if self.variable else ''}"


class ProxyFailure(NamedTuple):
    """What is wrong with the way to a proxy, and what to do."""

    problem: str
    remedy: str


def from_environment(url: URL) -> tuple[str, str] | None:
    """Return the variable that names a proxy for *url* and its value, as aiohttp's ``trust_env`` takes it; or ``None``."""
    text = None if proxy_bypass(url.host or "") else getproxies().get(url.scheme)
    if not text:
        return None
    lower = f"{url.scheme}_proxy"
    return (lower if os.environ.get(lower) else lower.upper()), text


def failure_of(error: BaseException, url: URL | None) -> ProxyFailure | None:
    """Return what *error* of a request to *url*, if that is known, says of the proxy on the way; ``None`` if nothing."""
    if isinstance(error, ClientHttpProxyError):
        proxy = error.request_info.real_url
        known = None if url is not None and _place(proxy) == _place(url) else _named(proxy, url)
        remedy = "check its URL, user and password"
        if known is not None and known.variable:
            remedy = f"check {known.variable}, and its user and password"
        return ProxyFailure(f"{known or 'the proxy'} answered {error.status}", remedy)
    if not isinstance(error, ClientConnectorError):
        return None
    of_proxy = url is not None and (error.host, error.port) != _place(url)
    if not isinstance(error, ClientProxyConnectionError) and not of_proxy:
        return None
    known = _named(URL.build(scheme="http", host=error.host, port=error.port or 80), url)
    why = (
        "its host name was not found"
        if isinstance(error, ClientConnectorDNSError)
        else "the connection was refused, or there is no route to it"
    )
    host = "the API" if url is None else url.host
    wrong = known.variable or "the proxy's http:// address"
    return ProxyFailure(f"{known} cannot be reached: {why}", f"correct {wrong}, or leave {host} out with NO_PROXY")


def on_the_way(proxy: URL | str | None, url: URL, *, trust_env: bool) -> str:
    """Return `` through the proxy ...`` where requests to *url* go through one: their session's own, or the environment's."""
    found = from_environment(url) if proxy is None and trust_env else None
    named = proxy if found is None else found[1]
    with contextlib.suppress(ValueError):
        return f" through {_named(URL(named), url)}" if named is not None else ""
    return ""


def _named(proxy: URL, url: URL | None) -> NamedProxy:
    """Return how to call *proxy* on the way to *url*: without its user and password, and with the variable it came from."""
    found = None if url is None else from_environment(url)
    same = False
    with contextlib.suppress(ValueError):
        same = found is not None and _place(URL(found[1])) == _place(proxy)
    return NamedProxy(f"{proxy.scheme}://{proxy.host}:{proxy.port}", found[0] if found is not None and same else None)


def _place(url: URL) -> tuple[str | None, int | None]:
    return url.raw_host, url.port
