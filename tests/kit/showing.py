"""Everything that loggers and error trackers may show of an error: texts, reprs, and the local variables of its frames."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

TESTS = str(Path(__file__).parents[1])


def shown_by(error: BaseException) -> Iterator[tuple[str, str]]:
    """
    Yield where and what: of *error*, its causes and contexts, and each of their frames outside the tests.

    As rich, structlog, sentry-sdk and loguru do: the repr of each local, of its first 80 characters, and of what is in a container.
    """
    left, seen = [error], set[int]()
    while left:
        current = left.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        name = type(current).__name__
        yield f"str({name})", str(current)
        yield f"the end of {name}'s traceback", "".join(traceback.format_exception_only(current))
        for what in (current, current.args, vars(current), getattr(current, "__notes__", [])):
            yield from ((f"{name}: {where}", text) for where, text in _shown_of(what))
        for frame, line in traceback.walk_tb(current.__traceback__):
            yield from ((f"{name}, line {line} of {where}", text) for where, text in _locals_of(frame))
        left += [other for other in (current.__cause__, current.__context__) if other is not None]
        left += current.exceptions if isinstance(current, BaseExceptionGroup) else []


def texts_kept_by(error: BaseException) -> Iterator[str]:
    """Yield the texts in the local variables of *error*'s frames outside the tests, as tools send them that never call ``repr``."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if not frame.f_code.co_filename.startswith(TESTS):
            left: list[Any] = list(frame.f_locals.values())
            while left:
                value = left.pop()
                if isinstance(value, Mapping):
                    left += [*value, *value.values()]
                elif isinstance(value, list | tuple | set | frozenset):
                    left += value
                elif isinstance(value, str | bytes):
                    yield str.__str__(value) if isinstance(value, str) else bytes.decode(value, errors="replace")


def _locals_of(frame: FrameType) -> Iterator[tuple[str, str]]:
    if frame.f_code.co_filename.startswith(TESTS):
        return
    function = f"{frame.f_code.co_filename}, {frame.f_code.co_name}"
    for name, value in frame.f_locals.items():
        yield from ((f"{function}, {name}", text) for text in (shown for _, shown in _shown_of(value)))


def _shown_of(value: Any) -> Iterator[tuple[str, str]]:
    inner = (
        [*value, *value.values()]
        if isinstance(value, Mapping)
        else value
        if isinstance(value, list | tuple | set)
        else ()
    )
    for each in (value, *inner):
        with contextlib.suppress(AttributeError):  # the repr of an object that is not finished
            yield type(each).__name__, repr(each)
        if isinstance(each, str | bytes):
            yield f"{type(each).__name__}, cut", repr(each[:80])


def assert_shows_none(error: BaseException, *secrets: str) -> None:
    """Fail if anything that *error* shows has one of *secrets* in it, in any case, and name the places."""
    leaks = {
        f"{where}: {text[:300]}"
        for where, text in shown_by(error)
        for secret in secrets
        if secret.casefold() in text.casefold()
    }
    assert not leaks, "\n".join(sorted(leaks))
