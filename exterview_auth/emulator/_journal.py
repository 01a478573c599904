"""
What was asked and how it was answered: one record for each request, and one for each control.

While a request is answered, its `Exchange` collects what its record will say. The parts that know something note it there:
`_state` the bearer token, a login the token that it issued, the GraphQL half the operation. Both the counters (`_stats`) and
the journal are fed when the exchange ends, in this one place, so that they tell the same story.

A record holds no credential. Tokens are shown by their fingerprint, and a reason is a sentence of the emulator, without
anything that the request has said.
"""

# Annotations are not texts here: `typing.get_type_hints` would look texts up in the module that ``__module__`` names.
import secrets
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from ._data import timestamp
from ._faults import Faults
from ._stats import EmulatorCounters

MOST_RECORDS = 1000
"""Requests that are remembered; the oldest are forgotten first."""

MOST_CONTROLS = 100
"""Controls that are remembered, for the page alone."""

CLIENT_HAS_GONE = "The client closed the connection before it was answered"

_Entry = TypeVar("_Entry", "JournalRecord", "ControlRecord")


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """
    A request to one of the API's paths, or to a path that does not exist. Requests of the page and to controls are left out.

    *number* counts requests and controls from 1. *time* is when the request was answered (aware UTC), and *seconds* is how long
    that took. *method* and *path* are those of the request. *operation* is the name of the GraphQL operation (or its first field
    if it has no name), the grant of an OAuth login, or ``bulk-upload``. *status* is ``None`` if the client closed the connection
    first. *fingerprint* is that of the bearer token that the request carried, whatever it was refused for, or that the *login*
    issued. *login* says whether it was a login with a valid API key. *reason* says why the request was refused. At status 200 it
    is the code of the first GraphQL error, or says why files of a bulk upload were skipped.
    """

    __module__ = "exterview_auth.emulator"

    number: int
    time: datetime
    method: str
    path: str
    operation: str | None
    status: int | None
    fingerprint: str | None
    reason: str | None
    seconds: float
    login: bool

    def as_json(self) -> dict[str, Any]:
        """Return the record as it is sent: *time* by RFC 3339, *seconds* to the microsecond."""
        return {**asdict(self), "time": timestamp(self.time), "seconds": round(self.seconds, 6)}


@dataclass(frozen=True, slots=True)
class ControlRecord:
    """A control that was used, with its arguments as far as they say nothing that clients have said."""

    number: int
    time: datetime
    control: str
    arguments: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the record as it is sent: *time* by RFC 3339."""
        return {**asdict(self), "time": timestamp(self.time)}


class Journal:
    """The last requests and controls since the emulator was created, or reset: *run* tells one journal from the next."""

    def __init__(self) -> None:
        self.run = secrets.token_hex(4)
        self.last_number = 0
        self._records: deque[JournalRecord] = deque(maxlen=MOST_RECORDS)
        self._controls: deque[ControlRecord] = deque(maxlen=MOST_CONTROLS)

    def add_request(self, **fields: Any) -> None:
        """Add a record with the next number, at this moment."""
        self.last_number += 1
        self._records.append(JournalRecord(number=self.last_number, time=datetime.now(UTC), **fields))

    def add_control(self, control: str, arguments: Mapping[str, Any]) -> None:
        """Add a record with the next number, at this moment."""
        self.last_number += 1
        self._controls.append(ControlRecord(self.last_number, datetime.now(UTC), control, dict(arguments)))

    def records(self) -> tuple[JournalRecord, ...]:
        """Return the requests, the oldest first."""
        return tuple(self._records)

    def after(self, number: int) -> list[JournalRecord | ControlRecord]:
        """Return the requests and controls after *number* that are still remembered, the oldest first."""
        found: list[JournalRecord | ControlRecord] = [
            *_newer(self._records, number),
            *_newer(self._controls, number),
        ]
        return sorted(found, key=lambda one: one.number)


class Exchange:
    """
    A request that is being answered.

    Counters, journal and faults are those of its beginning. A request that began before a reset does not show after it.
    """

    __slots__ = ("_begun", "_ended", "_method", "_path", "counters", "faults", "fingerprint", "journal", "login", "operation", "reason")  # fmt: skip

    def __init__(self, method: str, path: str, counters: EmulatorCounters, journal: Journal, faults: Faults) -> None:
        self.operation: str | None = None
        self.fingerprint: str | None = None
        self.reason: str | None = None
        self.login = False
        self._method = method
        self._path = path
        self.counters = counters
        self.journal = journal
        self.faults = faults
        self._begun = time.perf_counter()
        self._ended = False
        counters.requests += 1
        counters.requests_running += 1

    def end(self, status: int | None) -> None:
        """Count the answer and write it down. Only the first call does: a WebSocket ends when it is opened."""
        if self._ended:
            return
        self._leave()
        if status is not None:
            self.counters.statuses[status] += 1
        self.journal.add_request(
            method=self._method,
            path=self._path,
            operation=self.operation,
            status=status,
            fingerprint=self.fingerprint,
            reason=CLIENT_HAS_GONE if status is None else self.reason,
            seconds=time.perf_counter() - self._begun,
            login=self.login,
        )

    def drop(self) -> None:
        """End without a record: the emulator stops, and the request was not looked at."""
        if not self._ended:
            self._leave()

    def refuse_login(self) -> None:
        """Count the login as refused."""
        self.counters.logins_refused += 1

    def _leave(self) -> None:
        self._ended = True
        self.counters.requests_running -= 1


# A variable of the task that answers the request, because resolvers get nothing else of it than the emulator's state.
_exchange: ContextVar[Exchange] = ContextVar("exterview_auth.emulator.exchange")


def enter(exchange: Exchange) -> None:
    """Make *exchange* the one that this task, which is the request's own, is about."""
    _exchange.set(exchange)


def answering() -> Exchange:
    """Return the exchange of the request that this task answers."""
    return _exchange.get()


def answering_if_any() -> Exchange | None:
    """Return the exchange of the request that this task answers, or ``None`` in a task that answers none."""
    return _exchange.get(None)


def _newer(entries: deque[_Entry], number: int) -> Iterator[_Entry]:
    for entry in reversed(entries):
        if entry.number <= number:
            return
        yield entry
