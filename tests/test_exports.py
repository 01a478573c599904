"""What `exterview_auth` exports, and what importing it costs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import exterview_auth
from exterview_auth import logins, stores

ROOT = Path(__file__).parents[1]
EXPORTS = [
    "PRODUCTION", "SANDBOX", "ApiError", "AuthPool", "AuthSession", "BadRequestError", "ClosedError",
    "ConfigurationError", "Credentials", "CredentialsRejectedError", "ExterviewAuth", "ExterviewAuthError", "FileStore",
    "ForbiddenError", "GraphQLError", "InsecureTransportError", "LoggedOutError", "LoginBudgetExceededError",
    "LoginContext", "LoginError", "LoginRecord", "LoginUnavailableError", "MemoryStore", "OAuth2Login", "PasswordLogin",
    "Reason", "RedisStore", "ReentrantLoginError", "StaticLogin", "Stats", "StoreError", "Token", "TokenStore",
    "UnauthorizedError", "graphql_unauthenticated",
]  # fmt: skip
LOGINS = ["OAuth2Login", "PasswordLogin", "StaticLogin"]
STORES = ["FileStore", "MemoryStore", "RedisStore", "TokenStore"]
LOADED_ON_FIRST_USE = [
    "authlib", "cachetools", "click", "cryptography", "exterview_auth._cli", "exterview_auth.emulator", "filelock",
    "graphql", "httpx", "opentelemetry", "redis", "requests", "rich", "structlog", "tenacity",
]  # fmt: skip


def fresh(program: str) -> list[str]:
    """Which of the modules a new interpreter holds after *program*, at one of any depth."""
    ask = f"import json, sys\nprint(json.dumps([name for name in {LOADED_ON_FIRST_USE!r} if name in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{ask}"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stderr == ""
    loaded: list[str] = json.loads(done.stdout)
    return loaded


def test_the_exports_are_the_contracts() -> None:
    """``__all__`` is exactly this: a name that comes or goes is a decision."""
    assert exterview_auth.__all__ == EXPORTS
    assert logins.__all__ == LOGINS
    assert stores.__all__ == STORES


@pytest.mark.parametrize("package", ["", ".emulator", ".httpx", ".logins", ".stores", ".telemetry", ".testing"])
def test_help_shows_each_name_of_a_package(package: str) -> None:
    """Also what is loaded on first use, in an interpreter that has used nothing yet; and not how that is done."""
    name = f"exterview_auth{package}"
    program = f"import pydoc, {name} as it; print(pydoc.plain(pydoc.render_doc(it)), *it.__all__, sep='\\nALL ')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    shown, *names = done.stdout.split("\nALL ")
    assert names
    assert [one for one in names if not re.search(rf"^    (class |async )?{one.strip()}\b", shown, re.MULTILINE)] == []
    assert not re.search(r"^    __(getattr|dir)__", shown, re.MULTILINE)


def test_help_needs_no_extra() -> None:
    """It shows what can be used without graphql-core."""
    program = "import sys; sys.modules['graphql'] = None; import exterview_auth.testing as it; help(it)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "class Clock" in done.stdout
    assert "class ThreadedEmulator" not in done.stdout


def test_each_export_can_be_had() -> None:
    """Every name is there, also what is loaded on first use, and the same each time and in each package."""
    for name in EXPORTS:
        value = getattr(exterview_auth, name)
        assert value is getattr(exterview_auth, name)
        assert getattr(value, "__name__", name) == name
    assert all(getattr(logins, name) is getattr(exterview_auth, name) for name in LOGINS)
    assert all(getattr(stores, name) is getattr(exterview_auth, name) for name in STORES)


def test_dir_shows_every_export() -> None:
    """Completion sees the names before they are loaded, once each and sorted."""
    shown = dir(exterview_auth)
    assert set(EXPORTS) <= set(shown)
    assert shown == sorted(set(shown))


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("ExterviewAuth", "account aclose credentials current endpoint from_env headers invalidate logout stats token"),
        (
            "AuthSession",
            "auth close closed connector cookie_jar delete get graphql head headers loop options patch post put request timeout ws_connect",
        ),
        ("AuthPool", "aclose"),
    ],
)
def test_help_shows_what_is_for_users(name: str, public: str) -> None:
    """``help()`` of a class shows the contract's names and no part of another, each with a docstring."""
    kind = getattr(exterview_auth, name)
    assert [shown for shown in dir(kind) if not shown.startswith("_")] == public.split()
    assert all(getattr(kind, shown).__doc__ for shown in public.split())


@pytest.mark.parametrize("module", [exterview_auth, logins, stores], ids=lambda module: module.__name__)
def test_an_unknown_name_is_an_attribute_error(module: object) -> None:
    """A misspelt name is what it is for any module, and names module and attribute."""
    name = getattr(module, "__name__", "")
    with pytest.raises(AttributeError, match=f"^module '{name}' has no attribute 'AuthPol'$"):
        module.AuthPol  # type: ignore[attr-defined]  # noqa: B018 - the access is the test


def test_importing_loads_nothing_that_is_needed_later() -> None:
    """Neither the import nor `dir` loads authlib, the stores' libraries, the emulator, the command or telemetry."""
    assert fresh("import exterview_auth; dir(exterview_auth)") == []


def test_importing_the_package_does_not_load_aiohttp() -> None:
    """The command's ``--version`` and a pytest plugin import it, and need no HTTP."""
    program = (
        "import exterview_auth, sys; dir(exterview_auth); assert 'aiohttp' not in sys.modules, sorted(sys.modules)"
    )
    assert fresh(program) == []


@pytest.mark.parametrize("name", ["errors", "logins", "stores"])
def test_importing_the_package_gives_its_modules(name: str) -> None:
    """``exterview_auth.errors.ApiError`` needs no import of its own."""
    assert fresh(f"import exterview_auth; exterview_auth.{name}.__doc__.strip()") == []


def test_an_owner_loads_nothing_that_is_needed_later() -> None:
    """An owner with any of the logins is made without them as well."""
    program = """
from exterview_auth import ExterviewAuth, OAuth2Login, PasswordLogin, StaticLogin
ExterviewAuth(PasswordLogin("user@example.com", "secret"), api_key="key")
ExterviewAuth(OAuth2Login("https://login.example/token", "client", "secret"), api_key="key")
ExterviewAuth(StaticLogin("token"), api_key="key").stats()
"""
    assert fresh(program) == []


def test_a_session_loads_no_record_that_it_only_returns() -> None:
    """To create the dataclasses of `Stats`, `LoginRecord` and `Credentials` would take a quarter of the import."""
    records = ["exterview_auth._stats", "exterview_auth._login_record", "exterview_auth._credentials"]
    program = f"""
import sys
from exterview_auth import AuthSession, ExterviewAuth, StaticLogin
ExterviewAuth(StaticLogin("token"), api_key="key")
assert not sys.modules.keys() & {records}, sys.modules.keys() & {records}
"""
    assert fresh(program) == []


@pytest.mark.parametrize(("name", "library"), [("MemoryStore", ["cachetools"]), ("AuthPool", [])])
def test_a_cache_loads_its_library_alone(name: str, library: list[str]) -> None:
    """The store stands on cachetools and loads nothing else; a pool needs no library."""
    assert fresh(f"from exterview_auth import {name}") == library


def test_the_version_is_the_distributions() -> None:
    """One place says it."""
    assert exterview_auth.__version__ == version("exterview-auth")
