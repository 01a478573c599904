"""`AuthPool`: one owner per account, bounded, and never two for an account in use."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import ClientSession, CookieJar, DummyCookieJar, TCPConnector, web
from aiohttp.test_utils import TestServer

from exterview_auth import (
    AuthPool,
    AuthSession,
    ClosedError,
    ConfigurationError,
    ExterviewAuth,
    LoginContext,
    OAuth2Login,
    StaticLogin,
    StoreError,
    Token,
)
from tests.kit.api import KEY, Api, until
from tests.kit.failing_store import FailingStore


class Factory:
    """Creates owners whose tokens name their accounts and expire; notes the accounts of their `logins`."""

    def __init__(self, store: FailingStore | None = None, endpoint: str = "http://127.0.0.1:9/graphql") -> None:
        self.store = store
        self.endpoint = endpoint
        self.logins: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def __call__(self, account: str) -> ExterviewAuth:
        async def login(_context: LoginContext) -> Token:
            self.logins.append(account)
            await self.gate.wait()
            return Token(f"token-of-{account}", expires_in=3600)

        return ExterviewAuth(login, api_key=KEY, endpoint=self.endpoint, account=account, store=self.store)


@pytest.fixture
def factory() -> Factory:
    """Return a factory without a store."""
    return Factory()


@pytest.fixture
def store() -> FailingStore:
    """Return the store of `saving`, which is unavailable until its faults are cleared."""
    made = FailingStore()
    made.faults = dict.fromkeys(("load", "save", "delete"), StoreError("it is unavailable"))
    return made


@pytest.fixture
def saving(store: FailingStore) -> Factory:
    """Return a factory of owners that save in `store`."""
    return Factory(store)


async def test_an_account_has_one_owner(factory: Factory) -> None:
    """Created once, the same for all."""
    async with AuthPool(factory) as pool:
        assert pool["a"] is pool["a"]
        assert pool["a"] is not pool["b"]
        assert len(pool) == 2
        assert "a" in pool
        assert "c" not in pool
        assert "2 of 1024" in repr(pool)


async def test_accounts_share_no_token_under_eviction(factory: Factory) -> None:
    """40 accounts in a pool of eight, each with its own token."""
    async with AuthPool(factory, maxsize=8) as pool:

        async def use(number: int) -> bool:
            account = f"org{number % 40}"
            return (await pool[account].token()).value == f"token-of-{account}"

        assert all(await asyncio.gather(*(use(number) for number in range(400))))
        assert len(pool) == 8


async def test_an_owner_in_use_is_found_again(factory: Factory) -> None:
    """If the pool evicted it but someone still refers to it, no second one is created."""
    async with AuthPool(factory, maxsize=1) as pool:
        used = pool["a"]
        assert pool["b"] is not used
        assert pool["a"] is used
        await used.token()
        # The pool ends an evicted owner's work in silence; this one it keeps again.
        assert used._keeper.lifecycle.holds_open


@pytest.mark.parametrize("waits", [True, False])
async def test_a_login_in_flight_keeps_its_owner(factory: Factory, *, waits: bool) -> None:
    """Evicted with a login in flight, also if its waiter has gone, the account has one owner and one login."""
    async with AuthPool(factory, maxsize=1) as pool:
        factory.gate.clear()
        number = id(pool["a"])
        waiting = asyncio.ensure_future(pool["a"].token())
        await until(lambda: factory.logins == ["a"])
        if not waits:
            waiting.cancel()
            await asyncio.wait([waiting])
        pool["b"]
        gc.collect()
        assert id(pool["a"]) == number
        factory.gate.set()
        assert (await (waiting if waits else pool["a"].token())).value == "token-of-a"
        assert factory.logins == ["a"]


async def test_an_evicted_owner_is_dropped_in_silence(factory: Factory) -> None:
    """The pool ends its background work; no `ResourceWarning`."""
    async with AuthPool(factory, maxsize=1) as pool:
        await pool["a"].token()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await pool["b"].token()
            gc.collect()
        assert "a" not in pool


async def test_closing_closes_all(factory: Factory) -> None:
    """Kept owners and those in use; afterwards the pool is closed, and closing twice is fine."""
    pool = AuthPool(factory, maxsize=1)
    owners = [pool["a"], pool["b"]]
    await asyncio.gather(*(owner.token() for owner in owners))
    await pool.aclose()
    await pool.aclose()
    for owner in owners:
        with pytest.raises(ClosedError):
            await owner.token()
    with pytest.raises(ClosedError):
        pool["a"]
    assert "closed" in repr(pool)


async def test_one_owner_that_cannot_be_closed_does_not_keep_the_others_open(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are closed, and the failure is raised."""
    pool = AuthPool(factory)
    first, second = pool["a"], pool["b"]

    async def failing(self: ExterviewAuth) -> None:
        await close(self)
        if self is first:
            raise RuntimeError("no")

    close = ExterviewAuth.aclose
    monkeypatch.setattr(ExterviewAuth, "aclose", failing)
    with pytest.raises(RuntimeError, match="no"):
        await pool.aclose()
    with pytest.raises(ClosedError):
        await second.token()


