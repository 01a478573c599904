"""What a check has found, and how it is printed."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import NamedTuple

import click

from ..configuration import Configuration
from ..output import has_colours
from ..scrubber import Scrubber


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    """It works, and something should be changed; or it could not be examined."""
    FAIL = "fail"
    """It does not work."""


_CORRECT_IT = "correct it as the README says"
_COLOURS = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "red"}


class Check(NamedTuple):
    """One line: what was examined, how that ended, what was found, and what to do."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


def ok(name: str, detail: str) -> Check:
    """Return a check that found nothing wrong."""
    return Check(name, Status.OK, detail)


def warned(name: str, detail: str, remedy: str) -> Check:
    """Return a check that found something to change."""
    return Check(name, Status.WARN, detail, remedy)


def skipped(name: str, cause: str) -> Check:
    """Return a check that was not made, because *cause* has failed."""
    return warned(name, "not examined", f"mend {cause} first")


def failed(name: str, detail: str, remedy: str) -> Check:
    """Return a check that found what does not work."""
    return Check(name, Status.FAIL, detail, remedy or _CORRECT_IT)


def failed_with(name: str, error: Exception) -> Check:
    """Return a check that met *error*, whose sentence says what is wrong, then what to do."""
    text = str(error)
    detail, separator, remedy = text.partition("; ")
    if not separator:  # "... needs redis: install ..."
        detail, separator, remedy = text.rpartition(": ")
    return failed(name, *((detail, remedy) if separator else (text, "")))


class Report:
    """Prints each check when it is added, or with *as_json* all of them at the end."""

    def __init__(self, configuration: Configuration, scrubber: Scrubber, *, as_json: bool) -> None:
        self._configuration = configuration
        self._scrubber = scrubber
        self._as_json = as_json
        self._checks: list[Check] = []

    @property
    def has_failed(self) -> bool:
        """Whether any check failed."""
        return any(check.status is Status.FAIL for check in self._checks)

    def status_of(self, name: str) -> Status | None:
        """Return how the check called *name* ended, or ``None`` if there was none."""
        return next((check.status for check in self._checks if check.name == name), None)

    def add(self, check: Check) -> None:
        """Take *check* in: in the user's words, on one line, and without a secret."""
        texts = (self._scrubber.clean(self._configuration.said(text)) for text in (check.detail, check.remedy))
        check = Check(check.name, check.status, *texts)
        self._checks.append(check)
        if not self._as_json:
            # At once: the next check may wait for a network.
            print(_line(check), flush=True)

    def end(self) -> None:
        """Print the one line of JSON."""
        if self._as_json:
            print(json.dumps({"ok": not self.has_failed, "checks": [_record(check) for check in self._checks]}))


def _line(check: Check) -> str:
    status = f"{check.status:<4}"
    if sys.stdout is not None and has_colours(sys.stdout):
        status = click.style(status, fg=_COLOURS[check.status])
    return f"{status}  {check.name}: {'; '.join(filter(None, (check.detail, check.remedy)))}"


def _record(check: Check) -> dict[str, str | None]:
    return {"name": check.name, "status": check.status, "detail": check.detail, "remedy": check.remedy or None}
