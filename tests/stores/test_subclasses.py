"""What a subclass of a store overrides is what owners call, and the lock still fences what the base then does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from exterview_auth import FileStore, MemoryStore, RedisStore, Token
from tests.kit.keepers import keeper
from tests.kit.redis_clients import cease
from tests.kit.stores import content, eventually, fleet, one_login_per_revocation

LEASE = 0.5


def counting(kind: type) -> type[Any]:
    """A subclass of *kind* that notes which of its methods are called, as one with metrics does."""

    class Counting(kind):  # type: ignore[misc]  # of any store
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.calls: list[str] = []

        async def load(self, account: str) -> Any:
            self.calls.append("load")
            return await super().load(account)

        async def save(self, account: str, token: Token) -> None:
            self.calls.append("save")
            await super().save(account, token)

        async def delete(self, account: str) -> None:
            self.calls.append("delete")
            await super().delete(account)

        def lock(self, account: str) -> Any:
            self.calls.append("lock")
            return super().lock(account)

    return Counting


def wrapping(kind: type) -> type[Any]:
    """A subclass of *kind* whose lock is a context manager of its own around the base's, and whose texts are in an envelope."""

    class Wrapping(kind):  # type: ignore[misc]  # of any store
        @contextlib.asynccontextmanager
        async def lock(self, account: str) -> AsyncIterator[None]:
            async with super().lock(account):
                yield

        async def load(self, account: str) -> Any:
            token = await super().load(account)
            return None if token is None else Token(token.value[1:], expires_in=token.expires_in)

        async def save(self, account: str, token: Token) -> Any:
            return await super().save(account, Token(f"x{token.value}", expires_in=token.expires_in))

    return Wrapping


Kind = tuple[type, tuple[Any, ...]]


def made(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    """Return a store's class, and its arguments."""
    if request.param == "memory":
        return MemoryStore, ()
    if request.param == "file":
        return FileStore, (tmp_path / "tokens",)
    return RedisStore, (request.getfixturevalue("redis_url"),)


@pytest.fixture(params=["memory", "file", "redis"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    """Each store in turn."""
    return made(request, tmp_path)


@pytest.fixture(params=["file", "redis"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    """Each that processes share."""
    return made(request, tmp_path)


async def close(*stores: Any) -> None:
    """Close those that have opened something."""
    for store in stores:
        if hasattr(store, "aclose"):
            await store.aclose()


async def test_owners_call_what_a_subclass_overrides(kind: Kind) -> None:
    """For a login, an adoption, a repeated save and a logout."""
    base, arguments = kind
    store = counting(base)(*arguments)
    async with fleet(store, store) as scene:
        await scene.storm()
        assert {"load", "lock", "save"} == set(store.calls)
        assert scene.login.count == 1
        await scene.owners[0].logout()
        assert "delete" in store.calls
    await close(store)


@pytest.mark.parametrize("subclass", [counting, wrapping])
async def test_owners_of_a_subclass_share_one_token(kind: Kind, subclass: Any) -> None:
    """One login at the start and one for each revocation, whatever the subclass makes of lock and texts."""
    base, arguments = kind
    one = subclass(base)(*arguments)
    two = one if base is MemoryStore else subclass(base)(*arguments)
    await one_login_per_revocation(one, two)
    await close(one, two)


@pytest.mark.parametrize("subclass", [counting, wrapping])
async def test_what_a_subclass_saves_is_fenced(shared: Kind, subclass: Any) -> None:
    """An owner that was paused beyond its lease replaces nothing, also where the subclass says nothing of it."""
    base, arguments = shared
    ours, theirs = subclass(base)(*arguments, lease=LEASE), subclass(base)(*arguments, lease=LEASE)
    make, taken = ours._account_lock, list[Any]()

    def noted(account: str) -> Any:
        taken.append(make(account))
        return taken[-1]

    ours._account_lock = noted

    async def login(_previous: Token | None) -> Token:
        await cease(taken[-1])
        async with asyncio.timeout(20), theirs.lock("fenced"):
            await theirs.load("fenced")
            await theirs.save("fenced", Token("newer"))
        return Token("late")

    kept = keeper(login, store=ours, account="fenced")
    await kept.obtain()
    assert content(await theirs.load("fenced")) == ("newer", None)
    assert not kept.lifecycle.busy
    await kept.lifecycle.logout()
    await kept.lifecycle.aclose()
    await close(ours, theirs)


async def test_a_failing_override_is_repeated(shared: Kind) -> None:
    """As any store's failing save."""
    base, arguments = shared

    class Failing(base):  # type: ignore[misc,valid-type]  # of any store
        fails = True

        async def save(self, account: str, token: Token) -> Any:
            if self.fails:
                raise OSError("down")
            return await super().save(account, token)

    store = Failing(*arguments)
    await store._write("repeated", Token("of-before"))
    await asyncio.sleep(0.05)

    async def login(_previous: Token | None) -> Token:
        return Token("newer")

    kept = keeper(login, store=store, account="repeated")
    adopted = await kept.obtain()
    assert adopted.token.value == "of-before"
    kept.invalidate(adopted.token)
    await kept.obtain()
    store.fails = False

    async def saved() -> bool:
        return content(await store.load("repeated")) == ("newer", None)

    await eventually(saved)
    await kept.lifecycle.logout()
    await kept.lifecycle.aclose()
    await close(store)
