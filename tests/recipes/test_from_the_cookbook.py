"""
From the middleware in aiohttp's documentation to this library: what goes wrong there, and the same with ours.

The "Client Middleware Cookbook" renews a token after a 401, at its expiry, or in the background; it is an example, and leaves the
handling of errors to its readers. `Documented`, `ByExpiry` and `in_background` have the shape of its three examples. `Mended` is
what a careful reader makes of the first: what goes wrong with it needs more than a line. Each test runs one scenario on both.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession, TCPConnector, web

from exterview_auth import (
    CredentialsRejectedError,
    ExterviewAuth,
    FileStore,
    LoginBudgetExceededError,
    LoginContext,
    LoginUnavailableError,
    Token,
)
from exterview_auth.testing import ThreadedEmulator, expect
from tests.kit.api import KEY, QUERY, UNSIGNED, Api, answering, leads_to, until
from tests.kit.emulator import LOGIN

# The documented middleware does not read or release the answers that it drops.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed connection:ResourceWarning")

ROOT = Path(__file__).parents[2]
REVOKED = "a token that was revoked"


class Documented:
    """The first example: two attempts, a lock, and a look whether another request has renewed the token already."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.token = REVOKED
        self.lock = asyncio.Lock()

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        for _ in range(2):
            sent = self.token
            request.headers["Authorization"] = f"Bearer {sent}"
            response = await handler(request)
            if response.status != 401:
                break
            async with self.lock:
                if self.token == sent:
                    # Through the session, and with it through this middleware.
                    async with request.session.post(self.url, data="refresh-token") as response:
                        self.token = (await response.json())["access_token"]
        return response


class Mended:
    """The same, with a login that goes around the middleware, whose status is looked at, and whose answer is not the caller's."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.token = REVOKED
        self.lock = asyncio.Lock()

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        for _ in range(2):
            sent = self.token
            request.headers["Authorization"] = f"Bearer {sent}"
            response = await handler(request)
            if response.status != 401:
                break
            async with self.lock:
                if self.token == sent:
                    self.token = await self.log_in(request.session)
        return response

    async def log_in(self, session: ClientSession) -> str:
        options: dict[str, Any] = {"data": "refresh-token", "raise_for_status": True, "middlewares": ()}
        async with session.post(self.url, **options) as answer:
            return str((await answer.json())["access_token"])


class ByExpiry(Documented):
    """The second example: the token is renewed when its time is over, and a 401 means nothing."""

    expires_at = 0.0

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if self.expires_at <= time.time():
            known = self.token
            async with self.lock:
                if self.token == known:
                    async with request.session.post(self.url, data="refresh-token") as response:
                        answer = await response.json()
                        self.token, self.expires_at = answer["access_token"], answer["expires_at"]
        request.headers["Authorization"] = f"Bearer {self.token}"
        return await handler(request)


async def in_background(session: ClientSession, url: str, ready: asyncio.Event) -> None:
    """The third example: a task that sets the session's header, again and again. The session is used once it is *ready*."""
    while True:
        async with session.post(url) as response:
            answer = await response.json()
            session.headers["Authorization"] = f"Bearer {answer['access_token']}"
            ready.set()
            await asyncio.sleep(answer["expires_at"] - time.time())


