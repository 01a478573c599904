"""What every store does, one suite for all; then what each does on its own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import json
import pickle
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from loopback import until

from exterview_auth import ConfigurationError, MemoryStore, Token, TokenStore

Factory = Callable[[Path], AbstractAsyncContextManager[TokenStore]]


@contextlib.asynccontextmanager
async def memory(_: Path) -> AsyncIterator[TokenStore]:
    """A `MemoryStore`."""
    yield MemoryStore()


STORES: list[Factory] = [
    memory,
]
ACCOUNTS = [
    "https://h.example|user@example.com",
    "a/b",
    "../a",
    "a",
    "A",
    "",
    " ",
    "ü\u2028",
    "a\0b",
    "x" * 500,
    "*",
    "a:b{c}",
]


def jwt_of(life: float) -> str:
    """A JWT that says that it lives so long from now."""
    now = time.time()
    payload = base64.urlsafe_b64encode(json.dumps({"iat": now, "exp": now + life}).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJub25lIn0.{payload}.c2ln"


def content(token: Token | None) -> tuple[str, str | None] | None:
    """The token's texts."""
    return None if token is None else (token.value, token.refresh_token)


@pytest_asyncio.fixture(params=STORES, ids=lambda factory: factory.__name__)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TokenStore]:
    """Each store in turn."""
    async with request.param(tmp_path) as made:
        yield made


# -- every store ---------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_store_is_a_token_store(store: TokenStore) -> None:
    """The protocol is met by structure."""
    assert isinstance(store, TokenStore)


@pytest.mark.asyncio
async def test_a_saved_token_is_loaded(store: TokenStore) -> None:
    """Value and refresh token come back as they were, the life as what is left of it, counted from the saving."""
    assert await store.load("a") is None
    await store.save("a", Token("value", expires_in=3600, refresh_token='r é"\n'))
    found = await store.load("a")
    assert found is not None
    assert content(found) == ("value", 'r é"\n')
    assert found.expires_in is not None
    assert 3590 < found.expires_in <= 3600
    assert not found.counts_from_receipt


@pytest.mark.asyncio
async def test_an_unknown_life_stays_unknown(store: TokenStore) -> None:
    """A token that lives until a 401 does so after the store too."""
    await store.save("a", Token("value"))
    found = await store.load("a")
    assert content(found) == ("value", None)
    assert found is not None
    assert (found.expires_in, found.expires_at) == (None, None)


@pytest.mark.asyncio
async def test_what_is_left_outranks_what_a_jwt_says(store: TokenStore) -> None:
    """A JWT saved with a minute left is not given a new hour by being read again."""
    await store.save("a", Token(jwt_of(3600)).with_remaining(60))
    found = await store.load("a")
    assert found is not None
    assert found.expires_in is not None
    assert 50 < found.expires_in <= 60


@pytest.mark.asyncio
async def test_the_longest_token_and_life_are_kept(store: TokenStore) -> None:
    """64 Ki characters and ten years are within every store's means."""
    token = Token("x" * 65_536, expires_in=1e18, refresh_token="y" * 65_536)
    await store.save("a", token)
    found = await store.load("a")
    assert content(found) == content(token)
    assert found is not None
    assert found.expires_in == pytest.approx(token.expires_in, rel=1e-6)


@pytest.mark.asyncio
async def test_a_save_replaces_what_was_there(store: TokenStore) -> None:
    """Nothing of the token before shows through: neither its refresh token nor its life."""
    await store.save("a", Token("old", expires_in=3600, refresh_token="r"))
    await store.save("a", Token("new"))
    found = await store.load("a")
    assert content(found) == ("new", None)
    assert found is not None
    assert found.expires_in is None


@pytest.mark.asyncio
async def test_a_token_that_is_over_is_not_handed_out_as_good(store: TokenStore) -> None:
    """A save of a token with no life left replaces what was there, and gives nothing, or what has no life left."""
    await store.save("a", Token("old", expires_in=3600))
    await store.save("a", Token("over").with_remaining(0))
    found = await store.load("a")
    assert found is None or (found.value == "over" and found.expires_in == 0)


@pytest.mark.asyncio
async def test_a_refresh_token_outlives_its_token(store: TokenStore) -> None:
    """A refresh token must not be lost with the life of the token that it came with."""
    await store.save("a", Token("over", refresh_token="r").with_remaining(0))
    found = await store.load("a")
    assert content(found) == ("over", "r")
    assert found is not None
    assert found.expires_in == 0


@pytest.mark.asyncio
async def test_a_deleted_token_is_gone(store: TokenStore) -> None:
    """Deleting forgets the account's token alone, and is fine where there is none."""
    await store.save("a", Token("one", refresh_token="r"))
    await store.save("b", Token("two"))
    await store.delete("a")
    await store.delete("a")
    assert await store.load("a") is None
    assert content(await store.load("b")) == ("two", None)
    await store.save("a", Token("three"))
    assert content(await store.load("a")) == ("three", None)


@pytest.mark.asyncio
async def test_no_two_accounts_share_a_token(store: TokenStore) -> None:
    """Accounts are told apart whatever characters their names have, by case too."""
    for number, account in enumerate(ACCOUNTS):
        await store.save(account, Token(f"token-{number}"))
    for number, account in enumerate(ACCOUNTS):
        assert content(await store.load(account)) == (f"token-{number}", None)


@pytest.mark.asyncio
async def test_a_store_shows_no_token(store: TokenStore) -> None:
    """The repr of a store holds no token."""
    await store.save("a", Token("s3cret-one", refresh_token="s3cret-two"))
    assert type(store).__name__ in repr(store)
    assert "s3cret" not in repr(store)


