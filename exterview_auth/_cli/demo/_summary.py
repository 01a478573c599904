"""A story in a few lines, and in one line of JSON."""

from __future__ import annotations

from collections.abc import Iterator

from ._scenario import MOST_IN_FLIGHT, Story, connections_for
from ._workload import Kind, mix_of

_PLURALS = {Kind.QUERY: "queries", Kind.MUTATION: "mutations", Kind.UPLOAD: "uploads"}


def summary(story: Story) -> Iterator[tuple[str, str]]:
    """Name and text of each line."""
    yield "requests", f"{story.requests}: {_mix(story.requests)}"
    yield "in flight", _in_flight(story.requests)
    yield "logins", _logins(story)
    yield "replays", f"{story.replays}, each after a 401 and with the new token"
    yield "failures", _failures(story)
    yield "wall time", f"{story.seconds:.2f} s, {story.requests / story.seconds:.0f} requests a second"
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


def _in_flight(requests: int) -> str:
    return f"{min(requests, MOST_IN_FLIGHT)} at once on {_count(connections_for(requests), 'connection')}"


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
