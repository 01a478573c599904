"""What ``help()`` shows of each public class, function and module: a page for users."""

from __future__ import annotations

import builtins
import collections.abc
import contextlib
import importlib
import inspect
import re
import typing
from dataclasses import is_dataclass
from types import FunctionType
from typing import Any

import pytest

MODULES = [
    "exterview_auth", "exterview_auth.emulator", "exterview_auth.errors", "exterview_auth.httpx", "exterview_auth.logins",
    "exterview_auth.stores", "exterview_auth.telemetry", "exterview_auth.testing",
]  # fmt: skip
FROM_ELSEWHERE = {
    "AbstractEventLoop", "AbstractCookieJar", "AsyncGenerator", "BaseConnector", "CIMultiDict", "ClientHandlerType",
    "ClientRequest", "ClientResponse", "ClientSession", "ClientTimeout", "ClientWebSocketResponse", "EllipsisType",
    "MeterProvider", "Request", "Response", "TracebackType", "TracerProvider", "URL", "asyncio", "datetime", "os", "PathLike",
}  # fmt: skip
"""What users know from asyncio, aiohttp, httpx and OpenTelemetry."""
DESCRIBED = {
    "BaseRequestContextManager", "RequestArguments", "RequestContextManager", "WSConnectArguments",  # aiohttp's, as the verbs say
    "Overrides",  # the constructor's arguments, as `from_env` says
    "Observer",  # what `observe` returns, as it says
    "Expectation",  # what `expect` returns, for ``with`` and ``async with``
    "Timer",  # of `Clock.notify`
}  # fmt: skip
"""What the docstring describes that stands beside it."""


def public() -> dict[str, Any]:
    """Return each public class and function by the module and name that users import."""
    found: dict[str, Any] = {}
    for path in MODULES:
        module = importlib.import_module(path)
        for name in module.__all__:
            thing = getattr(module, name)
            if callable(thing) and thing not in found.values():
                found[f"{path}.{name}"] = thing
    return found


PUBLIC = public()
CLASSES = {path: thing for path, thing in PUBLIC.items() if inspect.isclass(thing)}


def signatures(path: str) -> dict[str, inspect.Signature]:
    """Return the signatures that ``help`` shows of a function, or of a class and its public methods."""
    thing = PUBLIC[path]
    shown = {path: thing}
    if inspect.isclass(thing):
        own = inspect.getmembers(thing, lambda value: inspect.isfunction(value) or inspect.ismethod(value))
        shown = {
            f"{path}.{name}": method
            for name, method in own
            if (not name.startswith("_") or name == "__init__") and method.__module__.startswith("exterview_auth")
        }
    return {name: inspect.signature(call) for name, call in shown.items()}


@pytest.mark.parametrize("path", PUBLIC)
def test_a_public_name_says_where_it_is_imported_from(path: str) -> None:
    """``__module__``, which tracebacks, ``repr`` and ``help`` show, is a promised import path."""
    thing = PUBLIC[path]
    known = [name for name, other in vars(importlib.import_module(thing.__module__)).items() if other is thing]
    assert thing.__module__ in MODULES
    assert known or getattr(importlib.import_module(thing.__module__), thing.__name__) is thing


@pytest.mark.parametrize("path", PUBLIC)
def test_a_signature_shows_what_a_user_can_write(path: str) -> None:
    """No default is an object's ``repr``, and no annotation needs a look into the package's private modules."""
    words = {name.rpartition(".")[2] for name in PUBLIC} | FROM_ELSEWHERE | DESCRIBED | set(dir(builtins))
    words |= set(typing.__all__) | set(collections.abc.__all__) | set(contextlib.__all__)
    for name, signature in signatures(path).items():
        assert not re.search(r"<|functools|0x", str(signature)), f"{name}{signature}"
        annotations = [parameter.annotation for parameter in signature.parameters.values()]
        texts = [text for text in [*annotations, signature.return_annotation] if isinstance(text, str)]
        unknown = {
            word for text in texts for word in re.findall(r"[A-Za-z_]\w*", re.sub(r"'.*?'|\".*?\"", "", text))
        } - words
        assert not unknown, f"{name}{signature}"


@pytest.mark.parametrize("path", CLASSES)
def test_a_constructor_has_a_sentence(path: str) -> None:
    """In place of "Initialize self", which says nothing."""
    constructor = vars(CLASSES[path]).get("__init__")
    if (
        isinstance(constructor, FunctionType)
        and not is_dataclass(CLASSES[path])
        and path != "exterview_auth.TokenStore"
    ):
        assert constructor.__doc__


@pytest.mark.parametrize("path", [*PUBLIC, *MODULES])
def test_a_docstring_names_nothing_private(path: str) -> None:
    """A docstring is for users; how a package works is in comments and in private modules."""
    page = PUBLIC[path] if path in PUBLIC else importlib.import_module(path)
    documented = [
        page,
        *(value for name, value in vars(page).items() if inspect.isclass(page) and not name.startswith("_")),
    ]
    for text in filter(None, (inspect.getdoc(thing) for thing in documented)):
        assert not re.search(r"`_[a-z]|\b_[a-z]\w*\.py", text), text


@pytest.mark.parametrize("path", [path for path, thing in CLASSES.items() if is_dataclass(thing)])
def test_a_records_fields_are_described_and_their_types_can_be_had(path: str) -> None:
    """``help`` shows no text beside a field, so the class describes each; serializers ask for the types."""
    kind = CLASSES[path]
    for name in typing.get_type_hints(kind):
        assert re.search(rf"\*{name}\*|``{name}``", kind.__doc__ or ""), name
