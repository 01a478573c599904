"""`ExterviewAuth.from_env`: environment variables as constructor arguments. Errors name the variable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ._endpoint import endpoint_url
from ._options import checked_api_key, read_secret_file
from ._secret import Secret
from .errors import ConfigurationError
from .logins import PasswordLogin, StaticLogin
from .logins._context import Login

API_KEY, EMAIL, PASSWORD, BEARER = (
    "EXTERVIEW_API_KEY",
    "EXTERVIEW_EMAIL",
    "EXTERVIEW_PASSWORD",
    "EXTERVIEW_BEARER_TOKEN",
)
T = TypeVar("T")

ENDPOINT, ENVIRONMENT = "EXTERVIEW_ENDPOINT", "EXTERVIEW_ENVIRONMENT"


class Environment:
    """Variables whose values are secrets: they are in no repr, neither one by one nor all together."""

    __slots__ = ("_variable",)

    def __init__(self, variables: Mapping[str, Any]) -> None:
        # A function, because error trackers also look into the objects among the local variables.
        self._variable: Callable[[str], Any] = lambda name: variables.get(name)  # noqa: PLW0108 - a bound method shows its mapping

    def get(self, name: str) -> Secret | None:
        """Return a variable as it is, or ``None`` if it is missing or empty."""
        return Secret(self._text(name)) or None

    def stripped(self, name: str) -> Secret | None:
        """Return a variable without spaces around it, or ``None`` if nothing is left."""
        return Secret(self._text(name).strip()) or None

    def shown(self, name: str) -> str | None:
        """Return a variable likewise that is not a secret."""
        return self._text(name).strip() or None

    def _text(self, name: str) -> str:
        # Files such as `.env` are read into mappings in which a variable may be None: it is not set.
        value = self._variable(name)
        if value is not None and not isinstance(value, str):
            raise ConfigurationError(f"{name} must be text, not {type(value).__name__}")
        return value or ""


class Arguments:
    """The constructor's arguments: those *given*, and what an environment says of the others."""

    __slots__ = ("_environ", "_given")

    def __init__(self, environ: object, given: Mapping[str, Any]) -> None:
        # Functions for the same reason.
        self._environ: Callable[[], object] = lambda: environ
        self._given: Callable[[], Mapping[str, Any]] = lambda: given

    def completed(self, known: Iterable[str]) -> dict[str, Any]:
        """Return the arguments, all of them *known*. Raises `ConfigurationError` that names what is missing or wrong."""
        unknown = sorted(set(self._given()) - set(known))
        if unknown:
            raise ConfigurationError(f"ExterviewAuth has no argument {unknown[0]!r}; see help(ExterviewAuth)")
        environ = self._environment()
        found: dict[str, Any] = {} if "endpoint" in self._given() else _endpoint(environ)
        if "api_key" not in self._given():
            found["api_key"] = _api_key(environ)
        if "login" not in self._given():
            found["login"] = _login(environ)
        return {**self._given(), **found}

    def _environment(self) -> Environment:
        environ = self._environ()
        if not isinstance(environ, Mapping):
            raise ConfigurationError(f"environ must be a mapping such as os.environ, not {type(environ).__name__}")
        return Environment(environ)


def _endpoint(environ: Environment) -> dict[str, Any]:
    endpoint, environment = environ.stripped(ENDPOINT), environ.shown(ENVIRONMENT)
    if endpoint is not None:
        return {"endpoint": Secret(_naming(ENDPOINT, lambda: endpoint_url(endpoint)))}
    if environment is None:
        return {}
    if environment.lower() not in {"production", "sandbox"}:
        raise ConfigurationError(f"{ENVIRONMENT} must be 'production' or 'sandbox'; for another URL set {ENDPOINT}")
    return {"endpoint": environment.lower()}


def _api_key(environ: Environment) -> str | Callable[[], str]:
    key, path = environ.stripped(API_KEY), environ.shown(f"{API_KEY}_FILE")
    if key is not None:
        return _naming(API_KEY, lambda: checked_api_key(key))
    if path is None:
        raise ConfigurationError(f"the API key is missing; set {API_KEY} or {API_KEY}_FILE")

    def read() -> str:
        return _naming(f"{API_KEY}_FILE", lambda: checked_api_key(read_secret_file(path, "the API key")))

    # Read now, so that a wrong path fails at the start; and at each login, because rotation replaces the file.
    read()
    return read


def _login(environ: Environment) -> Login:
    # Unlike the others, a password is not stripped: spaces may be part of it.
    email, password = environ.shown(EMAIL), environ.get(PASSWORD)
    if password is not None and not password.strip():
        raise ConfigurationError(f"{PASSWORD} is blank; set it to the password of {EMAIL}")
    # Credentials win over a bearer token, because they can get the next token.
    if email is not None and password is not None:
        return PasswordLogin(email, password)
    if email is not None or password is not None:
        missing, found = (PASSWORD, EMAIL) if password is None else (EMAIL, PASSWORD)
        raise ConfigurationError(f"{missing} is missing; set it together with {found}")
    token, path = environ.stripped(BEARER), environ.shown(f"{BEARER}_FILE")
    if token is not None:
        return _naming(BEARER, lambda: StaticLogin(token))
    if path is not None:
        _naming(f"{BEARER}_FILE", lambda: read_secret_file(path, "the bearer token"))
        return StaticLogin(Path(path))
    raise ConfigurationError(
        f"the user's credentials are missing; set {EMAIL} and {PASSWORD}, or {BEARER}, or {BEARER}_FILE"
    )


def _naming(variable: str, make: Callable[[], T]) -> T:
    """Return what *make* returns. The message of its `ConfigurationError` then begins with the variable's name."""
    try:
        return make()
    except ConfigurationError as error:
        named = type(error)(f"{variable}: {error}")
    # Raised outside the except block: the first error's __context__ may hold the value.
    raise named
