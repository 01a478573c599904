"""What a simulation prints."""

from __future__ import annotations

from collections import Counter

from ._callers import Call
from ._parallel import Tally
from ._plan import Action, Plan, plan_of
from ._run import Result, run


def summary(total: Tally) -> str:
    """Return the results of many seeds."""
    rules = Counter(total.broken.values())
    verdict = "every rule held" if not rules else f"{len(total.broken)} seeds broke a rule"
    lines = [f"{total.seeds} seeds, {total.steps} steps, {total.seconds / 3600:.1f} h of simulated time: {verdict}"]
    lines += [f"  {count:>9} {what}" for what, count in total.happened.most_common()]
    for rule, count in rules.most_common():
        seeds = [str(seed) for seed in sorted(total.broken) if total.broken[seed] == rule]
        lines.append(f"  {count:>9} x {rule}: {' '.join(seeds[:10])}")
    return "\n".join(lines)


def failure(seed: int, rule: str, shortest: Plan) -> str:
    """Return what is to know of a failing seed: the rule, the shortest schedule, as data too, and the command that repeats it."""
    only = ",".join(str(action.number) for action in shortest.actions)
    orderly = " --orderly" if shortest.setting.policy != plan_of(seed).setting.policy else ""
    return "\n".join(
        (
            f"\nseed {seed} breaks {rule!r}",
            schedule(shortest, run(shortest)),
            f"to keep it: {shortest.setting}, {shortest.actions}",
            f"again: python -m tests.simulation --seed {seed} --only {only}{orderly}",
        )
    )


def schedule(plan: Plan, result: Result) -> str:
    """Return the course of a run: its world, what happened, how each call ended, and which rules were broken."""
    world = ", ".join(f"{name} {value}" for name, value in plan.setting._asdict().items() if value not in ("", False))
    lines = [f"  {world}"]
    lines += [f"  {action.at:10.6f} {_action(action)}" for action in plan.actions]
    lines += [f"  {_ended(call)}" for call in result.calls]
    lines += [f"  broken at {broken.at:.6f}: {broken.rule}: {broken.what}" for broken in result.found]
    return "\n".join(lines if result.found else [*lines, "  every rule held"])


def _action(action: Action) -> str:
    parts = [f"[{action.number}]", action.what, action.how, f"of owner {action.owner}"]
    parts += [f"for {action.seconds:g} s"] if action.seconds else []
    parts += [f"x {action.times}"] if action.times != 1 else []
    parts += [f"cancelled after {action.cancel:.6f} s"] if action.cancel is not None else []
    return " ".join(part for part in parts if part)


def _ended(call: Call) -> str:
    ended = "never" if call.ended is None else f"{call.ended:.6f}"
    sent = " ".join(f"{sending.token}@{sending.at:.6f}" for sending in call.sendings)
    return f"{call.began:10.6f}..{ended} {call!r} sent {sent or 'nothing'}"
