"""
What happened to one account, told in one place: counted for `stats()`, and passed on to whoever listens.

A login gives one `LoginRecord` when it ends. ``on_login``, events, counters and telemetry get their figures from that record, so
that they cannot tell different stories. A request that waits, is refused or is sent again, and a call to the store, is one call
of a method of `Feed`. While nobody listens, that only counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ._clock import Clock, boot_time
from ._events import Reason

if TYPE_CHECKING:
    from ._login_record import LoginRecord
    from ._stats import Stats


class Listener:
    """
    Notified of what happens to an owner. A subclass overrides what it is interested in; every method returns at once.

    *flight* stands for a login, the same object from its beginning to its end; it can be referred to weakly.
    """

    __slots__ = ()

    @property
    def writes_to(self) -> object:
        """What it writes to; of several that write to one, an owner notifies the first."""
        return self

    def login_begins(self, flight: object) -> None:
        """Note that a login begins; called in the task, and the context, in which it runs."""

    def login_ended(self, flight: object, record: LoginRecord | None) -> None:
        """Note a login's end, without a record if there was no new login: none was allowed, or it had nothing newer."""

    def wait_begins(self, flight: object) -> None:
        """Note that a request begins to wait for a login; called in the request's context, perhaps before `login_begins`."""

    def wait_ended(self, seconds: float, error: str | None) -> None:
        """Note that a request has waited so many *seconds* for a token or an *error*; called in the request's context."""

    def refused(self) -> None:
        """Note that a request was refused with its token."""

    def sent_again(self, count: int) -> None:
        """Note that a request is about to be sent again, for the *count*th time; called in the request's context."""

    def login_was_useless(self) -> None:
        """Note that a login turned out to be useless: its token is refused."""

    def store_was_called(self, operation: str, seconds: float, error: str | None) -> None:
        """Note that a call to the store took so many *seconds*, until an *error* if there is one."""


class Counters:
    """The counters of `Stats` while they are counting."""

    logins: int
    login_failures: int
    useless_logins: int
    replays: int
    unauthorized: int
    waiting: int
    waiting_peak: int
    refreshes_ahead: int
    adopted: int
    store_failures: int
    save_failures: int

    __slots__ = tuple(__annotations__)

    def __init__(self) -> None:
        for name in Counters.__slots__:
            setattr(self, name, 0)

    def snapshot(self) -> Stats:
        """Return the counters as they are now."""
        from ._stats import Stats  # noqa: PLC0415 - on first use

        return Stats(**{name: getattr(self, name) for name in Counters.__slots__})


class Feed(Counters):
    """What happens to one owner: counted, and passed on to its listeners."""

    __slots__ = ("_all_listeners", "clock", "listeners")

    def __init__(self, clock: Clock = boot_time) -> None:
        super().__init__()
        self.clock = clock
        # Invariant: empty unless somebody listens; replaced and never changed, because an export may look from another thread.
        self.listeners: tuple[Listener, ...] = ()
        # Invariant: those, and the ones that write to the same.
        self._all_listeners: tuple[Listener, ...] = ()

    def listen(self, *listeners: Listener) -> None:
        """Notify *listeners* of what happens from now on; once, however often this is called."""
        self._notify_of((*self._all_listeners, *(one for one in listeners if one not in self._all_listeners)))

    def leave(self, *listeners: Listener) -> None:
        """Notify *listeners* of nothing more."""
        self._notify_of(tuple(other for other in self._all_listeners if other not in listeners))

    def _notify_of(self, listeners: tuple[Listener, ...]) -> None:
        self._all_listeners = listeners
        firsts: dict[object, Listener] = {}
        for listener in listeners:
            firsts.setdefault(listener.writes_to, listener)
        self.listeners = tuple(firsts.values())

    def login_begins(self, flight: object) -> None:
        """Note that a login begins, in the task that runs it."""
        self._notify(lambda listener: listener.login_begins(flight))

    def login_ended(self, flight: object, record: LoginRecord | None) -> None:
        """Count the login of *record*. Without one, there was no new login."""
        if record is not None:
            self.logins += record.outcome == "issued"
            self.adopted += record.outcome == "adopted"
            self.refreshes_ahead += record.outcome == "issued" and record.reason is Reason.AHEAD
        self._notify(lambda listener: listener.login_ended(flight, record))

    def wait_begins(self, flight: object) -> float:
        """Note that a request begins to wait, and return when; called only while somebody listens."""
        self._notify(lambda listener: listener.wait_begins(flight))
        return self.clock()

    def wait_ended(self, began: float, error: str | None) -> None:
        """Note that a request has waited since then."""
        seconds = self.clock() - began
        self._notify(lambda listener: listener.wait_ended(seconds, error))

    def refused(self) -> None:
        """Count a refusal."""
        self.unauthorized += 1
        self._notify(lambda listener: listener.refused())

    def sent_again(self, count: int) -> None:
        """Count a request that is sent again, for the *count*th time."""
        self.replays += 1
        self._notify(lambda listener: listener.sent_again(count))

    def login_was_useless(self) -> None:
        """Count a useless login."""
        self.useless_logins += 1
        self._notify(lambda listener: listener.login_was_useless())

    def store_was_called(self, operation: str, began: float, error: str | None = None) -> None:
        """Note that a call to the store which began then has ended, and count a failure."""
        self.store_failures += error is not None
        if self.listeners:
            seconds = self.clock() - began
            self._notify(lambda listener: listener.store_was_called(operation, seconds, error))

    def _notify(self, notify: Callable[[Listener], None]) -> None:
        for listener in self.listeners:
            try:  # noqa: SIM105 - suppress() costs more than the rest of this, for each request of a storm
                notify(listener)
            except Exception:  # noqa: BLE001, S110 - OpenTelemetry promises not to raise; what an application configures may
                pass
