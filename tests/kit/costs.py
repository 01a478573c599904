"""What a call costs: memory at its peak, calls of functions, or seconds if nothing better can be counted; and costly inputs."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple


class Cost(NamedTuple):
    """The most bytes that were allocated at once, and the number of calls, of functions in C too."""

    peak: int
    calls: int


def cost(call: Callable[[], object]) -> Cost:
    """Return what *call* costs, counted in two runs, because each way of counting costs something itself."""
    return Cost(_peak(call), calls(call))


def seconds(call: Callable[[], object], *, runs: int = 1) -> float:
    """Return the processor's time for the shortest of so many *runs*."""
    return min(_seconds(call) for _ in range(runs))


def _peak(call: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def calls(call: Callable[[], object]) -> int:
    """Return how many functions *call* calls, in C too."""
    counted = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        call()
    finally:
        sys.setprofile(before)
    return counted


def _seconds(call: Callable[[], object]) -> float:
    gc.disable()  # it runs after so many allocations, whatever is read
    try:
        began = time.thread_time()
        call()
        return time.thread_time() - began
    finally:
        gc.enable()


# Each makes an input of about so many bytes.
SHAPES: dict[str, Callable[[int], bytes]] = {
    "lists in lists": lambda n: b"[" * (n // 2) + b"]" * (n // 2),
    "lists without end": lambda n: b"[" * n,
    "objects in objects": lambda n: b'{"data":' * (n // 9) + b"1" + b"}" * (n // 9),
    "empty objects": lambda n: b"[" + b"{}," * (n // 3) + b"1]",
    "members": lambda n: b"{" + b",".join(b'"%d":{}' % number for number in range(n // 9)) + b',"data":{}}',
    "digits": lambda n: b"9" * n,
    "digits in a text": lambda n: b'"' + b"9" * n + b'"',
    "an exponent": lambda n: b"1e" + b"9" * n,
    "a fraction": lambda n: b"0." + b"0" * n + b"1",
    "wide characters": lambda n: b'"' + "\U00010348".encode() * (n // 4) + b'"',
    "surrogates": lambda n: b'"' + b"\\ud800" * (n // 6) + b'"',
    "NULs": lambda n: b'"' + b"\\u0000" * (n // 6) + b'"',
    "raw NULs": lambda n: b"\0" * n,
    "bytes that are not text": lambda n: b"\xff" * n,
    "words": lambda n: b'"' + b"wrong user of an api " * (n // 20) + b'"',
    "dots": lambda n: b"." * n,
    "spaces": lambda n: b" " * n,
    "block quotes": lambda n: b'"' + b'\\"' * (n // 2) + b'"',
    "brackets": lambda n: b"(" * n,
}
UNCLOSED: dict[str, Callable[[int], bytes]] = {
    "a GraphQL request": lambda n: b'{"query":"\\"' + b'\\\\\\"' * (n // 4) + b'"}',
    "a GraphQL document": lambda n: b'"' + b'\\"' * (n // 2),
}
