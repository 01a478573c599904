"""The organization's API key: fixed, or read again whenever it may have changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from .._calls import CallableValue, bounded, kind_of
from .._options import checked_api_key
from .._secret import OwnedHeader
from ..errors import ConfigurationError, LoginError, ReentrantLoginError

ApiKeySource = str | Callable[[], "str | Awaitable[str]"]


_FIXED: WeakValueDictionary[str, ApiKey] = WeakValueDictionary()
"""Fixed keys that are in use: all owners that have the same key share it."""


def api_key(source: ApiKeySource) -> ApiKey:
    """Return the key of *source*: for a fixed one the same object again, for as long as an owner has it."""
    if callable(source):
        return ApiKey(source)
    key = _FIXED.get(checked_api_key(source)) or ApiKey(source)
    return _FIXED.setdefault(key.value, key)


class ApiKey:
    """``value`` is the key as it was last read; a callable's key is empty until the first `read`."""

    __slots__ = ("__weakref__", "_source", "value")

    def __init__(self, key: ApiKeySource) -> None:
        self._source = CallableValue(key) if callable(key) else None
        self.value = OwnedHeader("" if callable(key) else checked_api_key(key))

    @property
    def problem(self) -> str | None:
        """Why the key is an old one, if its file cannot be read."""
        return None if self._source is None else self._source.problem

    async def read(self) -> None:
        """Read the key, at a login and after a 401. Raises `LoginError` if the callable fails or returns no key."""
        if self._source is None:
            return
        try:
            self.value = OwnedHeader(checked_api_key(await bounded(self._source.read())))
        except ReentrantLoginError:
            # It would wait for the login that waits for the key.
            problem = "asks for its owner's token, whose login waits for the key; read the key elsewhere"
        except ConfigurationError as failure:
            problem = f"returned no key: {failure}"  # raised below: its frames hold what the callable returned
        except Exception as failure:
            raise LoginError(
                f"the api_key callable ended in {kind_of(failure)}; see the error that is chained to it"
            ) from failure
        else:
            return
        raise LoginError(f"the api_key callable {problem}")
