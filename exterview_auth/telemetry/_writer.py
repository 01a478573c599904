"""The listener that writes what happens to the instruments and to spans."""

from __future__ import annotations

import weakref
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Tracer

from .._login_record import LoginRecord
from .._records import Listener
from ._attributes import ERROR_TYPE, OPERATION, REASON, RESEND_COUNT, SCOPE, error_attribute, name_attribute
from ._instruments import Instruments
from ._login_span import LoginSpan


class Writer(Listener):
    """Writes what happens to the owners of one address to the instruments, and to spans."""

    __slots__ = ("_address", "_common", "_instruments", "_spans", "_totals", "_tracer")

    def __init__(
        self, instruments: Instruments, tracer: Tracer, name: str | None, address: tuple[str, int | None]
    ) -> None:
        self._instruments = instruments
        self._totals = instruments.totals_of(name)
        self._tracer = tracer
        self._common = name_attribute(name)
        server, port = address
        self._address = {"server.address": server, **({} if port is None else {"server.port": port})}
        # Invariant: a login's span from its first waiter, or its beginning, until its end; then None. A login that is dropped with
        # its loop takes its span along.
        self._spans: weakref.WeakKeyDictionary[Any, LoginSpan | None] = weakref.WeakKeyDictionary()

    def login_begins(self, flight: object) -> None:
        """Let the spans that the login creates be children of its span."""
        span = self._span_of(flight)
        assert span is not None  # it ends later
        span.make_current()

    def login_ended(self, flight: object, record: LoginRecord | None) -> None:
        """Write the login, or the adoption, and end its span."""
        span = self._span_of(flight)
        self._spans[flight] = None
        if span is not None:
            span.end(record)
        if record is None:
            return
        if record.outcome == "adopted":
            self._totals.add(adopted=1)
        else:
            about = {**self._common, **self._address, REASON: str(record.reason), **error_attribute(record.error)}
            self._instruments.logins.record(record.seconds, about)

    def wait_begins(self, flight: object) -> None:
        """Link the login's span to the request's."""
        span = self._span_of(flight)
        if span is not None:
            span.link_to_current()

    def wait_ended(self, seconds: float, error: str | None) -> None:
        """Write the wait."""
        self._instruments.waits.record(seconds, self._common if error is None else {**self._common, ERROR_TYPE: error})

    def refused(self) -> None:
        """Write the refusal."""
        self._totals.add(refused=1)

    def sent_again(self, count: int) -> None:
        """Write the replay, also to the span in which the request is sent."""
        self._totals.add(replayed=1)
        span = trace.get_current_span()
        if span.is_recording():
            span.add_event(f"{SCOPE}.replay", {RESEND_COUNT: count})
            # The conventions want it on the span of an HTTP request. This may also be a span of the application's, around many.
            if getattr(span, "kind", None) is SpanKind.CLIENT:
                span.set_attribute(RESEND_COUNT, count)

    def login_was_useless(self) -> None:
        """Write the useless login."""
        self._totals.add(useless=1)

    def store_was_called(self, operation: str, seconds: float, error: str | None) -> None:
        """Write the call to the store."""
        self._instruments.store.record(seconds, {**self._common, OPERATION: operation, **error_attribute(error)})

    def _span_of(self, flight: object) -> LoginSpan | None:
        if flight not in self._spans:
            self._spans[flight] = LoginSpan(self._tracer, {**self._common, **self._address})
        return self._spans[flight]