class Refresh:
    """The API's login: it counts, and a test can hold it up or let it fail."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.url = f"{api.base}/refresh"
        self.count = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures: Iterator[tuple[int, dict[str, str]]] = iter(())
        api.answers["/refresh"] = api.refusals["/refresh"] = self.serve

    async def serve(self, _request: web.Request, _body: bytes) -> web.Response:
        self.count += 1
        await self.gate.wait()
        for status, headers in self.failures:
            return web.json_response({"error": "no"}, status=status, headers=headers)
        return web.json_response({"access_token": self._api.issue(), "expires_at": time.time() + 3600})

    async def log_in(self, context: LoginContext) -> Token:
        """The same login for this library."""
        async with context.session.post(self.url, data="refresh-token", raise_for_status=True) as answer:
            return Token((await answer.json())["access_token"])


class At(NamedTuple):
    """An API, its login, and a session with a middleware that holds a revoked token."""

    api: Api
    refresh: Refresh
    http: ClientSession
    middleware: Any

    async def post(self, **options: Any) -> int:
        """Return the status of a request."""
        async with self.http.post(self.api.endpoint, **(options or {"json": QUERY})) as response:
            await response.read()
            return response.status

    async def outcomes(self, number: int) -> Counter[Any]:
        """Return the statuses of so many requests at once, and the types of their errors."""
        done = await asyncio.gather(*(self.post() for _ in range(number)), return_exceptions=True)
        return Counter(type(one) if isinstance(one, BaseException) else one for one in done)

    def start(self, number: int = 1) -> list[asyncio.Task[int]]:
        """Start so many requests."""
        return [asyncio.create_task(self.post()) for _ in range(number)]

    def refusals(self) -> int:
        """Return how many requests were answered 401."""
        return sum(each.status == 401 and each.path == "/graphql" for each in self.api.arrivals)


@asynccontextmanager
async def theirs(kind: type[Documented | Mended], **session: Any) -> AsyncIterator[At]:
    """One of the middlewares above; the API key is a header of the session."""
    async with Api() as api:
        refresh = Refresh(api)
        middleware = kind(refresh.url)
        async with ClientSession(headers={"x-api-key": KEY}, middlewares=(middleware,), **session) as http:
            yield At(api, refresh, http, middleware)
            gc.collect()  # here, where the warnings of dropped answers are expected, and not in a later test


@asynccontextmanager
async def ours(**session: Any) -> AsyncIterator[At]:
    """Yield a client of this library, whose token has been revoked since its login."""
    async with Api() as api:
        refresh = Refresh(api)
        async with ExterviewAuth(refresh.log_in, api_key=KEY, endpoint=api.endpoint) as auth:
            await auth.token()
            api.revoke()
            api.arrivals.clear()
            refresh.count = 0
            async with ClientSession(middlewares=(auth,), **session) as http:
                yield At(api, refresh, http, auth)


async def cancelled(tasks: list[asyncio.Task[int]]) -> None:
    """Cancel *tasks*, none of which has ended."""
    assert not [task for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# -- the login fails ------------------------------------------------------------------------------------------------------


async def test_a_refused_login_waits_for_its_own_lock() -> None:
    """Theirs: the login's 401 asks for the lock that its caller holds, and all requests hang. Ours: one login, and each has the error."""
    async with theirs(Documented) as at:
        at.refresh.failures = iter([(401, {})])
        tasks = at.start(5)
        # Five wait for the lock, the one that holds it among them.
        await until(lambda: len(at.middleware.lock._waiters or ()) == 5)
        await cancelled(tasks)
    async with ours() as at:
        at.refresh.failures = iter([(401, {})])
        assert await at.outcomes(5) == {CredentialsRejectedError: 5}
        assert at.refresh.count == 1


async def test_by_expiry_every_first_request_waits_for_its_own_lock() -> None:
    """Theirs: the login goes through the middleware, which needs a login. Ours: it has connections and a way of its own."""
    async with theirs(ByExpiry) as at:
        tasks = at.start()
        await until(lambda: len(at.middleware.lock._waiters or ()) == 1)
        assert (at.middleware.lock.locked(), at.refresh.count, at.api.arrivals) == (True, 0, [])
        await cancelled(tasks)
    async with ours() as at:
        assert await at.post() == 200


async def test_in_the_background_a_failed_login_is_never_noticed() -> None:
    """Theirs: the task is over, and who waits for the session waits forever. Ours: a typed error that says when to come back."""
    async with Api() as api, ClientSession() as http:
        refresh = Refresh(api)
        refresh.failures = iter([(503, {})])
        ready = asyncio.Event()
        task = asyncio.create_task(in_background(http, refresh.url, ready))
        await asyncio.wait([task])
        assert isinstance(task.exception(), KeyError)
        assert not ready.is_set()
    async with ours() as at:
        at.refresh.failures = iter([(503, {"Retry-After": "3600"})])
        with pytest.raises(LoginUnavailableError) as caught:
            await at.post()
        assert caught.value.retry_after == 3600


