"""Logging in without a request: the application provides the token."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from typing import ClassVar, NoReturn, Self, final

from .._calls import CallableValue
from .._clock import boot_time
from .._refusals import discreet, shown_when_made
from .._secret import concealed, plain_kind, refuse_pickling
from .._secret_file import SecretFile, unwrapped
from .._token import Token, without_bearer
from ..errors import ConfigurationError
from ._context import LoginContext

_RULE = "StaticLogin needs a token, a path, or a callable without arguments that returns a token"


@final
class StaticLogin:
    """
    A fixed bearer token, or a source of tokens that is read at each login: the first one, and after each 401.

    *source* is the token as a string, a `Token`, a sync or async callable without arguments that returns one of them, or a path
    (``pathlib.Path``; for a path as a string use *file* or `from_file`). If a source returns the refused token again, the request
    is not sent again, and the caller gets the 401. Sync callables and files are read in a thread, one at a time.

    A file may end in a newline. If it is empty or missing for a moment, the login keeps the old value. Raises
    `ConfigurationError` for a value that is not a token, and for a file that cannot be read while there is no old value.
    Errors of a callable pass through.
    """

    __module__ = "exterview_auth"

    __slots__ = ("_created_at", "_file", "_fixed", "_source")

    @discreet
    def __init__(
        self,
        source: str | Token | os.PathLike[str] | Callable[[], str | Token | Awaitable[str | Token]] | None = None,
        *,
        file: str | os.PathLike[str] | None = None,
    ) -> None:
        if (source is None) == (file is None):
            raise ConfigurationError(f"{_RULE}; give either source or file")
        self._file = _checked_file(source if isinstance(source, os.PathLike) else file)
        self._fixed: Token | None = None
        self._source: CallableValue | None = None
        if self._file is not None:
            self._source = CallableValue(self._file.read)
        elif isinstance(source, str | Token):
            # Checked now: a wrong token is a mistake of the program, not a failure of its first login.
            self._fixed = _token(source)
        elif callable(source):
            self._source = CallableValue(source)
        else:
            raise ConfigurationError(f"{_RULE}, not {plain_kind(source)}")
        self._created_at = boot_time()

    presents_refresh_tokens: ClassVar[bool] = False
    """Not so: the source is all that it has."""

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Return a login with the token in the file at *path*, which is read at each login."""
        return cls(file=path)

    @property
    def identity(self) -> None:
        """``None``, because a bearer token does not say whose it is."""
        return

    @discreet
    async def __call__(self, context: LoginContext) -> Token:
        """Return the source's token, or ``context.previous`` itself if the source has nothing newer."""
        previous = context.previous
        token = await self._read(previous)
        # The very same object says that there is nothing newer: the core does not send the request again.
        return previous if previous is not None and previous.value == token.value else token

    @shown_when_made
    def __repr__(self) -> str:
        if self._file is not None:
            return f"StaticLogin(file={os.fspath(self._file)!r})"
        return "StaticLogin('***')" if self._source is None else "StaticLogin(<callable>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        refuse_pickling(self)

    def _problem(self) -> str | None:
        """Return why the token is an old one, if its file cannot be read."""
        return None if self._file is None else self._file.problem

    def _known_secrets(self) -> Iterator[str]:
        """Yield what no message of the API may show either; see `known_secrets`."""
        if self._fixed is not None:
            yield self._fixed.value

    async def _read(self, previous: Token | None) -> Token:
        if self._source is None:
            assert self._fixed is not None
            return _aged(self._fixed, boot_time() - self._created_at)
        try:
            return _token(await self._source.read())
        except ConfigurationError as error:
            failure = error
        # The file may be in the middle of its rotation, and the previous token one of a store.
        if self._file is not None and previous is not None:
            return previous
        raise failure


def _checked_file(file: object) -> SecretFile[Token] | None:
    if file is None or isinstance(file, SecretFile):
        return file
    path = os.fspath(file) if isinstance(file, str | os.PathLike) else None
    if not isinstance(path, str) or not path:
        raise ConfigurationError("file must be the path of a file with a token")
    return token_file(path)


def token_file(path: str) -> SecretFile[Token]:
    """Return the file at *path* as a source of bearer tokens."""
    return SecretFile(path, "the bearer token", _token)


def _token(value: object) -> Token:
    value = concealed(value)
    if isinstance(value, Token):
        return value
    if isinstance(value, str):
        return Token(without_bearer(unwrapped(value).strip()))
    raise ConfigurationError(
        f"the source of StaticLogin returned {plain_kind(value)}; let it return the token as text or Token"
    )


def _aged(token: Token, seconds: float) -> Token:
    """Return *token* after *seconds*. At its end the lifetime becomes unknown: only the API can say whether it still works."""
    if token.expires_in is None:
        return token
    left = token.expires_in - seconds
    return token.with_remaining(left if left > 0 else None)