@pytest.mark.asyncio
async def test_a_lock_excludes(store: TokenStore) -> None:
    """At most one holds an account's lock, and each who wants it gets it."""
    holders, peak, served = 0, 0, 0

    async def hold() -> None:
        nonlocal holders, peak, served
        async with store.lock("a"):
            holders += 1
            peak = max(peak, holders)
            await asyncio.sleep(0.001)
            holders -= 1
            served += 1

    await asyncio.wait_for(asyncio.gather(*(hold() for _ in range(5))), 10)
    assert (peak, served) == (1, 5)


@pytest.mark.asyncio
async def test_locks_of_different_accounts_are_apart(store: TokenStore) -> None:
    """One account's login holds up no other's, and a held lock does not hold up reading and saving."""
    async with store.lock("a"), asyncio.timeout(5), store.lock("b"):
        await store.save("a", Token("value"))
        assert content(await store.load("a")) == ("value", None)
        await store.delete("a")


@pytest.mark.asyncio
async def test_an_error_under_a_lock_frees_it(store: TokenStore) -> None:
    """What is raised under the lock goes through, and the next holder gets it."""
    with pytest.raises(ZeroDivisionError):
        async with store.lock("a"):
            raise ZeroDivisionError
    async with asyncio.timeout(5), store.lock("a"):
        pass


@pytest.mark.asyncio
async def test_cancelled_waiters_leave_the_lock_free_and_excluding(store: TokenStore) -> None:
    """Lesson 8: after a hundred waiters were cancelled the lock still excludes, and is free at its end."""
    held, inside = asyncio.Event(), list[str]()

    async def hold(name: str) -> None:
        async with store.lock("a"):
            inside.append(name)
            held.set()
            await asyncio.Event().wait()

    holder = asyncio.ensure_future(hold("holder"))
    await asyncio.wait_for(held.wait(), 5)
    waiters = [asyncio.ensure_future(hold("waiter")) for _ in range(100)]
    await asyncio.sleep(0.01)
    for waiter in waiters:
        waiter.cancel()
    await asyncio.wait(waiters)
    assert all(waiter.cancelled() for waiter in waiters)
    late = asyncio.ensure_future(hold("late"))
    await asyncio.sleep(0.01)
    assert inside == ["holder"]
    holder.cancel()
    await until(lambda: inside == ["holder", "late"])
    late.cancel()
    await asyncio.wait([holder, late])


# -- the store in memory -------------------------------------------------------------------------------------------------


class Clock:
    """Stands still until a test moves it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.asyncio
async def test_memory_counts_on_the_injected_clock() -> None:
    """What is left shrinks with the clock, and at its end the token is gone, and its place with it."""
    clock = Clock()
    store = MemoryStore(timer=clock)
    await store.save("a", Token("value", expires_in=60))
    for clock.now, left in ((1000.0, 60), (1045.0, 15), (1059.5, 0.5)):
        found = await store.load("a")
        assert found is not None
        assert found.expires_in == left
    clock.now = 1060
    assert await store.load("a") is None
    assert len(store) == 0


@pytest.mark.asyncio
async def test_memory_keeps_a_refresh_token_beyond_expiry() -> None:
    """A token with a refresh token stays, with no life left; one of unknown life stays too."""
    clock = Clock()
    store = MemoryStore(timer=clock)
    await store.save("a", Token("value", expires_in=60, refresh_token="r"))
    await store.save("b", Token("value"))
    clock.now += 1e9
    found = await store.load("a")
    assert content(found) == ("value", "r")
    assert found is not None
    assert found.expires_in == 0
    assert content(await store.load("b")) == ("value", None)


@pytest.mark.asyncio
async def test_memory_is_bounded_and_drops_the_least_recently_used() -> None:
    """Both reading and saving are use."""
    store = MemoryStore(3)
    for account in "abc":
        await store.save(account, Token(account))
    await store.load("a")
    await store.save("b", Token("b2"))
    await store.save("d", Token("d"))
    assert len(store) == 3
    assert [content(await store.load(account)) for account in "abcd"] == [("a", None), ("b2", None), None, ("d", None)]
    assert repr(store) == "MemoryStore(maxsize=3, accounts=3)"


@pytest.mark.parametrize("maxsize", [0, -1, 1.5, None, True, "5"])
def test_memory_needs_a_size(maxsize: Any) -> None:
    """A size that holds nothing, or is no number, is a `ConfigurationError`."""
    with pytest.raises(ConfigurationError, match=r"^maxsize is the number of accounts"):
        MemoryStore(maxsize)
    assert MemoryStore(1)._entries.maxsize == 1


def test_memory_is_not_pickled() -> None:
    """A store holds secrets."""
    with pytest.raises(TypeError, match=r"^MemoryStore holds a secret"):
        pickle.dumps(MemoryStore())


def test_memorys_locks_belong_to_their_loop() -> None:
    """Rule 20: a lock that an ended loop held is not in the way of the next loop, and nothing of the old loop is kept."""
    store = MemoryStore()

    async def hold_and_wait() -> None:
        async def hold() -> None:
            async with store.lock("a"):
                await asyncio.Event().wait()

        tasks = [asyncio.ensure_future(hold()) for _ in range(2)]
        await asyncio.sleep(0)
        assert len(store._locks) == 1
        assert not any(task.done() for task in tasks)

    for _ in range(3):
        asyncio.run(asyncio.wait_for(hold_and_wait(), 5))
        gc.collect()
        assert len(store._locks) == 0


@pytest.mark.asyncio
async def test_memorys_locks_go_with_their_last_holder() -> None:
    """A thousand accounts that were locked once leave no lock behind."""
    store = MemoryStore()
    for number in range(1000):
        async with store.lock(str(number)):
            pass
    gc.collect()
    assert len(store._locks[asyncio.get_running_loop()]) == 0
