"""The world of a plan: processes and owners, what happens to them, and the end."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Any

from ._api import Platform
from ._callers import Call, carry_out
from ._loop import WORLD, SimulatedLoop
from ._network import Network
from ._owner import Owner
from ._plan import Action, Plan
from ._process import Process
from ._rules import LOGOUT_REACHES_THE_STORE, Monitor
from ._schedule import Party
from ._stores import InFiles, InMemory, InRedis, NoStore, Plain
from ._verdict import judge, kept_trying, left_open, left_over
from .fleet.network import Dice

STEP = 1.0
"""Seconds between two checks whether all calls have ended."""
LONGEST = 400.0
"""Seconds after which all must have."""
SETTLING = 20.0
"""Seconds after the last trouble of a store in which all that it missed must have reached it."""
ENDING = 8.0
"""Seconds in which cancelled work ends, with its graces and timeouts."""


class World:
    """Everything that is simulated in one run."""

    def __init__(self, plan: Plan, loop: SimulatedLoop, directory: str) -> None:
        dice = Dice(plan.seed, -1)
        self.plan = plan
        self.loop = loop
        self.network = Network(loop, Dice(dice.number()), plan.setting.distance)
        self.platform = Platform(loop, self.network, plan.setting, Dice(dice.number()))
        self.monitor = self.platform.monitor = Monitor(plan, loop, self.platform)
        self.calls: list[Call] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.slept = 0.0
        self.begun: set[int] = set()
        self.shared = self._make_store(plan.setting.store, dice, directory)
        self.processes = [self._make_process(number, dice) for number in range(plan.setting.processes)]
        loop.after_step = self.monitor.check

    def _make_store(self, kind: str, dice: Dice, directory: str) -> NoStore:
        seed, kept, subclassed = dice.number(), self.monitor.kept, self.plan.setting.subclassed
        if kind == "memory":
            return InMemory(self._clock, kept, subclassed=subclassed)
        if kind == "plain":
            return Plain(self._clock, kept, Dice(seed), self.plan.setting.store_latency)
        if kind == "redis":
            return InRedis(self.loop, Dice(seed), kept, subclassed=subclassed)
        return InFiles(self.loop, directory, kept, subclassed=subclassed) if kind == "file" else NoStore()

    def _clock(self) -> float:
        return self.loop.now + self.slept

    def _make_process(self, number: int, dice: Dice) -> Process:
        party, chances = Party(f"process {number}"), Dice(dice.number())
        with self.loop.acting(party):
            process = Process(self, party, self.shared.store_for(party), chances)
            for position in range(self.plan.setting.owners):
                self._make_owner(number * self.plan.setting.owners + position, process)
        return process

    def _make_owner(self, number: int, process: Process) -> Owner:
        owner = Owner(self, process, number)
        process.owners.append(owner)
        self.monitor.owners.append(owner)
        return owner

    def owner(self, number: int) -> Owner:
        """Return the newest owner with this number."""
        return [owner for owner in self.monitor.owners if owner.number == number][-1]

    # -- actions ----------------------------------------------------------------------------------------------------

    def schedule(self) -> None:
        """Schedule all actions at their times."""
        for action in self.plan.actions:
            self.loop.call_for(WORLD, action.at, self._begin, action)

    def _begin(self, action: Action) -> None:
        party = WORLD if action.what in OUTSIDE else self.owner(action.owner).process.party
        self.loop.call_for(party, 0.0, self._act, action)

    def _act(self, action: Action) -> None:
        self.begun.add(action.number)
        owner = self.owner(action.owner)
        if not owner.process.killed:
            _ACTIONS[action.what](self, action, owner)

    def ask(self, action: Action, owner: Owner) -> None:
        """Start requests, or questions for the token, some of which are cancelled."""
        for position in range(action.times if action.what == "request" else 1):
            call = Call(f"{action.number}-{position}", owner, action, self.loop, self.plan.setting.factory)
            self.calls.append(call)
            self.monitor.calls[call.name] = call
            if call.trouble:
                self.platform.troubles[call.name] = deque(call.trouble.split(", then "))
            task = self._start(carry_out(call, self.loop))
            task.add_done_callback(call.end_unbegun)
            if action.cancel is not None:
                timer = self.loop.call_later(action.cancel * (position + 1), _cancel, task, call)
                task.add_done_callback(lambda _, timer=timer: timer.cancel())  # type: ignore[misc]  # bound in the loop

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self.loop.create_task(work, name=self.loop.party.name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def invalidate(self, _: Action, owner: Owner) -> None:
        """Have the application invalidate its token."""
        current, text = owner.current, owner.current_text
        if current is not None and not owner.closed:
            owner.auth.invalidate(current)
            self.monitor.invalidated(owner, text)

    def log_out(self, _: Action, owner: Owner) -> None:
        """Have the owner and the store forget the token."""
        self._start(self._log_out(owner))

    async def _log_out(self, owner: Owner) -> None:
        if not owner.closed:
            texts = self._leave(owner)
            owner.deleted_at = self.loop.now
            await owner.auth.logout()
            if self.monitor.undisturbed and set(texts) & set(self.shared.texts(owner.account)):
                self.monitor.broken(LOGOUT_REACHES_THE_STORE, f"{texts} by {owner}")

    def close(self, _: Action, owner: Owner) -> None:
        """Close the owner, and create another in its place."""
        self._start(self._close(owner))

    async def _close(self, owner: Owner) -> None:
        if not owner.closed:
            self._leave(owner)
            owner.closed = owner.closing = True
            self._make_owner(owner.number, owner.process)
            await owner.auth.aclose()
            owner.closing = False

    def _leave(self, owner: Owner) -> list[str]:
        texts = [owner.current_text] if owner.current_text else []
        owner.given_up.update(texts)
        owner.logged_out.update(texts)
        owner.dead.update((text, self.loop.now) for text in texts)
        for other in self.monitor.owners:
            if other.account == owner.account:
                other.newest = None if other is owner or self.plan.setting.store != "none" else other.newest
        owner.logged_out_at, owner.to_keep = self.loop.now, None
        owner.rejected_at = owner.failed_for_good_at = -math.inf
        owner.failed_for_good = 0
        return texts

    def login_trouble(self, action: Action, _: Owner) -> None:
        """Have the next logins fail."""
        self.platform.login_troubles.extend([action.how] * action.times)
        if action.times > 100:
            self.loop.call_for(WORLD, action.seconds, self.platform.login_troubles.clear)

    def pause(self, action: Action, owner: Owner) -> None:
        """Stop a process for a while."""
        process = owner.process
        if not process.party.frozen:
            process.paused += action.seconds
            self.loop.freeze(process.party)
            self.loop.call_for(WORLD, action.seconds, self._wake, process)

    def _wake(self, process: Process) -> None:
        if not process.killed:
            self.loop.thaw(process.party)

    def kill(self, _: Action, owner: Owner) -> None:
        """Stop a process for good."""
        process = owner.process
        process.killed = True
        self.loop.freeze(process.party)
        self.shared.kill(process.party)

    def suspend(self, action: Action, owner: Owner) -> None:
        """Have the one machine sleep; if there are more, one of them stops for a while."""
        if len(self.processes) > 1 or self.plan.setting.store == "file":
            self.pause(action._replace(seconds=min(action.seconds, 30.0)), owner)
            return
        for other in owner.process.owners:
            other.slept_in_flight |= other.flight is not None
        owner.process.slept += action.seconds
        self.slept += action.seconds
        self.platform.age(action.seconds)
        self.shared.sleep(action.seconds)

    def counts(self) -> dict[str, int]:
        """Return numbers that show whether the runs reach what they are for."""
        stats = [owner.auth.stats() for owner in self.monitor.owners]
        return {
            "logins begun": sum(owner.begun for owner in self.monitor.owners),
            "logins that gave a token": sum(owner.succeeded for owner in self.monitor.owners),
            "tokens adopted": sum(one.adopted for one in stats),
            "tokens renewed ahead": sum(one.refreshes_ahead for one in stats),
            "requests replayed": sum(one.replays for one in stats),
            "requests sent": sum(len(call.sendings) for call in self.calls),
            "store failures": sum(one.store_failures for one in stats),
        }

    # -- the end ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run all actions, check each call's end and what is left."""
        self.schedule()
        while self.loop.now < LONGEST and not self._all_ended():  # noqa: ASYNC110 - no event says that all calls have ended
            await asyncio.sleep(STEP)
        for call in self.calls:
            judge(call, self.monitor, self.plan)
        await asyncio.sleep(STEP if self.monitor.undisturbed else SETTLING)
        kept_trying(self.shared, self.platform, self.plan, self.monitor)
        left_open(self.processes, self.monitor)
        for process in self.processes:
            await self._end_process(process)
        await asyncio.sleep(ENDING)
        left_over(self.loop, [process for process in self.processes if not process.killed], self.shared, self.monitor)

    def _all_ended(self) -> bool:
        killed = {process.party.name for process in self.processes if process.killed}
        if any(task.get_name() not in killed for task in self.tasks):  # logouts and closes, too
            return False
        if any(process.party.frozen and not process.killed for process in self.processes):
            return False
        return all(
            action.number in self.begun or self.owner(action.owner).process.killed for action in self.plan.actions
        )

    async def _end_process(self, process: Process) -> None:
        self.loop.thaw(process.party)
        for owner in process.owners:
            owner.closed = True
        with self.loop.acting(process.party):
            closing = self.loop.create_task(process.aclose())
        for task in list(self.tasks):
            if process.killed and task.get_name() == process.party.name:
                task.cancel()
        await closing


def _cancel(task: asyncio.Task[None], call: Call) -> None:
    if not task.done():
        call.cancelled = True
        task.cancel()


OUTSIDE = ("revoke", "rotate", "login trouble", "store trouble", "pause", "kill", "suspend")
_ACTIONS: dict[str, Callable[[World, Action, Owner], None]] = {
    "request": World.ask,
    "ask": World.ask,
    "refuse at a door": World.ask,
    "revoke": lambda world, _, __: world.platform.revoke(),
    "rotate": lambda world, _, __: world.platform.rotate(),
    "invalidate": World.invalidate,
    "log out": World.log_out,
    "close": World.close,
    "login trouble": World.login_trouble,
    "store trouble": lambda world, action, _: world.shared.trouble(action.how, action.seconds),
    "pause": World.pause,
    "kill": World.kill,
    "suspend": World.suspend,
}
