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


def arguments_from(environ: object, given: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """
    Return the constructor's arguments: those *given*, and what *environ* says of the others. All must be *known*.

    Raises `ConfigurationError` that names what is missing or wrong.
    """
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ConfigurationError(f"ExterviewAuth has no argument {unknown[0]!r}; see help(ExterviewAuth)")
    if not isinstance(environ, Mapping):
        raise ConfigurationError(f"environ must be a mapping such as os.environ, not {type(environ).__name__}")
    found: dict[str, Any] = {} if "endpoint" in given else _endpoint(environ)
    if "api_key" not in given:
        found["api_key"] = _api_key(environ)
    if "login" not in given:
        found["login"] = _login(environ)
    return {**given, **found}


def _endpoint(environ: Mapping[str, Any]) -> dict[str, Any]:
    endpoint, environment = _secret(environ, ENDPOINT), _variable(environ, ENVIRONMENT)
    if endpoint is not None:
        return {"endpoint": Secret(_naming(ENDPOINT, lambda: endpoint_url(endpoint)))}
    if environment is None:
        return {}
    if environment.lower() not in {"production", "sandbox"}:
        raise ConfigurationError(f"{ENVIRONMENT} must be 'production' or 'sandbox'; for another URL set {ENDPOINT}")
    return {"endpoint": environment.lower()}


def _api_key(environ: Mapping[str, Any]) -> str | Callable[[], str]:
    key, path = _secret(environ, API_KEY), _variable(environ, f"{API_KEY}_FILE")
    if key is not None:
        return _naming(API_KEY, lambda: checked_api_key(key))
    if path is None:
        raise ConfigurationError(f"the API key is missing; set {API_KEY} or {API_KEY}_FILE")

    def read() -> str:
        return _naming(f"{API_KEY}_FILE", lambda: checked_api_key(read_secret_file(path, "the API key")))

    # Read now, so that a wrong path fails at the start; and at each login, because rotation replaces the file.
    read()
    return read


def _login(environ: Mapping[str, Any]) -> Login:
    # Unlike the others, a password is not stripped: spaces may be part of it.
    email, password = _variable(environ, EMAIL), Secret(_text(environ, PASSWORD)) or None
    if password is not None and not password.strip():
        raise ConfigurationError(f"{PASSWORD} is blank; set it to the password of {EMAIL}")
    # Credentials win over a bearer token, because they can get the next token.
    if email is not None and password is not None:
        return PasswordLogin(email, password)
    if email is not None or password is not None:
        missing, found = (PASSWORD, EMAIL) if password is None else (EMAIL, PASSWORD)
        raise ConfigurationError(f"{missing} is missing; set it together with {found}")
    token, path = _secret(environ, BEARER), _variable(environ, f"{BEARER}_FILE")
    if token is not None:
        return _naming(BEARER, lambda: StaticLogin(token))
    if path is not None:
        _naming(f"{BEARER}_FILE", lambda: read_secret_file(path, "the bearer token"))
        return StaticLogin(Path(path))
    raise ConfigurationError(
        f"the user's credentials are missing; set {EMAIL} and {PASSWORD}, or {BEARER}, or {BEARER}_FILE"
    )


def _secret(environ: Mapping[str, Any], name: str) -> Secret | None:
    return Secret(_text(environ, name).strip()) or None


def _variable(environ: Mapping[str, Any], name: str) -> str | None:
    return _text(environ, name).strip() or None


def _text(environ: Mapping[str, Any], name: str) -> str:
    # Files such as `.env` are read into mappings in which a variable may be None: it is not set.
    value = environ.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{name} must be text, not {type(value).__name__}")
    return value or ""


def _naming(variable: str, make: Callable[[], T]) -> T:
    """Return what *make* returns. The message of its `ConfigurationError` then begins with the variable's name."""
    try:
        return make()
    except ConfigurationError as error:
        named = type(error)(f"{variable}: {error}")
    # Raised outside the except block: the first error's __context__ may hold the value.
    raise named
