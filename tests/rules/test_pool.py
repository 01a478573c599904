"""`AuthPool`: one owner per account, bounded, and never two for one in use."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from exterview_auth import AuthPool, ClosedError, ConfigurationError, ExterviewAuth, LoginContext, StoreError, Token
from tests.kit.api import until

pytestmark = pytest.mark.asyncio


def factory(account: str) -> ExterviewAuth:
    """An owner whose token names its account and expires."""

    async def login(_context: LoginContext) -> Token:
        await asyncio.sleep(0)
        return Token(f"token-of-{account}", expires_in=3600)

    return ExterviewAuth(login, api_key="key", endpoint="http://127.0.0.1:9/graphql", account=account)


async def test_an_account_has_one_owner() -> None:
    """The contract: made once, the same for everybody."""
    async with AuthPool(factory) as pool:
        assert pool["a"] is pool["a"]
        assert pool["a"] is not pool["b"]
        assert len(pool) == 2
        assert "a" in pool
        assert "c" not in pool
        assert "2 of 1024" in repr(pool)


async def test_accounts_share_no_token_under_eviction() -> None:
    """Lesson 5: 40 accounts over a pool of eight, each with its own token."""
    async with AuthPool(factory, maxsize=8) as pool:

        async def use(number: int) -> bool:
            account = f"org{number % 40}"
            return (await pool[account].token()).value == f"token-of-{account}"

        assert all(await asyncio.gather(*(use(number) for number in range(400))))
        assert len(pool) == 8


async def test_an_owner_in_use_is_found_again() -> None:
    """The contract: dropped from the kept ones, but still held by somebody, it is not made twice."""
    async with AuthPool(factory, maxsize=1) as pool:
        used = pool["a"]
        assert pool["b"] is not used
        assert pool["a"] is used


async def test_a_login_in_flight_keeps_its_owner() -> None:
    """The contract: in use means also that somebody waits for its token."""
    async with AuthPool(factory, maxsize=1) as pool:
        number = id(pool["a"])
        waiting = asyncio.ensure_future(pool["a"].token())
        await asyncio.sleep(0)
        pool["b"]
        gc.collect()
        assert id(pool["a"]) == number
        assert (await waiting).value == "token-of-a"


async def test_a_dropped_owner_goes_in_silence() -> None:
    """The contract: the pool ends its background work; no `ResourceWarning`."""
    async with AuthPool(factory, maxsize=1) as pool:
        await pool["a"].token()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await pool["b"].token()
            gc.collect()
        assert "a" not in pool


async def test_closing_closes_all() -> None:
    """The contract: the kept ones and those in use; afterwards the pool is closed, twice is fine."""
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


async def test_a_login_that_nobody_waits_for_any_more_keeps_its_owner() -> None:
    """Rule 5: evicted with a login in flight whose waiter has gone, the account has one owner and one login."""
    logins: list[str] = []

    def slow(account: str) -> ExterviewAuth:
        async def login(_context: LoginContext) -> Token:
            logins.append(account)
            await asyncio.sleep(0.05)
            return Token(f"token-of-{account}")

        return ExterviewAuth(login, api_key="key", endpoint="http://127.0.0.1:9/graphql", account=account)

    async with AuthPool(slow, maxsize=1) as pool:

        async def give_up() -> None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(pool["a"].token(), 0.01)

        await asyncio.create_task(give_up())
        pool["b"]
        gc.collect()
        assert (await pool["a"].token()).value == "token-of-a"
        assert logins == ["a"]


async def test_one_owner_that_cannot_be_closed_does_not_keep_the_others_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contract: all are closed, and the failure is told."""
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


# -- while the store is away --------------------------------------------------------------------------------------------


class Cupboard:
    """A store that is away until it is told to come back."""

    def __init__(self) -> None:
        self.away = True
        self.kept: dict[str, Token] = {}

    def _ask(self) -> None:
        if self.away:
            raise StoreError("it is away")

    async def load(self, account: str) -> Token | None:
        self._ask()
        return self.kept.get(account)

    async def save(self, account: str, token: Token) -> None:
        self._ask()
        self.kept[account] = token

    async def delete(self, account: str) -> None:
        self._ask()
        self.kept.pop(account, None)

    def lock(self, _account: str) -> AbstractAsyncContextManager[object]:
        return contextlib.nullcontext()


def saving_in(store: Cupboard, logins: list[str]) -> Callable[[str], ExterviewAuth]:
    """A factory of owners that save in *store*, and note their *logins*."""

    def made(account: str) -> ExterviewAuth:
        async def login(_context: LoginContext) -> Token:
            logins.append(account)
            return Token(f"token-of-{account}", expires_in=3600)

        return ExterviewAuth(login, api_key="key", endpoint="http://127.0.0.1:9/graphql", store=store, account=account)

    return made


