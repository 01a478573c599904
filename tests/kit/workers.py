"""Processes that share one account: an API with its login on a loopback socket, and workers that carry out orders."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple, Self

from aiohttp import web
from yarl import URL

from exterview_auth import FileStore, OAuth2Login, RedisStore, Token
from exterview_auth.logins._identity import store_key
from exterview_auth.stores._shared import LEASE, POLL_INTERVAL
from tests.kit.api import until

PROGRAM = Path(__file__).with_name("worker.py")
ACCOUNT = "fleet"


class LoginSeen(NamedTuple):
    """One login as the server saw it."""

    at: float
    pid: int
    refresh_token: str | None


class Realm:
    """
    An API that knows its tokens, and the token endpoint that issues them.

    *one_session*: a login ends the session before it. *rotating*: refresh tokens, of which each is good once; a second use
    revokes all that ever came from them. A token is issued when its login arrives. It is sent after `seconds`, and after its
    release if it is held.
    """

    def __init__(self, *, one_session: bool = False, rotating: bool = False) -> None:
        self._one_session = one_session
        self._rotating = rotating
        self.seconds = 0.0
        self.expires_in: float | None = 3600
        self.tokens: set[str] = set()
        self.logins: list[LoginSeen] = []
        self.reuses = 0
        self.refresh_token = "R0"
        self.arrived = self.refused = 0
        self._numbers = itertools.count(1)
        self._to_hold = 0
        self._held: list[asyncio.Event] = []
        self._api_gate = asyncio.Event()
        self._api_gate.set()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/token", self._log_in)
        app.router.add_post("/graphql", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=4096).start()
        self.origin = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.release_logins()
        self._api_gate.set()
        await self._runner.cleanup()

    @property
    def account(self) -> str:
        """The account's name in stores."""
        return store_key(URL(f"{self.origin}/graphql"), ACCOUNT, OAuth2Login(f"{self.origin}/token", "client"))[0]

    @property
    def pids(self) -> list[int]:
        """The processes that have logged in, in order."""
        return [login.pid for login in self.logins]

    def revoke(self) -> None:
        """Revoke every token."""
        self.tokens.clear()

    def hold_logins(self, count: int = 1) -> None:
        """Do not answer the next *count* logins before they are released."""
        self._to_hold = count

    def release_login(self) -> None:
        """Answer the earliest login that is held."""
        self._held.pop(0).set()

    def release_logins(self) -> None:
        """Answer all logins that are held, and hold no further ones."""
        self._to_hold = 0
        while self._held:
            self.release_login()

    @contextlib.asynccontextmanager
    async def revoking(self, count: int) -> AsyncIterator[None]:
        """Every token is revoked while *count* requests, which the block sends, are in flight."""
        goal = self.arrived + count
        self._api_gate.clear()
        try:
            yield
            await until(lambda: self.arrived >= goal, 30)
            self.revoke()
        finally:
            self._api_gate.set()

    async def _log_in(self, request: web.Request) -> web.Response:
        form = await request.post()
        presented = form.get("refresh_token")
        assert presented is None or isinstance(presented, str)
        self.logins.append(LoginSeen(time.monotonic(), int(request.headers["X-Pid"]), presented))
        status, answer = self._issue(presented)
        if self._to_hold:
            self._to_hold -= 1
            self._held.append(gate := asyncio.Event())
            await gate.wait()
        await asyncio.sleep(self.seconds)
        return web.json_response(answer, status=status)

    def _issue(self, presented: str | None) -> tuple[int, dict[str, Any]]:
        if self._rotating and presented != self.refresh_token:
            self.reuses += 1
            self.refresh_token = ""
            self.revoke()
            return 400, {"error": "invalid_grant"}
        if self._one_session:
            self.revoke()
        number = next(self._numbers)
        token = f"token-{number}"
        self.tokens.add(token)
        answer = {"access_token": token, "token_type": "Bearer"}
        if self._rotating:
            self.refresh_token = answer["refresh_token"] = f"R{number}"
        return 200, answer | ({} if self.expires_in is None else {"expires_in": self.expires_in})

    async def _answer(self, request: web.Request) -> web.Response:
        await request.read()
        self.arrived += 1
        await self._api_gate.wait()
        if request.headers.get("Authorization", "").removeprefix("Bearer ") in self.tokens:
            return web.json_response({"data": {"__typename": "Query"}})
        self.refused += 1
        return web.json_response({"error": "Missing or invalid token"}, status=401)