# -- one session for all accounts ---------------------------------------------------------------------------------------

ACCOUNTS = ("alice", "bob")


async def own_cookie(request: web.Request, _body: bytes) -> web.Response:
    """Answer with a session cookie for whoever the token says."""
    response = web.json_response({})
    response.set_cookie("session", request.headers["Authorization"].removeprefix("Bearer "))
    return response


async def cookies_of_bob(session_of: Callable[[str], ClientSession]) -> str:
    """Return the cookies of bob's request, after one of alice's that got her session cookie."""
    async with Api() as api:
        # A jar ignores the cookies of IP addresses.
        factory = Factory(endpoint=api.endpoint.replace("127.0.0.1", "localhost"))
        api.tokens.update(f"token-of-{account}" for account in ACCOUNTS)
        api.answers["/graphql"] = own_cookie
        async with AuthPool(factory) as pool:
            for account in ACCOUNTS:
                assert (await AuthSession(session_of(account), pool[account]).post("", json={})).status == 200
    return api.arrivals[-1].headers.get("Cookie", "")


async def test_a_jar_that_accounts_share_mixes_them_up() -> None:
    """Why the README's session for a pool keeps no cookies: with aiohttp's own jar, bob's request carries alice's cookie."""
    async with ClientSession() as http:
        assert await cookies_of_bob(lambda _: http) == "session=token-of-alice"


async def test_a_session_for_a_pool_keeps_no_cookies() -> None:
    """The README's pattern: nothing that the API set for alice goes out with bob's requests."""
    async with ClientSession(cookie_jar=DummyCookieJar()) as http:
        assert await cookies_of_bob(lambda _: http) == ""


async def test_each_account_may_have_a_jar_of_its_own() -> None:
    """The README's other pattern: sessions over one connector."""
    async with TCPConnector() as connector, AsyncExitStack() as stack:
        sessions = {account: ClientSession(connector=connector, connector_owner=False) for account in ACCOUNTS}
        for session in sessions.values():
            await stack.enter_async_context(session)
        assert await cookies_of_bob(sessions.__getitem__) == ""
        assert [cookie.value for cookie in sessions["alice"].cookie_jar] == ["token-of-alice"]


# -- while the store is unavailable -------------------------------------------------------------------------------------


def saves() -> int:
    """How many saves are still to be repeated."""
    return sum(task.get_name() == "exterview_auth save" for task in asyncio.all_tasks())


