"""
AWS Lambda: one owner for all invocations of an instance, each of which has an event loop and a session of its own.

Install: nothing else. Handler: ``with_lambda.handler``. The module outlives its invocations, and so does the token. It is counted as
used up also while the instance is frozen. Instances share no token unless EXTERVIEW_STORE is a Redis. Give the function a timeout
above `login_timeout`, so that a login that is down is an answer, and not a function that was ended.
"""

import asyncio
import json
from math import ceil
from typing import Any

import aiohttp

from exterview_auth import AuthSession, ExterviewAuth, LoginBudgetExceededError, LoginUnavailableError

auth = ExterviewAuth.from_env(login_timeout=10)


async def interviews() -> list[dict[str, str]]:
    async with aiohttp.ClientSession() as http:  # a session belongs to one event loop
        data = await AuthSession(http, auth).graphql("query { interviews { id title } }")
        found: list[dict[str, str]] = data["interviews"]
        return found


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    try:
        return {"statusCode": 200, "body": json.dumps(asyncio.run(interviews()))}
    except (LoginUnavailableError, LoginBudgetExceededError) as error:
        return {"statusCode": 503, "headers": {"Retry-After": str(ceil(error.retry_after or 5))}}
