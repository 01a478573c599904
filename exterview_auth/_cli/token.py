"""``exterview-auth token``: a bearer token for other programs, alone on standard output."""

from __future__ import annotations

import asyncio
import os

from exterview_auth import Token

from .account import FAILURES, opened_account
from .advice import explained
from .output import ExitCode, Scrubber, complain


def run_token(*, as_header: bool, timeout: float) -> ExitCode:
    """Log in and print the token, *as_header* or alone."""
    scrubber = Scrubber(os.environ)
    try:
        token = asyncio.run(_log_in(timeout, scrubber))
    except FAILURES as error:
        advised = explained(error, os.environ, scrubber)
        complain(advised.sentence)
        return advised.exit_code
    print(f"Authorization: Bearer {token.value}" if as_header else f"{token.value}")
    return ExitCode.FINE


async def _log_in(seconds: float, scrubber: Scrubber) -> Token:
    async with opened_account(seconds, scrubber) as account:
        return await account.auth.token()
