"""What the client notes of a storm: what its requests carried, and what it knew when they were written."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

from aiohttp import (
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    TraceConfig,
    TraceRequestHeadersSentParams,
)

from ..harness.api import Log


@dataclass
class Watch:
    """The innermost middleware, which sees each answer before the library does, and a trace of what is written when."""

    first_answer: asyncio.Event = field(default_factory=asyncio.Event)
    first_refusal: float = math.inf
    written: list[tuple[str, float]] = field(default_factory=list)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send *request*, and note the time of the first refusal."""
        response = await handler(request)
        if response.status == 401 and self.first_refusal == math.inf:
            self.first_refusal = time.monotonic()
        self.first_answer.set()
        return response

    def trace(self) -> TraceConfig:
        """Return a trace that notes the token and the time of each request when its headers are written."""

        async def note(_: ClientSession, __: SimpleNamespace, sent: TraceRequestHeadersSentParams) -> None:
            self.written.append((str(sent.headers["Authorization"]).removeprefix("Bearer "), time.monotonic()))

        config = TraceConfig()
        config.on_request_headers_sent.append(note)
        return config


@dataclass(frozen=True)
class Run:
    """One storm, as the client saw it."""

    figures: dict[str, float]
    begun: Sequence[float]
    watch: Watch

    def refused(self, log: Log, token: str) -> dict[str, int]:
        """Count requests with the dead *token*: all, and those that arrived, were written or began after the first refusal."""
        refusal = self.watch.first_refusal
        arrivals = [arrival for arrival in log.arrivals if arrival.token == token]
        return {
            "refused": len(arrivals),
            "arrived_late": sum(arrival.time > refusal for arrival in arrivals),
            "written_late": sum(sent == token and when > refusal for sent, when in self.watch.written),
            "begun_late": sum(self.begun[int(arrival.number)] > refusal for arrival in arrivals),
        }
