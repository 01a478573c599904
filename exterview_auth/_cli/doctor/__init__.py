"""
``exterview-auth doctor``: what is wrong with an installation and its configuration, and what to do.

Each module has one subject and yields `Check`s, which ``report.py`` prints as they come: ``installation.py`` (versions, extras),
``variables.py`` (what is set, where its value comes from, and how old its file is), ``network.py`` (proxy, DNS, TLS, connection, clock),
``credentials.py`` (the login, the key, the token) and ``store.py`` (reachable, permissions, whose lock).

A check changes nothing that others share: the login is the doctor's own, and the lock of the account is only looked at. What cannot
be examined, because something before it has failed, is a warning that says so. No check shows the value of a variable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from yarl import URL

from exterview_auth._core.account import Account
from exterview_auth._environment import ACCOUNT, API_KEY, STORE, CredentialSource, arguments_from, endpoint_from
from exterview_auth._secret_file import unwrapped
from exterview_auth.errors import ConfigurationError
from exterview_auth.logins._identity import store_key

from ..account import checked_timeout
from ..configuration import Configuration, configured
from ..output import ExitCode, complain, sign_of_life
from ..scrubber import Scrubber
from .credentials import credential_checks
from .installation import installation_checks
from .network import network_checks
from .report import Check, Report, Status, failed, failed_with, ok, skipped
from .store import store_checks
from .variables import file_age_checks, variable_checks

_NEEDED_FOR_A_LOGIN = ("proxy", "dns", "connection")
_NOTHING = "nothing is configured"
_WHAT_TO_SET = "set EXTERVIEW_API_KEY, and EXTERVIEW_EMAIL and EXTERVIEW_PASSWORD; or run 'exterview-auth emulator', and export what it prints"


def run_doctor(*, as_json: bool, timeout: float, password_stdin: bool) -> ExitCode:
    """Examine everything, print one line each, and return the exit code."""
    checked_timeout(timeout)
    configuration = configured(password_stdin=password_stdin)
    scrubber = Scrubber(configuration.environ)
    report = Report(configuration, scrubber, as_json=as_json)
    asyncio.run(_examine(report, configuration, timeout, scrubber))
    report.end()
    if not _is_begun(configuration):
        complain(f"{_NOTHING}; {_WHAT_TO_SET}")
        return ExitCode.WRONG_USE
    return ExitCode.FAILED if report.has_failed else ExitCode.FINE


async def _examine(report: Report, configuration: Configuration, seconds: float, scrubber: Scrubber) -> None:
    for check in (*installation_checks(configuration), *variable_checks(configuration)):
        report.add(check)
    if not _is_begun(configuration):
        report.add(failed("configuration", _NOTHING, _WHAT_TO_SET))
        return
    report.add(_configuration(report, configuration))
    try:
        endpoint = endpoint_from(configuration.environ)
    except ConfigurationError:
        return  # `configuration` has said so
    checks = _live_checks(report, configuration, endpoint, seconds, scrubber)
    with suppress(StopAsyncIteration):
        while True:
            with sign_of_life(f"examining: each step takes at most {seconds:g} s"):
                check = await anext(checks)
            report.add(check)


async def _live_checks(
    report: Report, configuration: Configuration, endpoint: URL, seconds: float, scrubber: Scrubber
) -> AsyncIterator[Check]:
    """Yield the checks that talk to somebody, each after what it depends on."""
    async for check in network_checks(endpoint, seconds):
        yield check
    for check in file_age_checks(configuration):
        yield check
    usable = not any(report.status_of(name) is Status.FAIL for name in _NEEDED_FOR_A_LOGIN)
    usable = usable and report.status_of("configuration") is Status.OK
    async for check in credential_checks(configuration, seconds, scrubber, usable=usable):
        yield check
    if configuration.environ.get(STORE, "").strip():
        async for check in store_checks(configuration, seconds, scrubber):
            yield check


def _is_begun(configuration: Configuration) -> bool:
    """Whether any credential is there."""
    names = {API_KEY, f"{API_KEY}_FILE", *(name for source in CredentialSource for name in source.variables)}
    return any(configuration.environ.get(name, "").strip() for name in names)


def _configuration(report: Report, configuration: Configuration) -> Check:
    """Return whether an owner could be made; the store has checks of its own."""
    try:
        arguments_from(configuration.environ, {"store": None})
    except ConfigurationError as error:
        variable = str(error).partition(": ")[0]
        # What is wrong with a variable or its file is said once.
        if report.status_of(variable) is Status.FAIL:
            return skipped("configuration", variable)
        return failed_with("configuration", error)
    source = f"complete: the token comes from {configuration.source}"
    return ok("configuration", f"{source}, and events call the account {_in_events(configuration)}")


def _in_events(configuration: Configuration) -> str:
    """Return what events call the account: its name, if it has been given one, or else a digest."""
    environ = configuration.environ
    login = arguments_from(environ, {"store": None})["login"]
    given = unwrapped(environ.get(ACCOUNT, "")).strip() or None
    name, _ = store_key(endpoint_from(environ), given or login.identity or "", login)
    return Account(name, label=given).label
