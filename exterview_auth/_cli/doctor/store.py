"""The store: whether it works, who may read it, what it holds for the account, and who holds the account's lock."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from yarl import URL

from exterview_auth import Token
from exterview_auth._calls import bounded
from exterview_auth._endpoint import is_loopback
from exterview_auth._environment import ACCOUNT, STORE, STORE_KEY, store_from
from exterview_auth._secret_file import unwrapped
from exterview_auth._token import is_foreign
from exterview_auth.errors import ConfigurationError, StoreError
from exterview_auth.stores._entry import key_of

from ..account import stored_as
from ..check import life
from ..configuration import Configuration
from ..scrubber import Scrubber
from .file_lock import file_lock
from .report import Check, failed, failed_with, ok, warned

_TRIAL = "exterview-auth doctor"
"""An account of the doctor's own, with which it tries what a login does in Redis."""
_OTHERS = 0o077


async def store_checks(configuration: Configuration, seconds: float, scrubber: Scrubber) -> AsyncIterator[Check]:
    """Yield what is known of the configuration's store; each question takes at most *seconds*."""
    place = unwrapped(configuration.environ[STORE]).strip()
    is_redis = "://" in place
    # Before the store is made: it takes other users' rights away.
    permissions = None if is_redis else _directory(place)
    try:
        store: Any = store_from(configuration.environ)
    except ConfigurationError as error:
        yield failed_with("store", error)
        return
    try:
        reached = await _reached(store, place, seconds, is_redis=is_redis)
        yield reached
        if permissions is not None:
            yield permissions
        named = _account(configuration)
        if reached.status != "fail" and named is not None:
            account, issuer = named
            yield await _held(store, place, account, issuer)
            yield await _redis_lock(place, account, scrubber) if is_redis else file_lock(_file(place, account, "lock"))
    finally:
        await store.aclose()


def _account(configuration: Configuration) -> tuple[str, str | None] | None:
    """Return the account's name in the store, and its issuer; ``None`` if the configuration names none, or is wrong."""
    try:
        return stored_as(configuration.environ)
    except ConfigurationError:
        return None


def _file(place: str, account: str, kind: str) -> Path:
    return Path(place).expanduser() / f"{key_of(account)}.{kind}"


# -- whether it works ------------------------------------------------------------------------------------------------


async def _reached(store: Any, place: str, seconds: float, *, is_redis: bool) -> Check:
    try:
        await bounded(_tried(store) if is_redis else store.load(_TRIAL), seconds)
    except StoreError as error:
        return failed_with("store", error)
    except TimeoutError:
        return failed("store", f"no answer within {seconds:g} s", "check its load and the network")
    if not is_redis:
        return ok("store", "the directory can be read and written")
    host = URL(place).host or ""
    if place.startswith("redis:") and host and not is_loopback(host):
        return warned("store", "Redis works, and tokens cross the network unencrypted", "use rediss:// (TLS)")
    return ok("store", "Redis works: a token can be locked, saved, read and deleted")


async def _tried(store: Any) -> None:
    """Do with the doctor's own account all that a login does: a user's rights may allow a part of it."""
    async with store.lock(_TRIAL):
        await store.save(_TRIAL, Token("doctor", expires_in=60.0))
        await store.load(_TRIAL)
        await store.delete(_TRIAL)


def _directory(place: str) -> Check:
    """Return who may read the directory, as it is before this command uses it."""
    try:
        found = Path(place).expanduser().stat()
    except (OSError, RuntimeError):
        return ok("store-permissions", "a new directory, for this user alone")
    mode = stat.S_IMODE(found.st_mode)
    # Another user's directory is refused by the store itself.
    if mode & _OTHERS:
        remedy = "nothing, if it is yours: FileStore has taken their rights away; look at who could read it until now"
        return warned("store-permissions", f"other users had rights to the directory ({mode:04o})", remedy)
    return ok("store-permissions", f"for this user alone ({mode:04o})")


# -- what it holds ---------------------------------------------------------------------------------------------------


async def _held(store: Any, place: str, account: str, issuer: str | None) -> Check:
    try:
        token: Token | None = await store.load(account)
        present = token is not None or await _is_present(place, account)
    except StoreError as error:
        return failed_with("store-token", error)
    if token is None and present:
        return warned(
            "store-token",
            "there is an entry that cannot be read, or that is over",
            f"check {STORE_KEY}; the next login replaces the entry",
        )
    if token is None:
        return ok("store-token", f"none is held for this account; for another one, set {ACCOUNT}")
    if is_foreign(token, issuer):
        return warned(
            "store-token", "another issuer's token is held", "use one token endpoint and client for one store"
        )
    return ok("store-token", f"one is held, and {life(token.expires_in)}; it was not tried")


async def _is_present(place: str, account: str) -> bool:
    if "://" not in place:
        return _file(place, account, "token").exists()
    # With GET: a user whose rights are as the README says may not ask whether a key exists.
    return await _asked(place, account, lambda client, keys: client.get(keys.entry)) is not None


# -- whose lock ------------------------------------------------------------------------------------------------------


async def _redis_lock(place: str, account: str, scrubber: Scrubber) -> Check:
    try:
        owner = await _asked(place, account, lambda client, keys: client.get(keys.lock))
    except StoreError as error:
        message, _, remedy = str(error).partition("; ")
        return warned("store-lock", message, remedy)
    if owner is None:
        return ok("store-lock", "free")
    left = None
    with suppress(StoreError):  # a user without this right may still have all that the store needs
        left = await _asked(place, account, lambda client, keys: client.pttl(keys.lock))
    name = scrubber.quote(bytes(owner).decode(errors="replace"))[:8]  # whatever a server calls it
    who = f"held by the owner {name}, which logs in"
    return ok("store-lock", who if left is None or left < 0 else f"{who}; its lease ends in {left / 1000:.1f} s")


async def _asked(place: str, account: str, question: Any) -> Any:
    """Return what Redis answers to *question*, a call of a client with the account's keys."""
    from exterview_auth.stores._redis.client import RedisClients  # noqa: PLC0415 - needs the extra
    from exterview_auth.stores._redis.entries import RedisKeys  # noqa: PLC0415 - as above
    from exterview_auth.stores._redis.errors import execute  # noqa: PLC0415 - as above

    clients = RedisClients(place)
    try:
        return await execute(clients.call(lambda client: question(client, RedisKeys.of("exterview_auth", account))))
    finally:
        await clients.aclose()