class Worker:
    """A worker process; ``worker.py`` is its program."""

    def __init__(self, process: Process, errors: IO[bytes]) -> None:
        self._process = process
        self._errors = errors
        self._errors_read = 0
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reading = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def started(cls) -> Self:
        """Start a process that is ready for orders."""
        errors = TemporaryFile()  # noqa: SIM115 - closed when the process has ended
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", str(PROGRAM)), stdin=PIPE, stdout=PIPE, stderr=errors
        )
        worker = cls(process, errors)
        await worker._expect(0)
        return worker

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.returncode is None

    def begin(self, do: str, **orders: Any) -> Order:
        """Send an order, and do not wait for its answer."""
        number = next(self._numbers)
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps({'id': number, 'do': do, **orders})}\n".encode())
        return Order(number, self._expect(number))

    async def ask(self, do: str, **orders: Any) -> dict[str, Any]:
        """Send an order, and wait for its answer."""
        return await self.begin(do, **orders).answer

    async def fork(self, requests: int) -> tuple[int, asyncio.Future[dict[str, Any]]]:
        """Return the child's pid and its answer to so many *requests*; with none it waits until it is killed."""
        order = self.begin("fork", requests=requests)
        answer = self._expect(-order.number)
        return (await order.answer)["child"], answer

    def signal(self, number: int) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    async def ended(self) -> None:
        """Wait until the process has ended."""
        await self._process.wait()

    async def end(self) -> None:
        """End the process, by closing its orders if that is enough."""
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGCONT)
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(20):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading
        self._errors.close()

    def new_errors(self) -> str:
        """Return what the process wrote to standard error since the last call."""
        text = os.pread(self._errors.fileno(), 2**20, self._errors_read)
        self._errors_read += len(text)
        return text.decode()

    def _expect(self, number: int) -> asyncio.Future[dict[str, Any]]:
        return self._answers.setdefault(number, asyncio.get_running_loop().create_future())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            answer = json.loads(line)
            self._expect(answer["id"]).set_result(answer)
        for future in self._answers.values():
            if not future.done():
                future.set_result({"gone": True})


class Order(NamedTuple):
    """An order that a worker got, and its answer to come."""

    number: int
    answer: asyncio.Future[dict[str, Any]]


class WorkerPool:
    """Idle workers, which are used again: starting a process takes longer than most orders."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []

    async def lend(self, count: int) -> list[Worker]:
        """Return so many workers, idle ones first."""
        taken, self._idle = self._idle[:count], self._idle[count:]
        return taken + await asyncio.gather(*(Worker.started() for _ in range(count - len(taken))))

    async def take_back(self, worker: Worker) -> None:
        """Keep a worker that lives for the next test."""
        if worker.alive:
            self._idle.append(worker)
        else:
            await worker.end()

    async def close(self) -> None:
        """End all idle workers."""
        await asyncio.gather(*(worker.end() for worker in self._idle))


class Fleet:
    """The workers of one test, at one *realm* with one store in *place*."""

    def __init__(
        self, pool: WorkerPool, realm: Realm, place: str, *, lease: float = LEASE, poll_interval: float | None = None
    ) -> None:
        self._pool = pool
        self._realm = realm
        self._place = place
        self._lease = lease
        # In proportion: what is said of leases of five seconds is seen in less time.
        self._poll_interval = lease * POLL_INTERVAL / LEASE if poll_interval is None else poll_interval
        self._workers: list[Worker] = []

    async def join(
        self, count: int, *, owners: int = 1, refresh_token: str | None = None, login_timeout: float = 30.0
    ) -> list[Worker]:
        """Add so many processes, each with so many owners."""
        workers = await self._pool.lend(count)
        self._workers += workers
        for worker in workers:
            opened = await worker.ask(
                "open",
                store=self._place,
                origin=self._realm.origin,
                lease=self._lease,
                poll_interval=self._poll_interval,
                owners=owners,
                refresh_token=refresh_token,
                login_timeout=login_timeout,
            )
            assert "failure" not in opened, opened
        return workers

    def store(self) -> FileStore | RedisStore:
        """Return the same store in this process."""
        return store_in(self._place, self._lease)

    async def stored(self) -> Token | None:
        """Return the token in the store."""
        async with self.store() as store:
            return await store.load(self._realm.account)

    async def leave(self) -> None:
        """Close the workers' owners; no task is left, and nothing was written to standard error."""
        for worker in self._workers:
            if worker.alive:
                with contextlib.suppress(ProcessLookupError):
                    worker.signal(signal.SIGCONT)
                closed = await worker.ask("close")
                assert not closed.get("tasks"), closed
            new_errors = worker.new_errors()
            await self._pool.take_back(worker)
            assert not new_errors, new_errors


def store_in(place: str, lease: float = LEASE) -> FileStore | RedisStore:
    """A store by a directory or a URL."""
    return RedisStore(place, lease=lease) if place.startswith("redis:") else FileStore(place, lease=lease)


async def sent(workers: list[Worker], requests: int) -> dict[str, int]:
    """Send so many *requests* by each of *workers* at once; count each status and failure."""
    return await answers([worker.begin("send", requests=requests) for worker in workers])


async def answers(orders: list[Order]) -> dict[str, int]:
    """Count each status and failure in the answers to *orders*."""
    total: dict[str, int] = {}
    for told in await asyncio.gather(*(order.answer for order in orders)):
        for answer, count in told.get("answers", {str(told): 1}).items():
            total[answer] = total.get(answer, 0) + count
    return total


async def summed(workers: list[Worker]) -> dict[str, Any]:
    """Return the sums of the workers' counters."""
    told = await asyncio.gather(*(worker.ask("stats") for worker in workers))
    return {name: sum((stats[name] for stats in told), type(told[0][name])()) for name in told[0] if name != "id"}
