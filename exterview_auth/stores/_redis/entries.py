"""
Entries as values of Redis, each read and replaced in one script.

Redis' own clock stamps an entry and tells its age, so that the clocks of hosts do not matter. The stamp is part of what is
encrypted, so it is asked for before each save, and put back to the moment from which the lifetime counts: whatever passes until
the entry arrives, also a pause of this process, makes it older. A key of another type, or of a size that this package does not write, holds
an unreadable entry: it is replaced by the next save.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Any, NamedTuple, Self

from ..._secret import concealed
from ..._token import Token
from ...errors import StoreError
from .._entry import LATEST, Codec, StoredToken, fingerprint, key_of
from .._keeping import seconds_kept
from .client import RedisClients
from .errors import NO_REDIS, UndecodableError, execute, execute_with_retry

_START = """
local function get(key)
    local found = redis.pcall('GET', key)
    if type(found) == 'string' and #found > 2097152 then return '' end
    if type(found) ~= 'table' or not found.err then return found end
    if string.find(found.err, 'WRONGTYPE') then return '' end
    return redis.call('GET', key)
end
"""
_CLOCK = """
local clock = redis.call('TIME')
local now = clock[1] .. '.' .. string.format('%06d', clock[2])
"""

NOW = (
    _CLOCK
    + """
return now
"""
)

# ARGV: milliseconds of a lease, or nothing outside a lock. A lock's key without an expiry (restored without it, say) would never
# end: it ends after a lease unless its holder renews it. Redis before 7 cannot do that in one step, and leaves it.
LOAD = (
    _START
    + _CLOCK
    + """
if ARGV[1] then redis.pcall('PEXPIRE', KEYS[2], ARGV[1], 'NX') end
return {get(KEYS[1]), now}
"""
)

# ARGV: owner id of the lock held (empty: no lock), fingerprint of the entry read under it, milliseconds to keep it, entry.
# Replaces the entry, or deletes it to keep it for no time, if it is unchanged since the caller read it, or if the caller still
# holds the lock; otherwise returns the newer entry.
WRITE = (
    _START
    + _CLOCK
    + """
local owner, seen, kept, entry = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local present = get(KEYS[1])
if present and owner ~= '' then
    local unchanged = redis.sha1hex(present) == seen
    if not unchanged and get(KEYS[2]) ~= owner then return {0, present, now} end
end
if kept == 0 then redis.call('DEL', KEYS[1])
else redis.call('SET', KEYS[1], entry, 'PX', ARGV[3]) end
redis.call('PUBLISH', KEYS[3], 'saved')
return {1, '', now}
"""
)

# ARGV: owner id, fingerprint of the entry read last, milliseconds of a lease. Takes a lock whose key has vanished, unless another
# owner has saved since: then this one was overtaken, and the lock would let it replace the newer entry.
RETAKE = (
    _START
    + """
local present = get(KEYS[1])
if present and redis.sha1hex(present) ~= ARGV[2] then return 0 end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[3]) then return 1 end
return 0
"""
)


class RedisKeys(NamedTuple):
    """The names of one account's keys and channel. A channel is not a key, but scripts get its name like one."""

    entry: str
    lock: str
    channel: str

    @classmethod
    def of(cls, namespace: str, account: str) -> Self:
        """Return the names for *account*, which do not show it and lie in one slot of a cluster."""
        return cls(*(f"{namespace}:{{{key_of(account)}}}:{kind}" for kind in ("token", "lock", "news")))


class RedisEntries:
    """The entries of a Redis. Coroutines raise `StoreError`."""

    def __init__(self, clients: RedisClients, namespace: str, codec: Codec) -> None:
        self.clients = clients
        self.codec = codec
        self._namespace = namespace

    def keys(self, account: str) -> RedisKeys:
        """Return the names for *account*."""
        return RedisKeys.of(self._namespace, account)

    async def read(self, account: str, *, lease: float | None = None) -> StoredToken:
        """Read the entry. With *lease*, let a lock that has no expiry end after so many seconds."""
        arguments = () if lease is None else (milliseconds(lease),)
        try:
            answer = await execute_with_retry(lambda: self._eval(LOAD, account, *arguments))
        except UndecodableError:
            answer = [b"", 0.0]
        raw, now = _parts(answer, 2)
        return self.codec.decode(key_of(account), as_bytes(raw), _moment(now))

    async def replace(
        self, account: str, token: Token | None, *, owner_id: str = "", seen: bytes = b""
    ) -> tuple[bool, StoredToken]:
        """
        Save *token*, or delete the entry without one; return whether that was done, and what the entry is now.

        With *owner_id*, it is not done if that owner has lost the lock and the entry is not the one with fingerprint *seen*.
        """
        entry, kept = (b"", 0) if token is None else await self._encode(account, token)
        written, newer, now = _parts(await execute(self._eval(WRITE, account, owner_id, seen, kept, entry)), 3)
        if written == 1:
            return True, StoredToken(token, b"" if token is None else fingerprint(entry))
        return False, self.codec.decode(key_of(account), as_bytes(newer), _moment(now))

    async def retake_lock(self, account: str, owner_id: str, seen: bytes, lease: float) -> bool:
        """Take the lock if nobody has it, and the entry is missing or still the one with fingerprint *seen*."""
        taken: object = await execute(self._eval(RETAKE, account, owner_id, seen, milliseconds(lease)))
        return taken == 1

    async def _encode(self, account: str, token: Token) -> tuple[bytes, int]:
        """Return the entry, as of the moment at which this is called, and the milliseconds for which it is kept."""
        clock = asyncio.get_running_loop().time
        began = clock()
        now = _moment(await execute_with_retry(lambda: self._eval(NOW, account)))
        entry = self.codec.encode(key_of(account), token, now - (clock() - began))
        return entry, milliseconds(seconds_kept(token, self.codec.keep))

    async def _eval(self, script: str, account: str, *arguments: object) -> Any:
        keys = self.keys(account)
        # Concealed, because an answer that is not understood ends in an error, and error trackers print local variables.
        return concealed(await self.clients.call(lambda client: client.eval(script, len(keys), *keys, *arguments)))


def _parts(answer: Any, number: int) -> list[Any]:
    """Return a script's *answer* if it has so many parts."""
    if not isinstance(answer, list) or len(answer) != number:
        raise StoreError(f"Redis cannot be used: {NO_REDIS}")
    return answer


def _moment(now: Any) -> float:
    """Return what Redis' clock says, in seconds since the epoch."""
    with contextlib.suppress(TypeError, ValueError):
        if 0 <= float(now) <= LATEST:
            return float(now)
    raise StoreError(f"Redis cannot be used: {NO_REDIS}")


def milliseconds(seconds: float) -> int:
    """Return *seconds* as Redis counts them, never fewer; 0 for an entry that is over."""
    return math.ceil(seconds * 1000)


def as_bytes(raw: Any) -> bytes | None:
    """
    Return an entry as bytes, whatever client it came through.

    With ``decode_responses=True`` the value arrives as text. Undecodable bytes may have been escaped; text that cannot be
    encoded again is not an entry, and nor is anything else.
    """
    try:
        raw = raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else raw
    except UnicodeEncodeError:
        return b""
    return raw if raw is None or isinstance(raw, bytes) else b""
