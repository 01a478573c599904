"""One process of a fleet, as tests start it: told by JSON lines what to do, it tells by JSON lines how it went."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NoReturn

import aiohttp
from redis.asyncio.connection import AbstractConnection

from exterview_auth import AuthSession, ExterviewAuth, FileStore, OAuth2Login, RedisStore
from exterview_auth._calls import DaemonThreads
from exterview_auth.stores import _shared

QUERY = {"query": "{ __typename }"}
ACCOUNT = "fleet"


class Watch:
    """What this process has done outside its event loop, and what the library has warned of."""

    def __init__(self) -> None:
        self.directory = ""
        self.file_events = 0
        self.thread_calls = 0
        self.commands = 0
        self.warnings: list[str] = []

    def begin(self) -> None:
        """Count from now on."""
        sys.addaudithook(self._audit)
        submit: Callable[..., Any] = DaemonThreads.submit

        def counted(executor: DaemonThreads, call: Any, /, *arguments: Any, **options: Any) -> Any:
            self.thread_calls += 1
            return submit(executor, call, *arguments, **options)

        DaemonThreads.submit = counted  # type: ignore[method-assign]  # every call to a file runs in one
        send_packed: Callable[..., Any] = AbstractConnection.send_packed_command

        def counted_command(connection: AbstractConnection, *arguments: Any, **options: Any) -> Any:
            self.commands += 1
            return send_packed(connection, *arguments, **options)

        AbstractConnection.send_packed_command = counted_command  # type: ignore[method-assign, assignment]  # every command goes through it
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: self.warnings.append(record.getMessage())  # type: ignore[method-assign]  # all it does
        logging.getLogger("exterview_auth").addHandler(handler)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.directory and (event == "open" or event.startswith("os.")) and arguments:
            self.file_events += str(arguments[0]).startswith(self.directory)


class Worker:
    """The owners of one account in this process, and what they are told to do."""

    def __init__(self) -> None:
        self.watch = Watch()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._owners: list[ExterviewAuth] = []
        self._store: FileStore | RedisStore
        self._http: aiohttp.ClientSession | None = None
        self._streams = False

    # -- commands -------------------------------------------------------------------------------------------------------

    async def do_open(self, orders: dict[str, Any]) -> dict[str, Any]:
        """Make as many *owners* as are wanted, with one store between them."""
        _shared.POLL_INTERVAL = orders["poll_interval"]
        place = orders["store"]
        self.watch.warnings = []
        self.watch.directory = "" if place.startswith("redis:") else place
        kind = RedisStore if place.startswith("redis:") else FileStore
        self._store = kind(place, lease=orders["lease"])
        self._owners = [self._owner(orders) for _ in range(orders["owners"])]
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return {}

    def _owner(self, orders: dict[str, Any]) -> ExterviewAuth:
        origin, refresh_token = orders["origin"], orders["refresh_token"]
        how: dict[str, Any] = {"client_secret": "secret"}
        if refresh_token is not None:
            how = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        login = OAuth2Login(f"{origin}/token", "client", headers={"X-Pid": str(os.getpid())}, **how)
        return ExterviewAuth(
            login,
            api_key="key",
            endpoint=f"{origin}/graphql",
            store=self._store,
            account=ACCOUNT,
            login_timeout=orders["login_timeout"],
        )

    async def do_send(self, orders: dict[str, Any]) -> dict[str, Any]:
        """So many requests at once."""
        assert self._http is not None
        return await send(self._http, self._owners, orders["requests"])

    async def do_stream(self, orders: dict[str, Any]) -> dict[str, Any]:
        """So many requests at once, again and again until told to halt."""
        assert self._http is not None
        self._streams, total = True, Counter[str]()
        while self._streams:
            total.update((await send(self._http, self._owners, orders["requests"]))["answers"])
            await asyncio.sleep(orders["pause"])
        return {"answers": total}

    async def do_halt(self, _orders: dict[str, Any]) -> dict[str, Any]:
        """End the stream."""
        self._streams = False
        return {}

    async def do_cancel(self, orders: dict[str, Any]) -> dict[str, Any]:
        """Cancel an earlier command."""
        self._tasks[orders["which"]].cancel()
        return {}

    async def do_stats(self, _orders: dict[str, Any]) -> dict[str, Any]:
        """What all owners have counted together, and what was watched."""
        total = Counter[str]()
        for owner in self._owners:
            total.update(asdict(owner.stats()))
        watch = self.watch
        counted = {name: getattr(watch, name) for name in ("file_events", "thread_calls", "commands", "warnings")}
        return {**total, **counted}

    async def do_fork(self, orders: dict[str, Any]) -> dict[str, Any]:
        """Fork; the child tells by the negative of this command's number how its own went."""
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # later releases say that it may deadlock: here it must not
            child = os.fork()
        if child == 0:
            self._live_as_child(orders)
        return {"child": child}

    def _live_as_child(self, orders: dict[str, Any]) -> NoReturn:
        try:
            if orders["requests"]:
                tell(-orders["id"], asyncio.run(self._send_as_child(orders["requests"])))
            else:
                time.sleep(60)  # until it is killed
        except BaseException as failure:  # noqa: BLE001 - a child never goes on as its parent
            tell(-orders["id"], {"failure": repr(failure)})
        finally:
            os._exit(0)

    async def _send_as_child(self, requests: int) -> dict[str, Any]:
        """With the owners and the store of the parent, and connections of its own."""
        before = await self.do_stats({})
        async with aiohttp.ClientSession() as http:
            answer = await send(http, self._owners, requests)
            gc.collect()  # what belonged to the parent goes at some time: here, and now
            again = await send(http, self._owners, requests)
        after = await self.do_stats({})
        for owner in self._owners:
            await owner.aclose()
        await self._store.aclose()
        total = Counter(answer["answers"]) + again["answers"]
        return {"answers": total, "logins": after["logins"] - before["logins"], "warnings": after["warnings"]}

    async def do_close(self, _orders: dict[str, Any]) -> dict[str, Any]:
        """End what was opened."""
        owners, self._owners = self._owners, []
        await asyncio.gather(*(owner.aclose() for owner in owners))
        if self._http is not None:
            await self._http.close()
            await self._store.aclose()
            self._http = None
        return {"tasks": sorted(task.get_name() for task in asyncio.all_tasks() if "exterview" in task.get_name())}

    # -- their coming and going -----------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Obey until there are no more orders."""
        loop = asyncio.get_running_loop()
        orders = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        with contextlib.closing(transport):
            while line := await orders.readline():
                order = json.loads(line)
                self._tasks[order["id"]] = loop.create_task(self._obey(order))

    async def _obey(self, order: dict[str, Any]) -> None:
        try:
            answer = await getattr(self, f"do_{order['do']}")(order)
        except asyncio.CancelledError:
            answer = {"cancelled": True}
        except Exception as failure:  # noqa: BLE001 - the test sees it
            answer = {"failure": repr(failure)}
        tell(order["id"], answer)
        del self._tasks[order["id"]]

    async def leave(self) -> None:
        """End all commands."""
        await self.do_close({})
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


async def send(http: aiohttp.ClientSession, owners: list[ExterviewAuth], requests: int) -> dict[str, Any]:
    """How often each status or failure came, and how long the slowest request took."""
    began = time.monotonic()
    clients = [AuthSession(http, owner) for owner in owners]
    answers = await asyncio.gather(*(_post(clients[number % len(clients)]) for number in range(requests)))
    return {"answers": Counter(answers), "seconds": time.monotonic() - began}


async def _post(client: AuthSession) -> str:
    try:
        async with client.post("/graphql", json=QUERY) as response:
            await response.read()
            return str(response.status)
    except Exception as failure:  # noqa: BLE001 - the test sees it
        return repr(failure)


def tell(number: int, answer: dict[str, Any]) -> None:
    """One line, in one piece."""
    os.write(1, f"{json.dumps({'id': number, **answer})}\n".encode())


async def main() -> None:
    """Serve until the orders end, or SIGTERM comes."""
    worker = Worker()
    worker.watch.begin()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are not waited for
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    tell(0, {})
    with contextlib.suppress(asyncio.CancelledError):
        await worker.serve()
    await worker.leave()


if __name__ == "__main__":
    asyncio.run(main())