# With 401, the documented one hangs, as above.
@pytest.mark.parametrize(("kind", "status"), [(Documented, 503), (Mended, 503), (Mended, 401)])
async def test_each_waiter_repeats_a_failed_login(kind: type[Documented | Mended], status: int) -> None:
    """Theirs: twenty requests send the wrong password twenty times, which locks accounts. Ours: once, and the others know."""
    always = [(status, {"Retry-After": "3600"})] * 100
    async with theirs(kind) as at:
        at.refresh.failures = iter(always)
        error = KeyError if kind is Documented else aiohttp.ClientResponseError
        assert await at.outcomes(20) == {error: 20}
        assert at.refresh.count == 20
    async with ours() as at:
        at.refresh.failures = iter(always)
        assert await at.outcomes(20) == {CredentialsRejectedError if status == 401 else LoginUnavailableError: 20}
        assert at.refresh.count == 1


async def test_a_login_that_fails_once_fails_a_request() -> None:
    """Theirs: whichever request asked gets the login's 503. Ours: it is tried again while all wait, and nobody notices."""
    async with theirs(Mended) as at:
        at.refresh.failures = iter([(503, {})])
        assert await at.outcomes(10) == {aiohttp.ClientResponseError: 1, 200: 9}
    async with ours() as at:
        at.refresh.failures = iter([(503, {})])
        assert await at.outcomes(10) == {200: 10}
        assert at.refresh.count == 2


async def test_a_refusal_that_stays_is_answered_with_the_login() -> None:
    """Theirs: the caller gets the login's answer, of status 200 and with the token. Ours: the API's 401."""
    async with theirs(Documented) as at:
        at.api.keys.clear()
        async with at.http.post(at.api.endpoint, json=QUERY) as response:
            assert (response.status, response.url.path) == (200, "/refresh")
            assert "access_token" in await response.json()
    async with ours() as at:
        at.api.keys.clear()
        async with at.http.post(at.api.endpoint, json=QUERY) as response:
            assert (response.status, response.url.path) == (401, "/graphql")
            assert await response.json() == {"error": "Missing or invalid token"}


async def test_logins_that_help_nobody_have_no_end() -> None:
    """Theirs: each request that is refused for another reason makes two logins. Ours: five in a minute at most, then an error."""
    async with theirs(Mended) as at:
        at.api.keys.clear()
        for _ in range(10):
            assert await at.post() == 401
        assert at.refresh.count == 20
    async with ours() as at:
        at.api.keys.clear()
        outcomes = Counter[Any]()
        for _ in range(10):
            outcomes += await at.outcomes(1)
        assert set(outcomes) == {401, LoginBudgetExceededError}
        assert at.refresh.count <= 5


# -- while the login runs -------------------------------------------------------------------------------------------------


async def test_requests_are_sent_with_a_token_known_to_be_dead() -> None:
    """Theirs: each request that begins during the login is refused, and sent twice. Ours: it waits, and is sent once."""
    async with theirs(Mended) as at:
        at.refresh.gate.clear()
        tasks = at.start()
        await until(lambda: at.refresh.count == 1)
        tasks += at.start(20)
        await until(lambda: at.refusals() == 21)
        at.refresh.gate.set()
        assert await asyncio.gather(*tasks) == [200] * 21
    async with ours() as at:
        at.refresh.gate.clear()
        tasks = at.start()
        await until(lambda: at.refresh.count == 1)
        tasks += at.start(20)
        await until(lambda: at.middleware.stats().waiting == 21)
        at.refresh.gate.set()
        assert await asyncio.gather(*tasks) == [200] * 21
        assert at.refusals() == 1


