"""The spans: one for each login."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry import context, trace
from opentelemetry.trace import StatusCode, Tracer

from .._login_record import LoginRecord
from ._attributes import ERROR_TYPE, REASON, SCOPE


class LoginSpan:
    """The span ``exterview_auth.login``: a root of its own, because a login belongs to no request, linked to those that wait."""

    __slots__ = ("_linked", "_span")

    def __init__(self, tracer: Tracer, attributes: Mapping[str, Any]) -> None:
        self._span = tracer.start_span(f"{SCOPE}.login", context=context.Context(), attributes=attributes)
        # The spans that are linked: any number of requests of one span may wait.
        self._linked: set[int] = set()

    def make_current(self) -> None:
        """Make this the current span of the running context. It is not detached: the context is the login's own."""
        context.attach(trace.set_span_in_context(self._span))

    def link_to_current(self) -> None:
        """Link to the span in which the calling request waits."""
        waiting = trace.get_current_span().get_span_context()
        if waiting.is_valid and waiting.span_id not in self._linked and self._span.is_recording():
            self._linked.add(waiting.span_id)
            self._span.add_link(waiting)

    def end(self, record: LoginRecord | None) -> None:
        """Say how the login ended, without a *record* that there was no new one, and end the span."""
        span = self._span
        span.set_attribute(f"{SCOPE}.login.outcome", "none" if record is None else record.outcome)
        if record is not None:
            span.set_attribute(REASON, str(record.reason))
            span.set_attribute(f"{SCOPE}.login.attempts", record.attempts)
            span.set_attribute(f"{SCOPE}.login.waiting", record.waiting)
            if record.error is not None:
                span.set_attribute(ERROR_TYPE, record.error)
                span.set_status(StatusCode.ERROR)
        span.end()
