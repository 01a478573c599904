"""The keys of the simulated Redis, and the commands that `RedisStore` and redis-py's lock use."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio.lock import Lock
from redis.exceptions import NoScriptError, ResponseError

from exterview_auth.stores._redis.entries import LOAD, NOW, RETAKE, WRITE

Arguments = Sequence[bytes]


class Keyspace:
    """
    Strings that expire, each command in one step.

    *clock* returns microseconds since the epoch; *publish* takes a channel and a message and returns how many listen. Scripts
    are known by their text, and each is written here in Python once more.
    """

    def __init__(self, clock: Callable[[], int], publish: Callable[[bytes, bytes], int]) -> None:
        self._clock = clock
        self._publish = publish
        # Invariant: value and, in milliseconds, when it expires; an expired key counts as removed.
        self._kept: dict[bytes, tuple[bytes, int | None]] = {}
        self._loaded: dict[bytes, bytes] = {}
        self._commands: dict[bytes, Callable[[Arguments], Any]] = {
            b"SET": self._set,
            b"GET": lambda arguments: self.get(arguments[0]),
            b"DEL": lambda arguments: sum(self.remove(key) for key in arguments),
            b"PUBLISH": lambda arguments: self._publish(arguments[0], arguments[1]),
            b"EVAL": lambda arguments: self._script(arguments[0], arguments[1:]),
            b"EVALSHA": self._evalsha,
            b"SCRIPT LOAD": self._load_script,
        }
        self._scripts: dict[bytes, Callable[[Arguments, Arguments], Any]] = {
            NOW.encode(): lambda _, __: self._now(),
            LOAD.encode(): self._run_load,
            WRITE.encode(): self._run_write,
            RETAKE.encode(): self._run_retake,
            Lock.LUA_RELEASE_SCRIPT.encode(): self._run_release,
            Lock.LUA_REACQUIRE_SCRIPT.encode(): self._run_reacquire,
        }

    def execute(self, name: bytes, arguments: Arguments) -> Any:
        """Return the answer to one command. Raises `redis.exceptions.ResponseError`."""
        command = self._commands.get(name)
        if command is None:
            raise ResponseError(f"unknown command {name.decode()!r}")
        return command(arguments)

    def get(self, key: bytes) -> bytes | None:
        """Return the value, unless it has expired."""
        value, end = self._kept.get(key, (None, None))
        if end is not None and self._milliseconds() > end:
            del self._kept[key]
            return None
        return value

    def put(self, key: bytes, value: bytes, milliseconds: int | None = None) -> None:
        """Keep *value*, without expiry or for some *milliseconds*."""
        if milliseconds is not None and milliseconds <= 0:
            raise ResponseError("invalid expire time in 'set' command")
        self._kept[key] = value, None if milliseconds is None else self._milliseconds() + milliseconds

    def remove(self, key: bytes) -> int:
        """Remove the key; return how many there were."""
        known = self.get(key) is not None
        self._kept.pop(key, None)
        return int(known)

    def _milliseconds(self) -> int:
        return self._clock() // 1000

    def _set(self, arguments: Arguments) -> bool | None:
        key, value, *options = arguments
        if b"NX" in options and self.get(key) is not None:
            return None
        self.put(key, value, int(options[options.index(b"PX") + 1]) if b"PX" in options else None)
        return True

    # -- scripts ----------------------------------------------------------------------------------------------------

    def _evalsha(self, arguments: Arguments) -> Any:
        text = self._loaded.get(arguments[0])
        if text is None:
            raise NoScriptError("No matching script.")
        return self._script(text, arguments[1:])

    def _load_script(self, arguments: Arguments) -> str:
        sha = _digest(arguments[0])
        self._loaded[sha] = arguments[0]
        return sha.decode()

    def _script(self, text: bytes, arguments: Arguments) -> Any:
        script = self._scripts.get(text)
        if script is None:
            raise ResponseError("the simulation does not know this script")
        count = int(arguments[0])
        return script(arguments[1 : 1 + count], arguments[1 + count :])

    def _now(self) -> bytes:
        seconds, microseconds = divmod(self._clock(), 1_000_000)
        return b"%d.%06d" % (seconds, microseconds)

    def _run_load(self, keys: Arguments, _: Arguments) -> list[Any]:
        return [self.get(keys[0]), self._now()]

    def _run_write(self, keys: Arguments, argv: Arguments) -> list[Any]:
        mark, seen, kept, entry = argv
        now, present = self._now(), self.get(keys[0])
        if present is not None and mark and _digest(present) != seen and self.get(keys[1]) != mark:
            return [0, present, now]
        if int(kept) == 0:
            self.remove(keys[0])
        else:
            self.put(keys[0], entry, int(kept))
        self._publish(keys[2], b"saved")
        return [1, b"", now]

    def _run_retake(self, keys: Arguments, argv: Arguments) -> int:
        mark, seen, lease = argv
        present = self.get(keys[0])
        if self.get(keys[1]) is not None or (present is not None and _digest(present) != seen):
            return 0
        self.put(keys[1], mark, int(lease))
        return 1

    def _run_release(self, keys: Arguments, argv: Arguments) -> int:
        if self.get(keys[0]) != argv[0]:
            return 0
        return self.remove(keys[0])

    def _run_reacquire(self, keys: Arguments, argv: Arguments) -> int:
        value = self.get(keys[0])
        if value is None or value != argv[0]:
            return 0
        self.put(keys[0], value, int(argv[1]))
        return 1


def _digest(text: bytes) -> bytes:
    return hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
