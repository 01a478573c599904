"""A directory of tokens that fails: on the real file system, without root's powers."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from exterview_auth import FileStore
from tests.kit.directories import entry, full, private_place, read_only
from tests.kit.stores import DAMAGES

from ._row import Outcome, Play, Row
from ._sharing import KEY, UNKNOWN_KEY, Sharing, another_saves, outage, sharing
from ._stage import Stage

PLACE = "store"


def harmed(harm: Callable[[Path], contextlib.AbstractContextManager[object]], *, warm: bool = True) -> Play:
    """A directory to which this happens."""

    async def arrange(stage: Stage) -> tuple[Sharing, contextlib.AbstractContextManager[object]]:
        stage.place = stage.open_now(private_place())
        directory = stage.place / "tokens"
        return await sharing(stage, FileStore(directory)), harm(directory)

    return swept(outage(arrange, warm=warm))


def swept(play: Play) -> Play:
    """The same, and no unfinished file is left."""

    async def look(stage: Stage) -> Outcome:
        outcome = await play(stage)
        unfinished = [path.name for path in stage.place.rglob("*.tmp")]
        return outcome._replace(left=(*outcome.left, *unfinished))

    return look


def once(harm: Callable[[Path], object]) -> Callable[[Path], contextlib.AbstractContextManager[object]]:
    """What happens and is not made good."""

    @contextlib.contextmanager
    def happens(directory: Path) -> Iterator[None]:
        harm(directory)
        yield

    return happens


def move_behind_a_link(directory: Path) -> None:
    """It lies elsewhere from now on."""
    elsewhere = directory.with_name("elsewhere")
    directory.rename(elsewhere)
    directory.symlink_to(elsewhere)


def spoiled(damage: str) -> Play:
    """The token's file is not what it should be."""
    change = DAMAGES[damage]
    return harmed(once(lambda directory: entry(directory).write_bytes(change(entry(directory).read_bytes()))))


async def encrypted_otherwise(stage: Stage) -> Outcome:
    """Another process has saved with a key that these owners do not have."""
    directory = stage.directory / "tokens"

    async def arrange(stage: Stage) -> tuple[Sharing, contextlib.AbstractAsyncContextManager[None]]:
        at = await sharing(stage, FileStore(directory, encryption_key=KEY))
        return at, another_saves(at, FileStore(directory, encryption_key=UNKNOWN_KEY))

    return await outage(arrange)(stage)


def _outage(fault: str, play: Play) -> Row:
    return Row(PLACE, f"{fault}, file", play, within=3.5, logins=2, saves=True, tells="store.unavailable")


def _miss(fault: str, play: Play) -> Row:
    return Row(PLACE, f"{fault}, file", play, within=3.5, saves=True, tells="store.unreadable")


ROWS = (
    Row(PLACE, "absent at the start, file", harmed(once(shutil.rmtree), warm=False), within=3.5, saves=True),
    _outage("disk full", harmed(full)),
    _outage("directory read-only", harmed(read_only)),
    Row(PLACE, "directory removed, file", harmed(once(shutil.rmtree)), within=3.5, saves=True),
    Row(PLACE, "directory a symlink, file", harmed(once(move_behind_a_link)), within=3.5, saves=True),
    _miss("value damaged", spoiled("damaged")),
    _miss("value truncated", spoiled("truncated")),
    _miss("value encrypted with an unknown key", encrypted_otherwise),
    _miss("value from a future version", spoiled("of the future")),
)