async def test_an_account_that_is_not_saved_yet_has_one_owner_one_login_and_one_save(saving: Factory) -> None:
    """Never two for an account in use, however often it is evicted; and closing leaves no task."""
    async with AuthPool(saving, maxsize=1) as pool:
        for number in range(60):
            account = "abc"[number % 3]
            assert (await pool[account].token()).value == f"token-of-{account}"
            gc.collect(0)
        assert saving.logins == ["a", "b", "c"]
        assert saves() == 3
        assert len(pool) == 1
    assert saves() == 0


async def test_closing_saves_what_evicted_owners_could_not(saving: Factory, store: FailingStore) -> None:
    """A rotated refresh token must not be lost; each owner makes one last attempt."""
    async with AuthPool(saving, maxsize=1) as pool:
        for account in "abc":
            await pool[account].token()
        store.faults.clear()
    assert sorted(token.value for token in store.entries.values()) == ["token-of-a", "token-of-b", "token-of-c"]


async def test_owners_evicted_while_the_store_is_unavailable_are_dropped_in_silence(saving: Factory) -> None:
    """A `ResourceWarning` is for code that drops an owner; no code could close an owner that the pool evicted."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        async with AuthPool(saving, maxsize=1) as pool:
            for account in "abcabc":
                await pool[account].token()
                gc.collect()
        gc.collect()
    assert [str(warning.message) for warning in seen] == []


async def test_an_evicted_owner_that_logs_in_is_kept_until_its_token_is_saved(saving: Factory) -> None:
    """Evicted while idle, used by code that still had it, then referred to by none: found again all the same."""
    async with AuthPool(saving, maxsize=1) as pool:
        for _ in range(5):
            used = pool["a"]
            pool["b"]
            await used.token()
            del used
            gc.collect()
        assert saving.logins == ["a"]
        assert saves() == 1


async def test_an_evicted_owner_whose_logout_is_pending_is_kept(saving: Factory, store: FailingStore) -> None:
    """Never two owners of an account whose deletion the store has yet to hear of."""
    store.faults.clear()
    async with AuthPool(saving, maxsize=1) as pool:
        used = pool["a"]
        await used.token()
        pool["b"]
        store.faults["delete"] = StoreError("down")
        await used.logout()
        del used
        gc.collect()
        assert "a" in pool
        store.faults.clear()
        await until(lambda: saves() == 0)
        assert store.entries == {}
        for _ in range(3):
            pool["b"]
        gc.collect()
        assert "a" not in pool


async def test_saved_owners_are_released(saving: Factory, store: FailingStore) -> None:
    """*maxsize* bounds the pool again once the store is back, after a few accesses and without further logins."""
    accounts = [f"org{number}" for number in range(20)]
    async with AuthPool(saving, maxsize=1) as pool:
        for account in accounts:
            await pool[account].token()
        assert all(account in pool for account in accounts)
        store.faults.clear()
        await until(lambda: saves() == 0)
        for _ in accounts:
            await pool[accounts[-1]].token()
        gc.collect()
        assert [account for account in accounts if account in pool] == accounts[-1:]
        assert saving.logins == accounts
        assert len(store.entries) == len(accounts)


async def test_what_an_ended_loop_did_not_save_is_saved_by_the_next(saving: Factory, store: FailingStore) -> None:
    """A pool that goes on under a new ``asyncio.run`` still has the owner whose save was cut off."""
    pool = AuthPool(saving, maxsize=1)

    async def use() -> None:
        await pool["a"].token()
        await pool["b"].token()

    async def go_on() -> None:
        store.faults.clear()
        for _ in range(3):
            pool["b"]
        gc.collect()
        await pool.aclose()

    for run in (use, go_on):
        await asyncio.to_thread(lambda run=run: asyncio.run(run()))  # type: ignore[misc]  # bound in the loop
    assert sorted(token.value for token in store.entries.values()) == ["token-of-a", "token-of-b"]


async def test_a_closing_that_is_cancelled_at_once_closes_all_the_same(saving: Factory) -> None:
    """Its owners hear of it before the caller leaves."""
    pool = AuthPool(saving)
    owners = [pool["a"], pool["b"]]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await pool.aclose()
    await until(lambda: all("closed" in repr(owner) for owner in owners))


async def test_what_a_closing_that_was_cut_off_did_not_save_is_saved_by_the_next(
    saving: Factory, store: FailingStore
) -> None:
    """The pool keeps its owners, also evicted ones, until they are closed."""
    pool = AuthPool(saving, maxsize=1)

    async def use() -> None:
        await pool["a"].token()
        await pool["b"].token()
        store.faults["save"] = "hang"
        store.calls.clear()
        closing = asyncio.ensure_future(pool.aclose())
        await until(lambda: "save" in store.calls)
        assert not closing.done()

    async def close() -> None:
        store.faults.clear()
        gc.collect()
        await pool.aclose()

    store.faults["load"] = None
    for run in (use, close):
        await asyncio.to_thread(lambda run=run: asyncio.run(run()))  # type: ignore[misc]  # bound in the loop
    assert sorted(token.value for token in store.entries.values()) == ["token-of-a", "token-of-b"]


# -- wrong use ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [{"factory": None}, {"factory": Factory()("a")}, {"maxsize": 0}, {"maxsize": "many"}, {"maxsize": True}],
)
async def test_a_wrong_argument_is_refused(factory: Factory, arguments: dict[str, Any]) -> None:
    """Bad input: `ConfigurationError`."""
    with pytest.raises(ConfigurationError):
        AuthPool(**{"factory": factory, **arguments})


@pytest.mark.parametrize("account", [1, True, None, b"x", "", 1.0, ("a",), ["a"], object()])
async def test_an_account_is_a_text_that_is_not_empty(factory: Factory, account: Any) -> None:
    """Bad input: no owner is created for anything else, and it is not in the pool."""
    async with AuthPool(factory) as pool:
        with pytest.raises(ConfigurationError, match="an account is named by text that is not empty, not by"):
            pool[account]
        assert len(pool) == 0
        assert account not in pool


async def test_a_factory_that_asks_for_its_own_account_is_refused() -> None:
    """One sentence instead of an endless recursion; another account is fine, and the next call begins anew."""
    kept: list[AuthPool] = []
    asked = ["a"]

    def factory(account: str) -> ExterviewAuth:
        return kept[0][asked[0]] if asked[0] != "none" and account != "b" else Factory()(account)

    pool = AuthPool(factory)
    kept.append(pool)
    with pytest.raises(ConfigurationError, match=r"^factory asks the pool for the account that it creates"):
        pool["a"]
    asked[0] = "none"
    assert pool["a"] is pool["a"]
    await pool.aclose()


def test_threads_that_ask_at_once_get_one_owner() -> None:
    """Web frameworks run sync code in threads: each account is created once, however slow its factory is."""
    created: list[str] = []
    begun = threading.Event()

    def factory(account: str) -> ExterviewAuth:
        created.append(account)
        begun.wait(0.2)  # for the others, which are on their way by then
        return ExterviewAuth(StaticLogin("t"), api_key=KEY, account=account)

    pool = AuthPool(factory)
    names = [name for name in ("acme", "globex") for _ in range(4)]
    with ThreadPoolExecutor(len(names)) as threads:
        owners = dict(zip(names, threads.map(pool.__getitem__, names), strict=False))
        assert all(
            owner is owners[name] for name, owner in zip(names, threads.map(pool.__getitem__, names), strict=True)
        )
    assert sorted(created) == ["acme", "globex"]


async def test_an_async_factory_is_refused_without_a_warning() -> None:
    """Its coroutine is closed, so that nothing says later that it was never awaited."""

    async def factory(account: str) -> ExterviewAuth:
        return Factory()(account)

    with pytest.raises(ConfigurationError, match=r"^factory returned coroutine; let it return an ExterviewAuth$"):
        AuthPool(factory)["a"]  # type: ignore[arg-type]  # what is refused
    gc.collect()


async def test_a_factory_that_returns_something_else_is_refused() -> None:
    """Bad input: the sentence names what it returned."""
    pool = AuthPool(lambda account: account)  # type: ignore[arg-type,return-value]  # a wrong use
    with pytest.raises(ConfigurationError, match="factory returned str"):
        pool["a"]


# -- one session for the logins of all accounts --------------------------------------------------------------------------


async def identity_provider(request: web.Request) -> web.Response:
    """Answer as identity providers do: whoever is signed in here by a cookie gets a token, whatever the form says."""
    user = request.cookies.get("signed_in") or str((await request.post())["username"])
    response = web.json_response({"access_token": f"token-of-{user}", "expires_in": 3600})
    response.set_cookie("signed_in", user)
    return response


async def test_logins_of_two_accounts_share_no_cookies() -> None:
    """A ``login_session=`` for all of a pool's accounts: what a login is given to keep ends with it."""
    app = web.Application()
    app.router.add_post("/token", identity_provider)
    async with TestServer(app, host="localhost") as server, ClientSession() as logins:

        def owner_of(account: str) -> ExterviewAuth:
            url = server.make_url("/token")
            login = OAuth2Login(url, "client", grant_type="password", username=account, password="p")
            return ExterviewAuth(login, api_key=KEY, endpoint=url, login_session=logins)

        async with AuthPool(owner_of) as pool:
            assert [(await pool[account].token()).value for account in ACCOUNTS] == ["token-of-alice", "token-of-bob"]
        assert len(logins.cookie_jar) == 0


