"""`ExterviewAuth.from_env`: environment variables as constructor arguments. Errors name the variable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from ._endpoint import endpoint_url
from ._options import checked_api_key, path_option
from ._secret import Secret
from ._secret_file import SecretFile, read_secret_file, unwrapped
from .errors import ConfigurationError
from .logins import PasswordLogin, StaticLogin
from .logins._context import Login
from .logins._static import token_file

API_KEY, EMAIL, PASSWORD, BEARER = (
    "EXTERVIEW_API_KEY",
    "EXTERVIEW_EMAIL",
    "EXTERVIEW_PASSWORD",
    "EXTERVIEW_BEARER_TOKEN",
)
LOGIN_DOCUMENT, TOKEN_FIELD = "EXTERVIEW_LOGIN_DOCUMENT", "EXTERVIEW_TOKEN_FIELD"
T = TypeVar("T")

ENDPOINT, ENVIRONMENT = "EXTERVIEW_ENDPOINT", "EXTERVIEW_ENVIRONMENT"


class CredentialSource(StrEnum):
    """The variables that the bearer token comes from. The first that is complete counts: credentials can get the next token."""

    PASSWORD = f"{EMAIL} and {PASSWORD}"
    PASSWORD_FILE = f"{EMAIL} and {PASSWORD}_FILE"
    FIXED_TOKEN = BEARER
    TOKEN_FILE = f"{BEARER}_FILE"

    @property
    def variables(self) -> list[str]:
        """All names."""
        return self.split(" and ")


def source_of(environ: Mapping[str, Any]) -> CredentialSource | None:
    """Return which variables the token comes from; ``None`` if no way is complete, or a user has no password."""
    given = {name for source in CredentialSource for name in source.variables if _variable(environ, name) is not None}
    if (EMAIL in given) != bool(given & {PASSWORD, f"{PASSWORD}_FILE"}):
        return None
    return next((source for source in CredentialSource if given.issuperset(source.variables)), None)


def in_quotes(environ: Mapping[str, str]) -> list[str]:
    """Return the variables of ours whose value stands in quotation marks, which ``docker run --env-file`` does not remove."""
    values = {name: unwrapped(value).strip() for name, value in environ.items() if name.startswith("EXTERVIEW_")}
    return [name for name, value in values.items() if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"]


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
    file = SecretFile(path, "the API key", lambda text: checked_api_key(text.strip()))
    return _naming_each(f"{API_KEY}_FILE", file.read)


def _login(environ: Mapping[str, Any]) -> Login:
    # Unlike the others, a password is not stripped: spaces may be part of it.
    password = unwrapped(_text(environ, PASSWORD))
    if password and not password.strip():
        raise ConfigurationError(f"{PASSWORD} is blank; set it to the password of {EMAIL}")
    email, path = _variable(environ, EMAIL) or "", _variable(environ, f"{PASSWORD}_FILE") or ""
    match source_of(environ):
        case CredentialSource.PASSWORD:
            return PasswordLogin(email, password, **_login_options(environ))
        case CredentialSource.PASSWORD_FILE:
            file = SecretFile(path, "the password", lambda text: text)
            read = _naming_each(f"{PASSWORD}_FILE", file.read)
            return PasswordLogin(email, read, **_login_options(environ))
        case CredentialSource.FIXED_TOKEN:
            return _naming(BEARER, lambda: StaticLogin(_secret(environ, BEARER)))
        case CredentialSource.TOKEN_FILE:
            tokens = token_file(_variable(environ, f"{BEARER}_FILE") or "")
            _naming(f"{BEARER}_FILE", tokens.read)
            return StaticLogin(file=tokens)
    if email:
        raise ConfigurationError(f"{PASSWORD} is missing; set it, or {PASSWORD}_FILE, together with {EMAIL}")
    if password or path:
        raise ConfigurationError(f"{EMAIL} is missing; set it together with {PASSWORD} or {PASSWORD}_FILE")
    raise ConfigurationError(
        f"the user's credentials are missing; set {EMAIL} and {PASSWORD} (or {PASSWORD}_FILE), or {BEARER}, or"
        f" {BEARER}_FILE"
    )


def _login_options(environ: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the variables say of the login mutation, which the API does not publish."""
    options: dict[str, Any] = {}
    document, path = _variable(environ, LOGIN_DOCUMENT), _variable(environ, f"{LOGIN_DOCUMENT}_FILE")
    if document is None and path is not None:
        document = str(_naming(f"{LOGIN_DOCUMENT}_FILE", lambda: read_secret_file(path, "the login document")))
    if document is not None:
        options["document"] = document
    token_field = _variable(environ, TOKEN_FIELD)
    if token_field is not None:
        _naming(TOKEN_FIELD, lambda: path_option(token_field, "it"))
        options["token_field"] = token_field
    return options


def _secret(environ: Mapping[str, Any], name: str) -> Secret | None:
    return Secret(unwrapped(_text(environ, name)).strip()) or None


def _variable(environ: Mapping[str, Any], name: str) -> str | None:
    return str(_secret(environ, name) or "") or None


def _text(environ: Mapping[str, Any], name: str) -> str:
    # Files such as `.env` are read into mappings in which a variable may be None: it is not set.
    value = environ.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{name} must be text, not {type(value).__name__}")
    return value or ""


def _naming_each(variable: str, read: Callable[[], T]) -> Callable[[], T]:
    """
    Return *read*, whose errors name the *variable*. It is called now, so that a wrong path fails at the start.

    Later it is called at each login, because rotation replaces the file.
    """
    _naming(variable, read)
    return lambda: _naming(variable, read)


def _naming(variable: str, make: Callable[[], T]) -> T:
    """Return what *make* returns. The message of its `ConfigurationError` then begins with the variable's name."""
    try:
        return make()
    except ConfigurationError as error:
        named = type(error)(f"{variable}: {error}")
    # Raised outside the except block: the first error's __context__ may hold the value.
    raise named
