"""The constructor's arguments as `ExterviewAuth.from_env` takes them: they change with the constructor, not with the variables."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypedDict

from aiohttp import ClientResponse, ClientSession
from yarl import URL

from ._token import Token
from .errors import ConfigurationError
from .logins._context import LoginContext
from .stores import TokenStore

if TYPE_CHECKING:
    from ._events import Reason
    from ._login_record import LoginRecord


class Overrides(TypedDict, total=False):
    """The arguments of `ExterviewAuth`, each of which takes precedence over the variables."""

    login: Callable[[LoginContext], Awaitable[Token]]
    api_key: str | Callable[[], str | Awaitable[str]]
    endpoint: str | URL
    store: TokenStore | None
    account: str | None
    origins: Iterable[str | URL]
    login_timeout: float
    refresh_ahead: float
    max_logins: tuple[int, float]
    is_unauthorized: Callable[[ClientResponse], bool | Awaitable[bool]] | None
    on_token: Callable[[Token, Token | None, Reason], object] | None
    on_login: Callable[[LoginRecord], object] | None
    login_session: ClientSession | None
    clock: Callable[[], float] | None


def check_names(overrides: Iterable[str], owner: type) -> None:
    """Raise `ConfigurationError` for one that the constructor of *owner*, perhaps a subclass, does not take."""
    parameters = inspect.signature(owner).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    unknown = [] if takes_any else sorted(set(overrides) - set(parameters))
    if unknown:
        name = owner.__name__
        raise ConfigurationError(f"{name} has no argument {unknown[0]!r}; see help({name})")
