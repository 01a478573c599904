"""What a session is made of: its twin, its way to the network, and whether anything stands before its requests."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine, Iterable
from types import FunctionType
from typing import Any, NamedTuple

from aiohttp import ClientMiddlewareType, ClientRequest, ClientResponse, ClientSession
from aiohttp.abc import AbstractCookieJar
from multidict import CIMultiDict
from yarl import URL


def own_middlewares(session: ClientSession) -> tuple[ClientMiddlewareType, ...]:
    """Return the middlewares that *session* was created with."""
    return tuple(session._middlewares)  # noqa: SLF001 - aiohttp has no public one


def request_class_of(session: ClientSession) -> type[ClientRequest]:
    """Return the kind of requests that *session* makes."""
    return session._request_class  # noqa: SLF001 - aiohttp has no public one


def twin_of(
    session: ClientSession,
    middlewares: Iterable[ClientMiddlewareType],
    *,
    cookie_jar: AbstractCookieJar | None = None,
    request_class: type[ClientRequest] | None = None,
) -> ClientSession:
    """
    Return a twin of *session* that has *middlewares* in place of the session's: the same connections, headers, cookies and tracing.

    With a *cookie_jar*, it has cookies of its own; with a *request_class*, its own kind of requests.
    ``detach()`` ends the twin and leaves the session as it is. `ClientSession.ws_connect` takes no middlewares, and a
    subclass of the session would raise a warning today and an error in aiohttp 4.
    """
    twin = copy.copy(session)
    twin._middlewares = tuple(middlewares)  # noqa: SLF001 - aiohttp has no public one
    if cookie_jar is not None:
        twin._cookie_jar = cookie_jar  # noqa: SLF001 - as above
    if request_class is not None:
        twin._request_class = request_class  # noqa: SLF001 - as above
    return twin


class Network(NamedTuple):
    """How a session goes to the network."""

    trust_env: bool
    proxy: Any
    proxy_auth: Any


def network_of(session: ClientSession) -> Network:
    """Return how *session* goes to the network."""
    return Network(session.trust_env, session._default_proxy, session._default_proxy_auth)  # noqa: SLF001 - aiohttp has no public one


def going(session: ClientSession, network: Network) -> ClientSession:
    """Return *session*, which is nobody else's, on the same way to the *network*."""
    # Not by its constructor, which warns of what another session has been given already.
    session._trust_env, session._default_proxy, session._default_proxy_auth = network  # noqa: SLF001 - as above
    return session


def without_own_credentials(session: ClientSession) -> ClientSession:
    """Return *session*, which is nobody else's, without default headers and ``auth``, and without what a netrc file holds."""
    session._default_headers = CIMultiDict()  # noqa: SLF001 - aiohttp has no way to change them
    session._default_auth = None  # noqa: SLF001 - as above
    # ``trust_env`` means proxies and this. Not assigned: in Python's development mode, aiohttp warns of foreign attributes.
    vars(session)["_get_netrc_auth"] = lambda _host: None
    return session


def has_base_url(session: ClientSession) -> bool:
    """Whether *session* resolves relative URLs itself."""
    return session._base_url is not None  # noqa: SLF001 - aiohttp has no public one


def loop_of(session: ClientSession) -> asyncio.AbstractEventLoop:
    """Return the event loop of *session*; aiohttp deprecates its public name, which other libraries read."""
    return session._loop  # noqa: SLF001 - as the docstring says


def build_url(session: ClientSession, url: URL) -> URL:
    """Return where *session* would send *url*."""
    return session._build_url(url)  # noqa: SLF001 - aiohttp has no public one


def has_proxy(session: ClientSession) -> bool:
    """Whether requests of *session* may go through a proxy that they do not name: its own, or the environment's."""
    return session.trust_env or session._default_proxy is not None  # noqa: SLF001 - aiohttp has no public one


def _aiohttps_own(name: str) -> object:
    """Return a method of `ClientSession`, or a new object if it was replaced before this module was imported."""
    method = getattr(ClientSession, name, None)
    # The exact type, and the file: a wrapper shows another function's attributes.
    is_own = type(method) is FunctionType and method.__code__.co_filename == ClientSession.__init__.__code__.co_filename
    return method if is_own else object()


_REQUEST, _INNER_REQUEST = _aiohttps_own("request"), _aiohttps_own("_request")


def inner_request_of(session: ClientSession) -> Callable[..., Coroutine[Any, Any, ClientResponse]] | None:
    """
    Return what ``session.request`` calls if nothing stands before aiohttp's own request, or else ``None``.

    A cache, recorder, mock or tracing agent looks at the arguments: it overrides one of the two in a subclass, or replaces it in
    the class or in the session. Without one, the outer method only copies the arguments, for half of what the middleware costs.
    """
    kind, replaced = session.__class__, session.__dict__
    if (
        kind.request is _REQUEST
        and kind._request is _INNER_REQUEST  # noqa: SLF001 - aiohttp has no public one
        and "_request" not in replaced
        and "request" not in replaced
    ):
        return session._request  # noqa: SLF001 - as above
    return None


def writes_json_as_bytes(session: ClientSession) -> bool:
    """Whether *session* serializes ``json=`` to bytes, in its own way, when the request is created."""
    return session._json_serialize_bytes is not None  # noqa: SLF001 - aiohttp has no public one


def json_writer_of(session: ClientSession) -> Callable[[Any], str | bytes]:
    """Return what *session* writes ``json=`` with; one that writes bytes may know more types than `json_serialize`."""
    return session._json_serialize_bytes or session.json_serialize  # noqa: SLF001 - as above
