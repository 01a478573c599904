"""
Celery: one owner for all tasks of a worker process, each of which has an event loop and a session of its own.

Install: ``celery``. Run: ``celery -A with_celery worker``. Set EXTERVIEW_STORE, so that the worker's processes share one token:
without it, each logs in for itself. The pools ``prefork`` and ``solo`` run one task at a time in a process. With ``--pool threads``,
open an owner in each task, ``async with ExterviewAuth.from_env(store=store) as auth``, over one ``store = MemoryStore()`` of the
module: an owner works on one event loop at a time, and says so.
"""

import asyncio
import os
from typing import Any

import aiohttp
from celery import Celery, Task

from exterview_auth import AuthSession, ExterviewAuth, LoginBudgetExceededError, LoginUnavailableError

app = Celery("with_celery", broker=os.environ.get("CELERY_BROKER_URL", "memory://"))
# It outlives the tasks' event loops and keeps the token. Between tasks it holds nothing open, so that nothing need close it.
auth = ExterviewAuth.from_env()


async def _count_interviews() -> int:
    async with aiohttp.ClientSession() as http:  # a session belongs to one event loop
        data = await AuthSession(http, auth).graphql("query { interviews { id } }")
        return len(data["interviews"])


@app.task(bind=True, max_retries=5)
def count_interviews(task: Task[Any, Any]) -> int:
    try:
        return asyncio.run(_count_interviews())
    except (LoginUnavailableError, LoginBudgetExceededError) as error:
        raise task.retry(exc=error, countdown=error.retry_after or 5) from error