async def test_a_cancelled_caller_takes_the_login_along() -> None:
    """Theirs: the login belongs to the request that began it, and the next one begins another. Ours: it belongs to nobody."""
    async with theirs(Mended) as at:
        at.refresh.gate.clear()
        (first,) = at.start()
        await until(lambda: at.refresh.count == 1)
        (second,) = at.start()
        await until(lambda: len(at.middleware.lock._waiters or ()) == 1)
        first.cancel()
        await until(lambda: at.refresh.count == 2)
        at.refresh.gate.set()
        assert await second == 200
    async with ours() as at:
        at.refresh.gate.clear()
        (first,) = at.start()
        await until(lambda: at.refresh.count == 1)
        (second,) = at.start()
        await until(lambda: at.middleware.stats().waiting == 2)
        first.cancel()
        await asyncio.wait([first])
        at.refresh.gate.set()
        assert await second == 200
        assert at.refresh.count == 1


async def test_a_login_waits_for_the_connection_of_the_401() -> None:
    """Theirs: a pool of one connection, which an unread 401 holds, never serves the login. Ours: it is given back first."""
    long = answering(401, bytes(2_000_000))
    async with theirs(Mended, connector=(pool := TCPConnector(limit=1))) as at:
        at.api.refusals["/graphql"] = long
        tasks = at.start()
        await until(lambda: any(pool._waiters.values()))
        assert (at.refusals(), at.refresh.count) == (1, 0)
        await cancelled(tasks)
    async with ours(connector=TCPConnector(limit=1)) as at:
        at.api.refusals["/graphql"] = long
        assert await at.outcomes(5) == {200: 5}
        assert at.refresh.count == 1


async def test_a_body_that_was_read_is_sent_again_empty() -> None:
    """Theirs: the upload's second attempt has no body, and succeeds. Ours: the 401 comes back, and the next attempt is whole."""

    async def resume() -> AsyncIterator[bytes]:
        yield b"%PDF-1.7"

    async with theirs(Mended) as at:
        assert await at.post(data=resume()) == 200
        assert [each.body for each in at.api.arrivals if each.path == "/graphql"] == [b"%PDF-1.7", b""]
    async with ours() as at:
        assert await at.post(data=resume()) == 401
        assert await at.post(data=resume()) == 200
        assert [each.body for each in at.api.arrivals if each.path == "/graphql"] == [b"%PDF-1.7"] * 2


# -- where the credentials go ---------------------------------------------------------------------------------------------


async def test_every_host_gets_the_credentials() -> None:
    """Theirs: what the session asks elsewhere is signed, and a stranger's 401 costs logins. Ours: another origin is not ours."""
    async with theirs(Mended) as at, Api() as stranger:
        async with at.http.get(f"{stranger.base}/rates"):
            pass
        assert stranger.signatures == [(f"Bearer {REVOKED}", KEY), ("Bearer token-1", KEY)]
        assert at.refresh.count == 2
    async with ours() as at, Api() as stranger:
        async with at.http.get(f"{stranger.base}/rates"):
            pass
        assert stranger.signatures == [UNSIGNED]
        assert at.refresh.count == 0


async def test_a_redirect_leads_the_credentials_away() -> None:
    """Theirs: a middleware runs for each hop, and signs it wherever it leads. Ours: a hop to another origin carries nothing."""
    clients: tuple[AbstractAsyncContextManager[At], ...] = (theirs(Mended), ours())
    seen = []
    for client in clients:
        async with client as at, Api() as stranger:
            assert await at.post() == 200
            at.api.answers["/moved"] = leads_to(f"{stranger.base}/here")
            async with at.http.post(f"{at.api.base}/moved", json=QUERY):
                pass
            seen.append(stranger.signatures[0])
    assert seen == [("Bearer token-1", KEY), UNSIGNED]


