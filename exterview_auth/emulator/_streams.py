"""What the schema's subscriptions yield."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo

from ._data import Candidate, timestamp
from ._state import EmulatorState

LONGEST_INTERVAL = 60.0
MOST_ITEMS = 10_000


def clock(
    _root: None, _info: GraphQLResolveInfo[EmulatorState], *, interval: float | None, count: int | None
) -> AsyncIterator[dict[str, Any]]:
    """*count* ticks, the first at once."""
    return _ticks(*_checked(interval, count))


def candidate_scored(
    _root: None,
    info: GraphQLResolveInfo[EmulatorState],
    *,
    interval: float | None,
    count: int | None,
    job_id: str | None = None,
) -> AsyncIterator[Candidate]:
    """The first *count* candidates, of one job or of all."""
    pause, most = _checked(interval, count)
    candidates = (one for one in list(info.context.data.candidates.values()) if job_id in {None, one.job_id})
    return _one_by_one(islice(candidates, most), pause)


def item(source: Any, _info: GraphQLResolveInfo[EmulatorState], **_arguments: Any) -> Any:
    """An item of a stream is the field's value."""
    return source


STREAMS: dict[str, Callable[..., AsyncIterator[Any]]] = {
    "Subscription.clock": clock,
    "Subscription.candidateScored": candidate_scored,
}


async def _ticks(pause: float, count: int) -> AsyncIterator[dict[str, Any]]:
    for index in range(count):
        await asyncio.sleep(pause if index else 0.0)
        yield {"index": index, "at": timestamp(datetime.now(UTC))}


async def _one_by_one(candidates: Iterable[Candidate], pause: float) -> AsyncIterator[Candidate]:
    for candidate in candidates:
        await asyncio.sleep(pause)
        yield candidate


def _checked(interval: float | None, count: int | None) -> tuple[float, int]:
    if interval is None or not 0 <= interval <= LONGEST_INTERVAL:
        raise GraphQLError(f"interval is a number of seconds from 0 to {LONGEST_INTERVAL:g}")
    if count is None or not 0 <= count <= MOST_ITEMS:
        raise GraphQLError(f"count is a number from 0 to {MOST_ITEMS}")
    return interval, count
