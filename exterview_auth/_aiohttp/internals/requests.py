"""What a request has: its call and the time of that, its body, and the head that waits for it."""

from __future__ import annotations

import asyncio
import inspect
from functools import cache
from typing import Any

from aiohttp import ClientRequest, ClientSession
from aiohttp.abc import AbstractStreamWriter

from .needed import incompatible


@cache
def known_arguments() -> frozenset[str]:
    """Return the keyword arguments of a request; the public verbs take any and pass them on."""
    return frozenset(inspect.signature(ClientSession._request).parameters)  # noqa: SLF001 - as the docstring says


def call_of(request: ClientRequest) -> object:
    """
    Return what all redirect hops of one call share and no other call has: its timeout.

    aiohttp has no public name for the call. The task will not do, because a middleware may run each hop in a separate one.
    """
    call: object = getattr(request, "_timer", None)
    if call is None:  # which all calls would share
        raise incompatible("ClientRequest", "_timer")
    return call


def is_out_of_time(request: ClientRequest) -> bool:
    """
    Whether the time of the call that sends *request* is up.

    aiohttp says so once, in whatever the call is doing: whoever suppresses errors there must ask.
    """
    call: Any = call_of(request)
    try:
        call.assert_timeout()
    except TimeoutError:
        return True
    return False


def takes_timeout(request: ClientRequest) -> bool:
    """
    Whether the running task was cancelled because the time of *request*'s call is up, and by nobody else.

    Then the cancellation is taken back as aiohttp's own timer does, which needs two private names of it. Without them, it is
    left to the timer.
    """
    if not is_out_of_time(request):
        return False  # as nearly always, also when thousands that wait are cancelled at once
    call, task = call_of(request), asyncio.current_task()
    if task is None or task not in getattr(call, "_tasks", ()):
        return False
    if task.cancelling() - 1 > getattr(call, "_cancelling", -1):
        return False
    task.uncancel()
    return True


def was_consumed(request: ClientRequest) -> bool:
    """Whether the body of *request* was a stream that is gone. An empty body is plain bytes."""
    return not isinstance(request.body, bytes) and request.body.consumed


def first_line_of(writer: AbstractStreamWriter) -> str:
    """Return the first line of the head that *writer* holds back; aiohttp keeps it nowhere else."""
    head: bytes | None = getattr(writer, "_headers_buf", None)
    if head is None:
        raise incompatible("StreamWriter", "_headers_buf")
    return head.partition(b"\r\n")[0].decode()
