"""A factory of bodies that goes wrong: before the first sending, or before the second."""

from __future__ import annotations

from typing import Any

from exterview_auth import ConfigurationError

from ._hook import OWN_TIMEOUT, Fault, Hook, Play, calls_back, cancels, hangs, raises, returns_nonsense, row, seen
from ._row import Outcome
from ._site import site
from ._stage import Stage


def body_factory(fault: Fault, **options: Any) -> Play:
    """It makes a request's first body, and then does not make the second."""

    async def play(stage: Stage) -> Outcome:
        hook = Hook(fault)
        hook.at = await site(stage)
        await hook.at.warm()
        made: list[bytes] = []

        async def make() -> Any:
            if len(made) < 5:
                made.append(b"{}")
                return made[-1]
            return await hook(lambda: b"{}") or b"{}"

        return await seen(hook, data=make, **options)

    return play


def first_body(fault: Fault, **options: Any) -> Play:
    """It does not even make a request's first body."""

    async def play(stage: Stage) -> Outcome:
        hook = Hook(fault)
        hook.at = await site(stage)
        await hook.at.warm()

        async def make() -> Any:
            return await hook(lambda: b"{}") or b"{}"

        hook.faulty = True
        met = await hook.at.met_by(data=make, **options)
        hook.faulty = False
        return await hook.at.outcome(met)

    return play


ROWS = (
    row("body factory raises", body_factory(raises), RuntimeError),
    row("body factory hangs", body_factory(hangs, timeout=OWN_TIMEOUT), TimeoutError),
    row("body factory returns nonsense", body_factory(returns_nonsense), TypeError),
    row("body factory cancels", body_factory(cancels), ConfigurationError),
    row("body factory calls back into the owner", body_factory(calls_back)),
    row("body factory raises at first", first_body(raises), RuntimeError, logins=0),
    row("body factory hangs at first", first_body(hangs, timeout=OWN_TIMEOUT), TimeoutError, logins=0),
    row("body factory returns nonsense at first", first_body(returns_nonsense), TypeError, logins=0),
    row("body factory cancels at first", first_body(cancels), ConfigurationError, "", logins=0),
    row("body factory calls back into the owner at first", first_body(calls_back), logins=0),
)
