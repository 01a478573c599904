"""A story in a few lines, and in one line of JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from . import _scenario
from ._plan import Plan
from ._shared_store import StoreKind
from ._story import Story
from ._workload import Kind, mix_of

_PLURALS = {Kind.QUERY: "queries", Kind.MUTATION: "mutations", Kind.UPLOAD: "uploads"}
_STORES = {StoreKind.REDIS: "RedisStore on a redis-server", StoreKind.FILE: "FileStore in a directory"}


def summary(story: Story) -> Iterator[tuple[str, str]]:
    """Name and text of each line."""
    plan = story.plan
    yield "requests", f"{plan.requests}: {_mix(plan.requests)}; {_count(plan.connections, 'connection')}"
    if plan.store is not None:
        yield "processes", _processes(plan, plan.store)
    yield "logins", _logins(story)
    if plan.store is not None:
        yield "adopted", _adopted(story.client.adopted)
    yield "replays", _replays(story.client.replays)
    yield "failures", _failures(story)
    yield "wall time", f"{story.seconds:.2f} s; {_pace()}"
    yield "server", _server(story)


def as_dict(story: Story) -> dict[str, object]:
    """The numbers, for programs."""
    plan, client, server = story.plan, story.client, story.server
    return {
        "requests": plan.requests,
        "processes": plan.processes,
        "store": plan.store,
        "ok": plan.requests - story.failed,
        "failed": story.failed,
        "logins": client.logins,
        "adopted": client.adopted,
        "replays": client.replays,
        "waiting_peak": story.waiting_peak,
        "logins_before_revocation": story.logins_before,
        "seconds": round(story.seconds, 3),
        "requests_per_second": round(plan.requests / story.seconds, 1),
        "connections": plan.connections,
        "mix": {str(kind): count for kind, count in mix_of(plan.requests).items()},
        "failures": dict(client.failures),
        "server": {
            "logins": server.logins,
            "logins_at_a_time": server.logins_peak,
            "statuses": {str(status): count for status, count in server.statuses.items()},
        },
    }


def _mix(requests: int) -> str:
    kinds = ((kind, count) for kind, count in mix_of(requests).items() if count)
    return ", ".join(f"{count} {kind if count == 1 else _PLURALS[kind]}" for kind, count in kinds)


def _processes(plan: Plan, store: StoreKind) -> str:
    if plan.processes == 1:
        return f"1, keeping its token by {_STORES[store]} of its own"
    return f"{plan.processes}, sharing one token by {_STORES[store]} of their own"


def _pace() -> str:
    """What the wall time is made of: the emulator's own slowness, which a login has twice."""
    latency = _scenario.LATENCY
    answer, login = (f"{seconds * 1000:.0f} ms" for seconds in (latency, latency + _scenario.LOGIN_DELAY))
    return f"the emulator takes {answer} to answer and {login} to log in"


def _logins(story: Story) -> str:
    logins, before = story.client.logins, story.logins_before
    if logins > before:
        return f"{logins}: {before} at the start, {logins - before} after the revocation"
    return f"{logins}; nothing was left to send when the tokens were revoked"


def _adopted(tokens: int) -> str:
    return f"{tokens}: taken from the store by the processes that did not log in" if tokens else "0"


def _replays(replays: int) -> str:
    return f"{replays}, each after a 401 and with the new token" if replays else "0"


def _failures(story: Story) -> str:
    kinds = ", ".join(f"{count} {name}" for name, count in Counter(story.client.failures).most_common())
    return f"{story.failed} ({kinds})" if kinds else "0"


def _server(story: Story) -> str:
    statuses = ", ".join(f"{count} x {status}" for status, count in story.server.statuses.items())
    return f"{statuses}; {_count(story.server.logins, 'login')}, at most {story.server.logins_peak} at a time"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
