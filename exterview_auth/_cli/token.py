"""``exterview-auth token``: a bearer token for other programs, alone on standard output."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from exterview_auth import Token
from exterview_auth._endpoint import shown_url
from exterview_auth._environment import (
    ACCOUNT,
    STORE,
    STORE_KEY,
    api_key_from,
    endpoint_from,
    store_from,
)
from exterview_auth._options import number
from exterview_auth._secret_file import unwrapped
from exterview_auth._token import is_foreign
from exterview_auth.errors import ConfigurationError

from .account import FAILURES, EnvironmentAccount, checked_timeout, opened_account, own_expiry, stored_as
from .advice import explained
from .check import QUERY
from .configuration import Configuration, configured
from .output import ExitCode, complain, sign_of_life
from .scrubber import Scrubber
from .token_formats import FORMATS, Issued


@dataclass(frozen=True, slots=True)
class TokenOptions:
    """What the command line says: the format, how long the token must live, and whether the API is asked and a login is allowed."""

    form: str
    min_lifetime: float
    verify: bool
    may_log_in: bool
    timeout: float


class NoTokenError(Exception):
    """There is no token such as was asked for; the text says why, and what to do."""


def run_token(
    options: TokenOptions, *, store: str | None = None, account: str | None = None, password_stdin: bool = False
) -> ExitCode:
    """Print the token that is held, or that a login gives."""
    if sys.stdout is None:
        raise ConfigurationError("standard output is closed; leave it open, because the token is printed there")
    number(options.min_lifetime, "--min-lifetime must be a number of seconds, zero or more")
    configuration = configured(password_stdin=password_stdin, store=store, account=account)
    scrubber = Scrubber(configuration.environ)
    try:
        issued = asyncio.run(_issued(options, configuration, scrubber))
    except NoTokenError as missing:
        complain(configuration.said(str(missing)))
        return ExitCode.FAILED if options.may_log_in else ExitCode.NOT_HELD
    except FAILURES as error:
        advised = explained(error, configuration, scrubber)
        complain(advised.sentence)
        return advised.exit_code
    print(FORMATS[options.form](issued))
    return ExitCode.FINE


async def _issued(options: TokenOptions, configuration: Configuration, scrubber: Scrubber) -> Issued:
    source = configuration.source
    if options.may_log_in or (source is not None and not source.logs_in):
        token = await _obtained(options, configuration, scrubber)
    else:
        token = await _held(options, configuration)
    expires = _expiry(token, configuration)
    environ = configuration.environ
    return Issued(str(token.value), expires, api_key_from(environ), shown_url(endpoint_from(environ)))


async def _obtained(options: TokenOptions, configuration: Configuration, scrubber: Scrubber) -> Token:
    """Return the token that the configuration leads to: from its variable or file, from the store, or by a login."""
    waits = f"waiting for a token: a login takes at most {options.timeout:g} s"
    async with opened_account(configuration, options.timeout, scrubber, shares=True) as account:
        with sign_of_life(waits):
            token = await _obtained_by(account, options, configuration)
    return token


async def _obtained_by(account: EnvironmentAccount, options: TokenOptions, configuration: Configuration) -> Token:
    if options.verify:
        await account.api.graphql(QUERY)
    token = await account.auth.token()
    if not _suffices(token, options, configuration) and account.auth.stats().adopted:
        # Another process got it, and it may go on serving there; the one that follows is in the store for all.
        account.auth.invalidate(token)
        token = await account.auth.token()
    if account.auth.stats().store_failures:
        complain("the store does not work, so this token is not shared; see 'exterview-auth doctor'")
    if _suffices(token, options, configuration):
        return token
    raise NoTokenError(_too_short(token, options, configuration))


async def _held(options: TokenOptions, configuration: Configuration) -> Token:
    """Return the token in the store, if it would do for an owner of this configuration. Nothing is sent but to the store."""
    checked_timeout(options.timeout)
    named = stored_as(configuration.environ)
    assert named is not None  # credentials that log in name somebody
    name, issuer = named
    store = _existing_store(configuration.environ)
    try:
        token: Token | None = await store.load(name)
    finally:
        await store.aclose()
    if token is None or is_foreign(token, issuer) or _left(token, configuration) == 0:
        raise NoTokenError(
            "no token is held in the store for this account, or none that can be read; leave out --no-login to log in, or check"
            f" {ACCOUNT} and {STORE_KEY}"
        )
    if not _suffices(token, options, configuration):
        raise NoTokenError(_too_short(token, options, configuration))
    return token


def _existing_store(environ: Mapping[str, str]) -> Any:
    """Return the store, without creating a directory for it."""
    place = unwrapped(environ.get(STORE, "")).strip()
    if not place:
        raise NoTokenError(
            f"no token is held: there is no store; set {STORE}, or give --store, or leave out --no-login"
        )
    if "://" not in place and not Path(place).expanduser().exists():
        raise NoTokenError(
            f"no token is held: {STORE} names no directory that exists; correct it, or leave out --no-login"
        )
    return store_from(environ)


def _expiry(token: Token, configuration: Configuration) -> datetime | None:
    """Return when *token* expires. A bearer token's own word counts, also if it lies in the past."""
    source = configuration.source
    fixed = source is not None and not source.logs_in
    return (own_expiry(token.value) if fixed else None) or token.expires_at


def _left(token: Token, configuration: Configuration) -> float | None:
    """Return the seconds that *token* lives, or ``None`` if nobody knows."""
    expires = _expiry(token, configuration)
    return None if expires is None else max(0.0, (expires - datetime.now(UTC)).total_seconds())


def _suffices(token: Token, options: TokenOptions, configuration: Configuration) -> bool:
    left = _left(token, configuration)
    if left is None:
        return True
    # An expired one is held by nobody; where a login is allowed, only the API can say whether it works. In whole seconds: a login
    # that took a moment has a token of so many seconds all the same.
    return math.ceil(left) >= options.min_lifetime and (left > 0 or options.may_log_in)


def _too_short(token: Token, options: TokenOptions, configuration: Configuration) -> str:
    source, left = configuration.source, _left(token, configuration) or 0.0
    wanted = f", and --min-lifetime asks for {options.min_lifetime:g} s" if options.min_lifetime else ""
    if source is not None and not source.logs_in:
        state = f"lives only {left:.0f} s" if left else "has expired"
        return f"the token in {source} {state}{wanted}; put a new one there"
    if options.may_log_in:
        return f"a login gives tokens of only {left:.0f} s{wanted}; ask for less"
    return f"the token that is held lives only {left:.0f} s{wanted}; leave out --no-login to log in"
