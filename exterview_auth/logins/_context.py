"""What a login is, and what it gets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import NoReturn, Protocol, runtime_checkable

from aiohttp import ClientSession
from yarl import URL

from .._endpoint import shown_url
from .._options import check_callable
from .._refusals import discreet, shown_when_made
from .._secret import Secret, plain_kind, refuse_pickling
from .._token import Token
from ..errors import ConfigurationError, CredentialsRejectedError, LoginUnavailableError

MAX_RESPONSE = 2**20
"""Bytes of a login endpoint's response that are read at most."""


class LoginContext:
    """
    The arguments of one login.

    ``endpoint`` is the API's URL, ``api_key`` the organization's current key, ``previous`` the token that is being
    replaced (or ``None``). ``session`` is an `aiohttp.ClientSession` on separate connections (those of ``login_session=``, if
    it is given): it never goes through the middleware and never queues behind the caller's requests. It is closed when the
    login ends.

    The login may run although no request waits, to renew a token ahead of expiry. It may hold the account's lock in a store,
    and has the owner's ``login_timeout`` for all its attempts.
    """

    __module__ = "exterview_auth"

    __slots__ = ("_make_session", "_session", "api_key", "endpoint", "previous")

    @discreet
    def __init__(
        self, *, session: Callable[[], ClientSession], endpoint: URL, api_key: str, previous: Token | None = None
    ) -> None:
        check_callable(session, "session")
        if not isinstance(endpoint, URL):
            raise ConfigurationError(f"endpoint must be a yarl.URL, not {plain_kind(endpoint)}")
        if not isinstance(api_key, str):
            raise ConfigurationError(f"api_key must be text, not {plain_kind(api_key)}")
        if previous is not None and not isinstance(previous, Token):
            raise ConfigurationError(f"previous must be a Token, not {plain_kind(previous)}")
        self._make_session = session
        self._session: ClientSession | None = None
        self.endpoint: URL = endpoint
        self.api_key: str = Secret(api_key)
        self.previous: Token | None = previous

    @property
    def session(self) -> ClientSession:
        """The login's session, created on first access: a login that needs no network opens nothing."""
        if self._session is None:
            self._session = self._make_session()
        return self._session

    @property
    def opened_session(self) -> ClientSession | None:
        """The session, if the login has used it."""
        return self._session

    @shown_when_made
    def __repr__(self) -> str:
        return f"LoginContext(endpoint={shown_url(self.endpoint)!r}, api_key='***', previous={self.previous!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        refuse_pickling(self)


class PossibleRejectionError(LoginUnavailableError):
    """
    A login failed in a way that wrong credentials may cause as well as a server in trouble.

    The core asks once more. If that fails alike, or no time is left for it, it raises *rejection*: sending wrong credentials
    again and again would lock the account.
    """

    def __init__(
        self,
        message: str,
        rejection: CredentialsRejectedError,
        *,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after, status=status)
        self.rejection = rejection

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.rejection), self.__dict__


Login = Callable[[LoginContext], Awaitable[Token]]
"""Any async callable. If it has nothing newer than the token being replaced, it returns ``context.previous`` itself."""


def known_secrets(login: object) -> Iterable[str]:
    """Return what *login* knows and no message may show; nothing for an application's own login."""
    secrets: Callable[[], Iterable[str]] = getattr(login, "_known_secrets", tuple)
    return secrets()


@runtime_checkable
class IdentifiedLogin(Protocol):
    """A login that knows whose token it gets, so that stores and pools need no account name."""

    @property
    def identity(self) -> str | None:
        """The account's name; never a secret."""


@runtime_checkable
class IssuingLogin(Protocol):
    """A login that knows who issues its tokens: its owner uses no token from another issuer that a store holds."""

    def issuer_at(self, endpoint: URL) -> str | None:
        """Return the issuer's name for an API at *endpoint*: one name for one issuer, and never a secret."""
