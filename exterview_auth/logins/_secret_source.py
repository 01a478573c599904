"""Secrets of a login that are fixed, or that the application returns at every login."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .._calls import CallableValue
from .._options import text_option
from .._secret import Secret, concealed

SecretOption = str | Callable[[], "str | Awaitable[str]"]
"""A secret as an argument: text, or a sync or async callable without arguments that returns it."""


class SecretSource:
    """
    A secret under its option's *name*: text, or a callable that is read at every login, a sync one in a thread.

    Raises `ConfigurationError` for what is not text, or empty. Errors of a callable pass through.
    """

    __slots__ = ("_call", "_name", "last")

    def __init__(self, value: object, name: str) -> None:
        self._name = name
        self._call = CallableValue(value) if callable(value) else None
        self.last = None if callable(value) else self._checked(value)
        """The text, as it was last read; ``None`` until a callable is read for the first time."""

    @property
    def fixed(self) -> bool:
        """Whether the secret is text, and no callable."""
        return self._call is None

    @property
    def problem(self) -> str | None:
        """Why the secret is an old one, if its file cannot be read."""
        return None if self._call is None else self._call.problem

    async def read(self) -> Secret:
        """Return the secret for one login."""
        if self._call is not None:
            self.last = self._checked(await self._call.read())
        assert self.last is not None
        return self.last

    def _checked(self, value: object) -> Secret:
        return Secret(text_option(concealed(value), self._name))


def optional_source(value: object, name: str) -> SecretSource | None:
    """Return the source of *value*, or ``None`` for ``None``."""
    return None if value is None else SecretSource(value, name)
