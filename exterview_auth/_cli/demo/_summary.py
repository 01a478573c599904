"""A story in a few lines, and in one line of JSON."""

from __future__ import annotations

from collections.abc import Iterator

from . import _scenario
from ._bounds import connections_for
from ._scenario import Story
from ._workload import Kind, mix_of

_PLURALS = {Kind.QUERY: "queries", Kind.MUTATION: "mutations", Kind.UPLOAD: "uploads"}


def summary(story: Story) -> Iterator[tuple[str, str]]:
    """Name and text of each line."""
    connections = _count(connections_for(story.requests), "connection")
    yield "requests", f"{story.requests}: {_mix(story.requests)}; {connections}"
    yield "logins", _logins(story)
    yield "replays", f"{story.replays}, each after a 401 and with the new token" if story.replays else "0"
    yield "failures", _failures(story)
    yield "wall time", f"{story.seconds:.2f} s; {_pace()}"
    yield (
        "server",
        f"{_statuses(story)}; {_count(story.server_logins, 'login')}, at most {story.server_logins_peak} at a time",
    )


def as_dict(story: Story) -> dict[str, object]:
    """The numbers, for programs."""
    return {
        "requests": story.requests,
        "ok": story.requests - story.failed,
        "failed": story.failed,
        "logins": story.logins,
        "replays": story.replays,
        "waiting_peak": story.waiting_peak,
        "logins_before_revocation": story.logins_before,
        "seconds": round(story.seconds, 3),
        "requests_per_second": round(story.requests / story.seconds, 1),
        "connections": connections_for(story.requests),
        "mix": {str(kind): count for kind, count in mix_of(story.requests).items()},
        "failures": dict(story.failures),
        "server": {
            "logins": story.server_logins,
            "logins_at_a_time": story.server_logins_peak,
            "statuses": {str(status): count for status, count in story.statuses.items()},
        },
    }


def _mix(requests: int) -> str:
    kinds = ((kind, count) for kind, count in mix_of(requests).items() if count)
    return ", ".join(f"{count} {kind if count == 1 else _PLURALS[kind]}" for kind, count in kinds)


def _pace() -> str:
    """What the wall time is made of: the sandbox's own slowness, which a login has twice."""
    latency = _scenario.LATENCY
    answer, login = (f"{seconds * 1000:.0f} ms" for seconds in (latency, latency + _scenario.LOGIN_DELAY))
    return f"the sandbox takes {answer} for an answer and {login} for a login"


def _logins(story: Story) -> str:
    after = story.logins - story.logins_before
    if after:
        return f"{story.logins}: {story.logins_before} at the start, {after} after the revocation"
    return f"{story.logins}; nothing was left to send when the tokens were revoked"


def _failures(story: Story) -> str:
    kinds = ", ".join(f"{count} {name}" for name, count in story.failures.most_common())
    return f"{story.failed} ({kinds})" if kinds else "0"


def _statuses(story: Story) -> str:
    return ", ".join(f"{count} x {status}" for status, count in story.statuses.items())


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
