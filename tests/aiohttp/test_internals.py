"""Private names of aiohttp are used in one folder, and each use of them works with the installed aiohttp."""

from __future__ import annotations

import ast
import gzip
import inspect
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import get_origin

import aiohttp
import brotli
import pytest
import pytest_asyncio
from aiohttp import client, client_reqrep, connector, streams
from yarl import URL

import exterview_auth
from exterview_auth._aiohttp.internals.answers import already_read, decoded, put_back, stream_of
from exterview_auth._aiohttp.internals.imported import RequestContextManager, WSRequestContextManager
from exterview_auth._aiohttp.internals.requests import call_of, known_arguments
from exterview_auth._aiohttp.internals.sessions import (
    build_url,
    has_base_url,
    own_middlewares,
    twin_of,
    writes_json_as_bytes,
)
from tests.kit.api import Api, answering, leads_to

PACKAGE = Path(exterview_auth.__file__).parent


def is_private(name: object) -> bool:
    """Return whether *name* begins with one underscore."""
    return isinstance(name, str) and name.startswith("_") and not name.startswith("__")


def private_names(tree: ast.AST) -> Iterator[str]:
    """Yield the private methods and attributes that *tree* defines."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if is_private(name):
                yield name
            case ast.Attribute(value=ast.Name(id="self"), attr=name) if is_private(name):
                yield name


PRIVATE_TO_AIOHTTP = frozenset(
    name
    for module in (client, client_reqrep, connector, streams)
    for name in private_names(ast.parse(inspect.getsource(module)))
)


def uses(tree: ast.AST) -> Iterator[str]:
    """Yield each use of a private name of aiohttp: imported, or of another object than ``self``."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] == "aiohttp":
                yield from (alias.name for alias in names if is_private(alias.name))
            case ast.Attribute(value=ast.Name(id="self")):
                pass
            case ast.Attribute(attr=name) if name in PRIVATE_TO_AIOHTTP:
                yield name
            case ast.Call(func=ast.Name(id="getattr" | "setattr" | "hasattr"), args=[_, ast.Constant(value=name), *_]):
                if name in PRIVATE_TO_AIOHTTP:
                    yield name


def uses_by_module() -> dict[str, set[str]]:
    """Return the private names of aiohttp that each module of the package uses, without modules that use none."""
    trees = {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
    return {module: names for module, tree in trees.items() if (names := set(uses(tree)))}


def test_one_folder_alone_uses_private_names_of_aiohttp() -> None:
    """When aiohttp changes, there is one folder to look at; it imports some, reads some, and asks for one by name."""
    found = uses_by_module()
    assert {str(Path(module).parent) for module in found} == {"_aiohttp/internals"}
    assert {"_RequestContextManager", "_middlewares", "_timer"} < set().union(*found.values())


# -- each function with the installed aiohttp ---------------------------------------------------------------------------


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A session with a middleware and a base URL."""
    async with aiohttp.ClientSession(base_url="http://127.0.0.1:1/v2/", middlewares=(pass_on,)) as session:
        yield session


async def pass_on(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A middleware."""
    return await handler(request)


async def test_what_a_session_is_made_of_is_read(http: aiohttp.ClientSession) -> None:
    """Its middlewares, its base URL, where it sends a relative one, and how it writes JSON."""
    assert own_middlewares(http) == (pass_on,)
    assert has_base_url(http)
    assert build_url(http, URL("graphql")) == URL("http://127.0.0.1:1/v2/graphql")
    assert not writes_json_as_bytes(http)
    async with aiohttp.ClientSession(json_serialize_bytes=lambda _: b"") as other:
        assert writes_json_as_bytes(other)
        assert not has_base_url(other)


async def test_a_twin_has_other_middlewares_on_the_same_connections(http: aiohttp.ClientSession) -> None:
    """Its end leaves the session as it was."""
    twin = twin_of(http, ())
    assert (own_middlewares(twin), twin.connector) == ((), http.connector)
    twin.detach()
    assert (own_middlewares(http), http.closed) == ((pass_on,), False)


def test_the_options_of_a_request_are_known() -> None:
    """Every option of the public verbs, and no made-up one."""
    assert {"data", "json", "headers", "timeout", "middlewares", "upload_tracker"} <= known_arguments()
    assert "timout" not in known_arguments()


async def test_the_verbs_return_aiohttps_own_context_managers(http: aiohttp.ClientSession) -> None:
    """Ours return the same."""
    request, socket = http.get("/"), http.ws_connect("/")
    assert type(request) is get_origin(RequestContextManager)
    assert type(socket) is get_origin(WSRequestContextManager)
    request.close()
    socket.close()


@pytest.mark.parametrize(
    ("encoding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress)]
)
def test_a_body_is_decoded_up_to_a_limit(encoding: str, encode: Callable[[bytes], bytes]) -> None:
    """A small one that becomes long is given up without a longer text in memory."""
    exact, bomb = encode(b"x" * 1000), encode(b"x" * 10_000_000)
    assert decoded(exact, encoding, 1000) == b"x" * 1000
    assert decoded(exact, encoding, 999) is None
    tracemalloc.start()
    assert decoded(bomb, encoding, 10_000) is None
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


async def test_the_hops_of_one_call_have_one_call() -> None:
    """Another call has another one."""
    calls: list[object] = []

    async def record(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        calls.append(call_of(request))
        return await handler(request)

    async with Api() as api, aiohttp.ClientSession(middlewares=(record,)) as http:
        api.refusals["/away"] = leads_to("/graphql")
        for _ in range(2):
            await http.get(f"{api.base}/away")
    first, hop, second, _ = calls
    assert first is hop is not second


async def test_a_body_may_be_read_early_and_put_back() -> None:
    """Its reader misses nothing."""
    async with Api() as api, aiohttp.ClientSession() as http:
        api.refusals["/graphql"] = answering(200, b"body")
        async with http.get(api.endpoint) as response:
            assert already_read(response) is None
            put_back(response.content, await response.content.readany())
            assert await response.read() == b"body"
            assert already_read(response) == b"body"
    stream = stream_of(b"whole", response.content)
    assert (await stream.read(), stream.at_eof()) == (b"whole", True)
