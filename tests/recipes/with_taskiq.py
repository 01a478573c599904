"""
taskiq: one owner and one session for all tasks of a worker, opened and closed by its events.

Install: ``taskiq`` and a broker. Run: ``taskiq worker with_taskiq:broker``. Each worker process has an owner; set EXTERVIEW_STORE,
so that they share one token. A login that is down fails the task with `LoginUnavailableError`, as taskiq's retry middlewares need
it. with_fleet.py adds a queue in Redis, many accounts and metrics.
"""

from typing import Annotated

import aiohttp
from taskiq import Context, InMemoryBroker, TaskiqDepends, TaskiqEvents, TaskiqState

from exterview_auth import AuthSession, ExterviewAuth

# Your own, such as `ListQueueBroker(url, socket_timeout=None)`: this one runs the tasks where they are sent. With redis-py's socket
# timeout of 5 s, a worker that waits for its next task would end in a `TimeoutError`; without one, SIGTERM does not wake it on
# asyncio's own loop: install ``uvloop``, or copy the signal handler of with_fleet.py.
broker = InMemoryBroker()


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def start(state: TaskiqState) -> None:
    state.auth = ExterviewAuth.from_env()  # first: a wrong variable fails before anything is open
    state.http = aiohttp.ClientSession()
    state.api = AuthSession(state.http, state.auth)


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def stop(state: TaskiqState) -> None:
    await state.auth.aclose()
    await state.http.close()


async def exterview(context: Annotated[Context, TaskiqDepends()]) -> AuthSession:
    api: AuthSession = context.state.api
    return api


@broker.task
async def count_interviews(api: Annotated[AuthSession, TaskiqDepends(exterview)]) -> int:
    data = await api.graphql("query { interviews { id } }")
    return len(data["interviews"])
