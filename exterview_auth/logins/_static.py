"""Logging in without a login: a token that somebody else provides."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import NoReturn, Self, final

from .._calls import CallableValue
from .._clock import boot_time
from .._options import read_secret_file
from .._secret import Secret, refuse_pickling
from .._token import Token, without_bearer
from ..errors import ConfigurationError
from ._context import LoginContext

TokenSource = Callable[[], str | Token] | Callable[[], Awaitable[str | Token]]

_WHAT_IT_TAKES = "StaticLogin takes a token, a path, or a callable without arguments that returns a token"


@final
class StaticLogin:
    """
    A fixed bearer token, or a source of tokens that is read at each login: first, and after a 401.

    *source* is the token's text, a `Token`, a sync or async callable without arguments that returns one of them, or a path
    (``pathlib.Path``; for a path as text use *file* or `from_file`). A source that yields the refused token again has nothing
    newer: it is not sent again, and the caller gets the 401. Sync callables and files are read in a thread, one at a time.

    A file may end in a newline; one that is empty or missing for a moment keeps the old value. Raises
    `ConfigurationError` for what is no token, or a file that cannot be read when there is no old value yet; what a
    callable raises passes through.
    """

    __slots__ = ("_bound_at", "_file", "_fixed", "_last", "_source")

    def __init__(
        self,
        source: str | Token | os.PathLike[str] | TokenSource | None = None,
        *,
        file: str | os.PathLike[str] | None = None,
    ) -> None:
        if (source is None) == (file is None):
            raise ConfigurationError(f"{_WHAT_IT_TAKES}; give one of source and file")
        if isinstance(source, os.PathLike):
            source, file = None, source
        self._file = None if file is None else _checked_path(file)
        self._fixed = _fixed_token(source)
        self._source = None if self._fixed is not None else self._made_source(source)
        self._bound_at = boot_time()
        self._last: Secret | None = None

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """A login with the token in the file at *path*, read again at each login."""
        return cls(file=path)

    @property
    def identity(self) -> None:
        """Nobody knows whose token it is."""
        return

    async def __call__(self, context: LoginContext) -> Token:
        """The source's token; ``context.previous`` itself where it has nothing newer."""
        token = await self._current(context.previous)
        previous = context.previous
        return previous if previous is not None and previous.value == token.value else token

    def __repr__(self) -> str:
        if self._file is not None:
            return f"StaticLogin(file={self._file!r})"
        return "StaticLogin('***')" if self._source is None else "StaticLogin(<callable>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        refuse_pickling(self)

    async def _current(self, previous: Token | None) -> Token:
        if self._fixed is not None:
            return _aged(self._fixed, boot_time() - self._bound_at)
        assert self._source is not None
        if self._file is not None:
            return await self._from_file(self._source, previous)
        return _token(await self._source.read())

    def _made_source(self, source: object) -> CallableValue:
        path = self._file
        if path is not None:
            return CallableValue(lambda: read_secret_file(path, "the bearer token"))
        if not callable(source):
            raise ConfigurationError(f"{_WHAT_IT_TAKES}, not {type(source).__name__}")
        return CallableValue(source)

    async def _from_file(self, source: CallableValue, previous: Token | None) -> Token:
        try:
            token = _token(await source.read())
        except ConfigurationError as error:
            failure = error
        else:
            self._last = Secret(token.value)
            return token
        return self._old(failure, previous)

    def _old(self, failure: ConfigurationError, previous: Token | None) -> Token:
        if self._last is not None:
            return Token(self._last)
        if previous is not None:
            return previous
        raise failure


def _checked_path(file: object) -> str:
    path = os.fspath(file) if isinstance(file, str | os.PathLike) else None
    if not isinstance(path, str) or not path:
        raise ConfigurationError("file is the path of a token's file")
    return path


def _fixed_token(source: object) -> Token | None:
    return _token(source) if isinstance(source, str | Token) else None


def _token(value: object) -> Token:
    if isinstance(value, Token):
        return value
    if isinstance(value, str):
        return Token(without_bearer(value.strip()))
    raise ConfigurationError(
        f"the source of StaticLogin returned {type(value).__name__}; let it return the token as text or Token"
    )


def _aged(token: Token, seconds: float) -> Token:
    """*token* after *seconds*; whether one at its end still serves, only the API can tell."""
    if token.expires_in is None:
        return token
    left = token.expires_in - seconds
    return token.with_remaining(left if left > 0 else None)
