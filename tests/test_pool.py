"""`AuthPool`: one owner per account, bounded, and never two for one in use."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from typing import Any

import pytest

from exterview_auth import (
    AuthPool,
    ClosedError,
    ConfigurationError,
    ExterviewAuth,
    LoginContext,
    Token,
)

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
    with pytest.raises(ConfigurationError, match="factory made str"):
        pool["a"]