def saves() -> int:
    """How many saves are still to be repeated."""
    return sum(task.get_name() == "exterview_auth save" for task in asyncio.all_tasks())


async def test_an_account_that_is_not_saved_yet_has_one_owner_one_login_and_one_save() -> None:
    """The contract: never two for an account in use, however often it is dropped; and closing leaves no task behind."""
    logins: list[str] = []
    async with AuthPool(saving_in(Cupboard(), logins), maxsize=1) as pool:
        for turn in range(60):
            account = "abc"[turn % 3]
            assert (await pool[account].token()).value == f"token-of-{account}"
            gc.collect(0)
        assert logins == ["a", "b", "c"]
        assert saves() == 3
        assert len(pool) == 1
    assert saves() == 0


async def test_closing_saves_what_dropped_owners_could_not() -> None:
    """Rule 17: a rotated refresh token must not be lost; each gets its last attempt."""
    store = Cupboard()
    async with AuthPool(saving_in(store, []), maxsize=1) as pool:
        for account in "abc":
            await pool[account].token()
        store.away = False
    assert sorted(token.value for token in store.kept.values()) == ["token-of-a", "token-of-b", "token-of-c"]


async def test_owners_dropped_while_the_store_is_away_go_in_silence() -> None:
    """Rule 21: a `ResourceWarning` is for who dropped an owner; nobody could close those that the pool dropped."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        async with AuthPool(saving_in(Cupboard(), []), maxsize=1) as pool:
            for account in "abcabc":
                await pool[account].token()
                gc.collect()
        gc.collect()
    assert [str(warning.message) for warning in seen] == []


async def test_an_owner_that_logs_in_after_it_was_dropped_is_kept_until_its_token_is_saved() -> None:
    """The contract: dropped while idle, used by who still held it, and then held by nobody: found again all the same."""
    logins: list[str] = []
    async with AuthPool(saving_in(Cupboard(), logins), maxsize=1) as pool:
        for _ in range(5):
            used = pool["a"]
            pool["b"]
            await used.token()
            del used
            gc.collect()
        assert logins == ["a"]
        assert saves() == 1


async def test_what_is_saved_is_let_go_of() -> None:
    """The contract: *maxsize* bounds the pool again once the store is back, after a few accesses and without further logins."""
    store, logins = Cupboard(), list[str]()
    accounts = [f"org{number}" for number in range(20)]
    async with AuthPool(saving_in(store, logins), maxsize=1) as pool:
        for account in accounts:
            await pool[account].token()
        assert all(account in pool for account in accounts)
        store.away = False
        await until(lambda: saves() == 0)
        for _ in accounts:
            await pool[accounts[-1]].token()
        gc.collect()
        assert [account for account in accounts if account in pool] == accounts[-1:]
        assert logins == accounts
        assert len(store.kept) == len(accounts)


async def test_what_an_ended_loop_did_not_save_is_saved_by_the_next() -> None:
    """Rules 17 and 20: a pool that goes on under a new ``asyncio.run`` still has the owner whose save was cut off."""
    store = Cupboard()
    pool = AuthPool(saving_in(store, []), maxsize=1)

    async def use() -> None:
        await pool["a"].token()
        await pool["b"].token()

    async def go_on() -> None:
        store.away = False
        for _ in range(3):
            pool["b"]
        gc.collect()
        await pool.aclose()

    def one_after_the_other() -> None:
        asyncio.run(use())
        asyncio.run(go_on())

    await asyncio.to_thread(one_after_the_other)
    assert sorted(token.value for token in store.kept.values()) == ["token-of-a", "token-of-b"]


# -- wrong use ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [{"factory": None}, {"factory": factory("a")}, {"maxsize": 0}, {"maxsize": "many"}, {"maxsize": True}]
)
async def test_a_wrong_argument_is_one_sentence(arguments: dict[str, Any]) -> None:
    """Bad input: `ConfigurationError`."""
    with pytest.raises(ConfigurationError):
        AuthPool(**{"factory": factory, **arguments})


async def test_a_factory_that_makes_something_else_is_told_so() -> None:
    """Bad input: the sentence names what it made."""
    pool = AuthPool(lambda account: account)  # type: ignore[arg-type,return-value]  # a wrong use
    with pytest.raises(ConfigurationError, match="factory returned str"):
        pool["a"]


async def test_an_owner_that_the_pool_keeps_again_is_an_owner_like_any_other() -> None:
    """Rule 21: it was dropped in silence once, and is not for good; who loses it without closing it is told."""
    pool = AuthPool(factory, maxsize=1)
    owner = pool["a"]
    pool["b"]
    assert pool["a"] is owner
    await owner.token()
    assert owner._keeper.lifecycle.holds_open
    await pool.aclose()
