"""HTTP answers as bytes, and answers that break off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from ._network import Arrived, ServerEnd

REASONS = {200: "OK", 302: "Found", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 429: "Too Many Requests"}
ELSEWHERE = "elsewhere.example.com"
"""A host that must never see a credential."""
FOR_EVER = 1e6
"""Seconds."""


def answer(
    status: int, content: Any = None, *, headers: Mapping[str, str] | None = None, length: int | None = None
) -> bytes:
    """Return an HTTP answer with JSON (or bytes) in it, which may claim another *length* than it has."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body) if length is None else length)}
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Whatever')}"]
    lines += [f"{name}: {value}" for name, value in {**fields, **(headers or {})}.items()]
    return "\r\n".join((*lines, "", "")).encode() + body


async def misbehave(request: Arrived, how: str, status: int = 200) -> None:
    """Answer in one of the ways in which any server may fail."""
    wire = request.wire
    whole = answer(status, {"data": {"say": "the answer does not end"}})
    if how == "reset":
        wire.close(reset=True)
    elif how == "broken off":
        wire.send(whole[:-5])
        wire.close(reset=True)
    elif how == "silence":
        await asyncio.sleep(FOR_EVER)
    elif how == "garbage":
        wire.send(b"\x00\xff no known protocol\r\n\r\n")
        wire.close()
    elif how == "redirected":
        wire.send(answer(302, {}, headers={"Location": f"https://{ELSEWHERE}/caught"}))
    elif how == "drips":
        await _drip(wire, whole)
    elif how == "endless":
        await _flood(wire)


async def _drip(wire: ServerEnd, data: bytes) -> None:
    for position in range(len(data)):
        wire.send(data[position : position + 1])
        await asyncio.sleep(1.0)


async def _flood(wire: ServerEnd) -> None:
    wire.send(answer(200, b"{", length=10**9))
    for _ in range(20):
        wire.send(b" " * 2**16)
        await asyncio.sleep(0.001)
