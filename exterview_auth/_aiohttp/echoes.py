"""aiohttp's errors without what a server may repeat in them: addresses, lines and bytes of its answer."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import (
    ClientError,
    ClientPayloadError,
    ClientResponseError,
    ConnectionTimeoutError,
    InvalidUrlRedirectClientError,
    NonHttpUrlRedirectClientError,
    RequestInfo,
    ServerDisconnectedError,
    TooManyRedirects,
)
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from .._calls import innermost
from .._endpoint import shown_url
from .internals.imported import HttpProcessingError

_REDIRECTED = "the API redirects to an address that cannot be followed"
_DAMAGED = "the answer ended too early, or its encoding is damaged"


_REBUILT: dict[type[Exception], Callable[[URL], Exception]] = {
    InvalidUrlRedirectClientError: lambda sent: InvalidUrlRedirectClientError(shown_url(sent), _REDIRECTED),
    NonHttpUrlRedirectClientError: lambda sent: NonHttpUrlRedirectClientError(f"{shown_url(sent)}: {_REDIRECTED}"),
    ClientPayloadError: lambda sent: ClientPayloadError(f"{shown_url(sent)}: {_DAMAGED}"),
    ServerDisconnectedError: lambda _: ServerDisconnectedError(),
    ConnectionTimeoutError: lambda sent: ConnectionTimeoutError(f"Connection timeout to host {sent.origin()}"),
}
"""By class: aiohttp's own constructors. Other errors of connections and time hold nothing from an answer."""


def without_echo(error: Exception, endpoint: URL) -> Exception:
    """
    Return an error of the same class that holds nothing from the answer; or *error* itself, if it never does.

    *endpoint* is where the request was sent, which is shown without its query.
    """
    if isinstance(error, ClientResponseError):
        return _without_answer(error, endpoint)
    kind = InvalidUrlRedirectClientError if _is_about_an_address(error) else type(error)
    return _REBUILT[kind](endpoint) if kind in _REBUILT else error


def _without_answer(error: ClientResponseError, endpoint: URL) -> ClientError:
    if isinstance(error, TooManyRedirects):
        message = "too many redirects"
    elif isinstance(error.__cause__, HttpProcessingError):
        message = "the answer is not HTTP"
    else:
        return error  # the application's own, such as a middleware that raises for a status
    url = URL(shown_url(endpoint))
    request = RequestInfo(url, error.request_info.method, CIMultiDictProxy(CIMultiDict()), url)
    return type(error)(request, (), status=error.status, message=message)


def _is_about_an_address(error: BaseException) -> bool:
    """Whether *error* is yarl's for a "//[]@", or Python's for a host name that cannot be encoded; not the application's."""
    place = innermost(error)
    is_of_yarl = place is not None and str(place.tb_frame.f_globals.get("__name__")).startswith("yarl.")
    # Python 3.12 names the codec in a note alone.
    said = (str(error), *getattr(error, "__notes__", ()))
    return (isinstance(error, IndexError) and is_of_yarl) or (
        isinstance(error, UnicodeError) and any("'idna'" in text for text in said)
    )
