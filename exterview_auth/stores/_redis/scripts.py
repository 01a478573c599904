"""
What happens in Redis in one step. Its own clock stamps an entry and tells its age, so that no host's clock matters.

A key of another type, or of a size that was not written here, holds an entry that cannot be read. Each script has the three names of `Keys` as its keys: a channel has none in Redis, but is named like them.
"""

from __future__ import annotations

from typing import Any

_START = """
local function get(key)
    local found = redis.pcall('GET', key)
    if type(found) == 'string' and #found > 2097152 then return '' end
    if type(found) ~= 'table' or not found.err then return found end
    if string.find(found.err, 'WRONGTYPE') then return '' end
    return redis.call('GET', key)
end
local clock = redis.call('TIME')
local now = clock[1] .. '.' .. string.format('%06d', clock[2])
"""

LOAD = (
    _START
    + """
return {get(KEYS[1]), now}
"""
)

# ARGV: mark of the lock held (empty: no lock), digest of the entry seen under it, milliseconds to keep it, payload.
# Whoever has seen the entry as it is, or still holds the lock, may replace it; who was overtaken gets the newer one.
SAVE = (
    _START
    + """
local mark, seen, kept, payload = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local present = get(KEYS[1])
if present and mark ~= '' then
    local unchanged = redis.sha1hex(present) == seen
    if not unchanged and get(KEYS[2]) ~= mark then return {0, present, now} end
end
local entry = 'exterview_auth/1 ' .. now .. ' ' .. payload
if kept == 0 then redis.call('DEL', KEYS[1])
elseif kept < 0 then redis.call('SET', KEYS[1], entry)
else redis.call('SET', KEYS[1], entry, 'PX', ARGV[3]) end
redis.call('PUBLISH', KEYS[3], 'saved')
return {1, entry, now}
"""
)


def entry(answered: Any) -> tuple[bytes | None, float]:
    """What `LOAD` gives: the entry and Redis' time."""
    raw, now = answered
    return _bytes(raw), float(now)


def outcome(answered: Any) -> tuple[bool, bytes | None, float]:
    """What `SAVE` gives: whether it did, the entry that is there now, and Redis' time."""
    done, raw, now = answered
    return done == 1, _bytes(raw), float(now)


def _bytes(raw: Any) -> bytes | None:
    """A client that decodes answers gives text, perhaps with what is none escaped; text of no bytes is no entry."""
    try:
        return raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else raw
    except UnicodeEncodeError:
        return b""