async def test_a_login_of_several_requests_keeps_its_cookies_until_it_ends() -> None:
    """The application's own are sent too, unless the login was given newer ones; a session without cookies gets none."""
    sent: list[dict[str, str]] = []

    async def sign_in(request: web.Request) -> web.Response:
        sent.append(dict(request.cookies))
        response = web.Response()
        response.set_cookie("csrf", "x")
        return response

    app = web.Application()
    app.router.add_get("/", sign_in)
    async with TestServer(app, host="localhost") as server:
        name, address = server.make_url("/"), server.make_url("/").with_host("127.0.0.1")

        async def login(context: LoginContext) -> Token:
            for _ in range(2):
                await context.session.get(context.endpoint)
            return Token("t")

        for jar, url in ((CookieJar(), name), (CookieJar(unsafe=True), address), (DummyCookieJar(), name)):
            async with ClientSession(cookies={"gateway": "g", "csrf": "old"}, cookie_jar=jar) as logins:
                async with ExterviewAuth(login, api_key=KEY, endpoint=url, login_session=logins) as owner:
                    await owner.token()
                assert {cookie.value for cookie in jar} <= {"g", "old"}
    assert sent == [{"gateway": "g", "csrf": "old"}, {"gateway": "g", "csrf": "x"}] * 2 + [{}, {}]


async def test_a_secure_cookie_of_a_login_goes_where_the_sessions_jar_lets_it() -> None:
    """Over plain HTTP too, to an origin that the application has named as secure, such as one behind a proxy of its own."""
    sent: list[dict[str, str]] = []

    async def sign_in(request: web.Request) -> web.Response:
        sent.append(dict(request.cookies))
        response = web.Response()
        response.set_cookie("csrf", "x", secure=True)
        return response

    app = web.Application()
    app.router.add_get("/", sign_in)
    async with TestServer(app, host="localhost") as server:
        url = server.make_url("/")

        async def login(context: LoginContext) -> Token:
            for _ in range(2):
                await context.session.get(context.endpoint)
            return Token("t")

        for secure in (url.origin(), None):
            async with (
                ClientSession(cookie_jar=CookieJar(treat_as_secure_origin=secure)) as logins,
                ExterviewAuth(login, api_key=KEY, endpoint=url, login_session=logins) as owner,
            ):
                await owner.token()
    assert sent == [{}, {"csrf": "x"}, {}, {}]