async def test_errors_and_logs_show_the_token() -> None:
    """Theirs: the repr of aiohttp's own error has the request's headers. Ours: their values print as ``'***'``."""
    clients: tuple[AbstractAsyncContextManager[At], ...] = (theirs(Mended), ours())
    shown = []
    for client in clients:
        async with client as at:
            at.api.answers["/broken"] = answering(500)
            assert await at.post() == 200
            with pytest.raises(aiohttp.ClientResponseError) as caught:
                await at.http.post(f"{at.api.base}/broken", json=QUERY, raise_for_status=True)
            token = at.api.arrivals[-1].token
            shown.append((token in repr(caught.value), KEY in repr(caught.value)))
    assert shown == [(True, True), (False, False)]


# -- more than one of them ------------------------------------------------------------------------------------------------


class MendedForEmulator(Mended):
    """With the login of the emulator."""

    def __init__(self, emulator: ThreadedEmulator) -> None:
        super().__init__(emulator.endpoint)
        variables = {"email": emulator.email, "password": emulator.password}
        self._body = json.dumps({"query": LOGIN, "variables": variables})

    async def log_in(self, session: ClientSession) -> str:
        options: dict[str, Any] = {"data": self._body, "raise_for_status": True, "middlewares": ()}
        async with session.post(self.url, **options) as answer:
            return str((await answer.json())["data"]["login"]["token"])


def test_a_second_run_cannot_use_the_lock(exterview: ThreadedEmulator, exterview_env: Any) -> None:
    """Theirs: a lock belongs to the event loop of its first wait (Celery, Lambda). Ours: one owner serves one run after another."""
    headers = {"x-api-key": exterview.api_key, "Content-Type": "application/json"}

    async def storm(middleware: Any) -> set[Any]:
        async def status(http: ClientSession) -> int:
            async with http.post(exterview.endpoint, json=QUERY) as response:
                return response.status

        async with ClientSession(headers=headers, middlewares=(middleware,)) as http:
            done = await asyncio.gather(*(status(http) for _ in range(10)), return_exceptions=True)
        return {type(one) if isinstance(one, BaseException) else one for one in done}

    module_level: Any = MendedForEmulator(exterview)
    assert asyncio.run(storm(module_level)) == {200}
    exterview.revoke()
    assert asyncio.run(storm(module_level)) == {200, RuntimeError}  # the lock is bound to a different event loop

    module_level = ExterviewAuth.from_env()
    for _ in range(2):
        with expect(exterview, logins=1):
            assert asyncio.run(storm(module_level)) == {200}
        exterview.revoke()
    asyncio.run(module_level.aclose())


async def one_request(whose: str, base: str, directory: str) -> None:
    """What each process of the next test does."""
    url = f"{base}/refresh"
    if whose == "theirs":
        async with ClientSession(headers={"x-api-key": KEY}, middlewares=(Mended(url),)) as http:
            await http.post(f"{base}/graphql", json=QUERY, raise_for_status=True)
        return

    async def log_in(context: LoginContext) -> Token:
        async with context.session.post(url, data="refresh-token", raise_for_status=True) as answer:
            return Token((await answer.json())["access_token"])

    store = FileStore(directory)
    owner = ExterviewAuth(log_in, api_key=KEY, endpoint=f"{base}/graphql", store=store, account="acme")
    async with owner as auth, ClientSession(middlewares=(auth,)) as http:
        await http.post(f"{base}/graphql", json=QUERY, raise_for_status=True)
    await store.aclose()


@pytest.mark.parametrize(("whose", "logins"), [("theirs", 3), ("ours", 1)])
async def test_each_process_logs_in(whose: str, logins: int, tmp_path: Path) -> None:
    """Theirs: a token is known to one process, and an API with one session for a user ends the others'. Ours: they share a store."""
    program = f"import asyncio, sys; from {__name__} import one_request; asyncio.run(one_request(*sys.argv[1:]))"
    async with Api() as api:
        refresh = Refresh(api)
        for _ in range(3):
            arguments = ("-c", program, whose, api.base, str(tmp_path / "tokens"))
            process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT, stderr=subprocess.PIPE)
            assert (await process.communicate())[1] == b""
        assert refresh.count == logins
