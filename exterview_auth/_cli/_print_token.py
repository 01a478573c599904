"""``exterview-auth token``: a bearer token for other programs, alone on standard output."""

from __future__ import annotations

import asyncio
import os

import aiohttp

from exterview_auth import Token

from ._account import credentials_of, opened_account
from ._advice import Situation, advice
from ._complain import complain
from ._exit_code import ExitCode
from ._scrubber import Scrubber


def run_token(*, as_header: bool, timeout: float) -> ExitCode:
    """Log in and print the token, as a header where *as_header* says so."""
    scrubber = Scrubber(os.environ)
    try:
        token = asyncio.run(_logged_in(timeout, scrubber))
    except (aiohttp.ClientError, OSError, ValueError) as error:  # OSError has TimeoutError in it
        told = advice(error, Situation(credentials_of(os.environ), scrubber))
        complain(told.sentence)
        return told.exit_code
    print(f"Authorization: Bearer {token.value}" if as_header else f"{token.value}")
    return ExitCode.FINE


async def _logged_in(seconds: float, scrubber: Scrubber) -> Token:
    async with opened_account(seconds, scrubber) as account:
        return await account.auth.token()
