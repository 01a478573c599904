"""What every part of one owner knows: one record instead of the same arguments at every level."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

from .._clock import Clock, boot_time
from .._options import DEFAULT_OWNER_OPTIONS, OwnerOptions
from .._records import Feed

_DIGITS = 12
"""Hexadecimal digits of a digest that stands for an account in events."""


class RandomSource(Protocol):
    """Where jitter comes from: the module `random`, or a generator that a test has seeded."""

    def random(self) -> float:
        """Return a number from 0 to 1."""


async def nothing_to_prepare() -> None:
    """Prepare nothing."""


class Account(Feed):
    """
    One account's name, options and instruments, and what happens to it: shared by all parts of its owner.

    *text* names the account within its *realm*, and both together in a store; *label* is the name that the application gave to
    the account, if it gave one. *clock* gives seconds. *random* draws jitter; the default is the module, which draws differently in each child after a fork.
    *prepare* is awaited before each login and each look into the store. *issuer* is the name of who issues the login's tokens,
    if the login declares it. *presents_refresh_tokens*: whether the login may have a use for them, so that they are stored.
    """

    __slots__ = (
        "_label", "_realm", "_text", "issuer", "options", "prepare", "presents_refresh_tokens", "random",
    )  # fmt: skip

    def __init__(
        self,
        text: str = "",
        *,
        realm: str = "",
        label: str | None = None,
        options: OwnerOptions = DEFAULT_OWNER_OPTIONS,
        clock: Clock = boot_time,
        random: RandomSource = random,
        prepare: Callable[[], Awaitable[None]] = nothing_to_prepare,
        issuer: str | None = None,
        presents_refresh_tokens: bool = True,
    ) -> None:
        super().__init__(clock)
        self._realm = realm
        self._text = text
        self._label = label
        self.issuer = issuer
        self.presents_refresh_tokens = presents_refresh_tokens
        self.options = options
        self.random = random
        self.prepare = prepare

    # Both are put together where they are asked for, because ten thousand accounts would keep texts that few of them need.

    @property
    def name(self) -> str:
        """The account's key in a store."""
        return self._realm + self._text

    @property
    def label(self) -> str:
        """What events call the account: its given name, else a digest, because a login's own identity may be an e-mail address."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:_DIGITS] if self._label is None else self._label
