"""The GraphQL multipart request specification: ``operations``, ``map``, then the files."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from ._responses import Refusal
from ._uploads import UploadedFile, parts, read_field, read_file, readable_form


async def read_operations(request: web.Request) -> Any:
    """The request's ``operations`` with each file in the place that ``map`` gives it."""
    fields: dict[str, Any] = {}
    files: dict[str, UploadedFile] = {}
    with readable_form():
        async for name, part in parts(request):
            if name in {"operations", "map"}:
                fields[name] = _decoded(await read_field(part), name)
            elif "map" in fields:
                files[name] = await read_file(part, request)
            else:
                raise Refusal(400, "The parts come in the order operations, map, files")
    for name in ("operations", "map"):
        if name not in fields:
            raise Refusal(400, f"The part {name!r} is missing")
    _place(fields["operations"], _checked_map(fields["map"]), files)
    return fields["operations"]


def _decoded(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Refusal(400, f"The part {name!r} is not valid JSON") from None


def _checked_map(content: Any) -> dict[str, list[str]]:
    if not isinstance(content, dict) or not all(_is_list_of_text(paths) for paths in content.values()):
        raise Refusal(400, "The part 'map' is an object of lists of paths")
    return content


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _place(operations: Any, paths_of: dict[str, list[str]], files: dict[str, UploadedFile]) -> None:
    for name, paths in paths_of.items():
        if name not in files:
            raise Refusal(400, f"The file {name!r} of the map is missing")
        for path in paths:
            _put(operations, path, files[name])


def _put(operations: Any, path: str, file: UploadedFile) -> None:
    """Replace the ``null`` at *path*."""
    *ancestors, last = path.split(".")
    target = operations
    try:
        for key in ancestors:
            target = target[_index(target, key)]
        place = _index(target, last)
        if target[place] is not None:
            raise Refusal(400, f"The operations hold no null at {path!r}")
        target[place] = file
    except (KeyError, IndexError, TypeError, ValueError):
        raise Refusal(400, f"The operations have no place {path!r}") from None


def _index(container: Any, key: str) -> Any:
    return int(key) if isinstance(container, list) else key
