"""
uvloop: the same program on a faster event loop; nothing in this library depends on which one it is.

Install: ``uvloop`` (not on Windows). Run: ``python with_uvloop.py``. A server of aiohttp takes a loop instead,
``web.run_app(make_app(), loop=uvloop.new_event_loop())``, or gunicorn with ``--worker-class aiohttp.GunicornUVLoopWebWorker``.
"""

import asyncio

import aiohttp
import uvloop

from exterview_auth import AuthSession, ExterviewAuth


async def main() -> None:
    async with aiohttp.ClientSession() as http, ExterviewAuth.from_env() as auth:
        api = AuthSession(http, auth)
        query = "query { interviews { id } }"
        answers = await asyncio.gather(*(api.graphql(query) for _ in range(20)))
        print(f"{len(answers)} answers, {auth.stats().logins} login, on {type(asyncio.get_running_loop()).__module__}")


if __name__ == "__main__":
    uvloop.run(main())
