"""
Refused arguments, and objects that were refused: what tools find that look at the frames of an error.

Error trackers take the local variables of each frame of a traceback. Most call ``repr``, but some keep a text as it is, and a
refused argument may be of any type: a secret as a number, in a set, in the place of another argument. So no frame that holds an
argument is part of a refusal's traceback.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from .errors import ConfigurationError

P = ParamSpec("P")
T = TypeVar("T")


def discreet(call: Callable[P, T]) -> Callable[P, T]:
    """Let a `ConfigurationError` of *call*, sync or async, come from a frame that holds no argument."""

    @functools.wraps(call)
    def discreetly(*args: Any, **options: Any) -> Any:
        try:
            return cast("Any", call)(*args, **options)
        except ConfigurationError as error:
            refusal = error
        finally:
            args, options = (), {}  # not deleted: tools look up a frame's arguments by name
        raise _alone(refusal)

    @functools.wraps(call)
    async def discreetly_later(*args: Any, **options: Any) -> Any:
        try:
            return await cast("Any", call)(*args, **options)
        except ConfigurationError as error:
            refusal = error
        finally:
            args, options = (), {}
        raise _alone(refusal)

    if call.__name__ == "__init__" and call.__doc__ is None:
        discreetly.__doc__ = (
            "Take the arguments that the class's docstring explains."  # not ``object``'s "Initialize self"
        )
    return cast("Callable[P, T]", discreetly_later if inspect.iscoroutinefunction(call) else discreetly)


def _alone(refusal: ConfigurationError) -> ConfigurationError:
    refusal.__context__ = None
    return refusal.with_traceback(None)


def shown_when_made(represent: Callable[[Any], str]) -> Callable[[Any], str]:
    """Let a ``__repr__`` also answer for an object whose constructor has refused an argument."""

    @functools.wraps(represent)
    def represented(made: object) -> str:
        try:
            return represent(made)
        except AttributeError:
            return f"<{type(made).__name__}, not constructed>"

    return represented
