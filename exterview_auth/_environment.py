"""`ExterviewAuth.from_env`: environment variables as constructor arguments. Errors name the variable."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from yarl import URL

from ._endpoint import PRODUCTION, checked_url, endpoint_url
from ._options import checked_api_key, path_option
from ._secret import Secret
from ._secret_file import SecretFile, read_secret_file, unwrapped
from .errors import ConfigurationError
from .logins import PasswordLogin, StaticLogin
from .logins._context import Login
from .logins._static import token_file
from .stores import TokenStore

if TYPE_CHECKING:
    from .stores._shared import SharedStore

API_KEY, EMAIL, PASSWORD, BEARER = (
    "EXTERVIEW_API_KEY",
    "EXTERVIEW_EMAIL",
    "EXTERVIEW_PASSWORD",
    "EXTERVIEW_BEARER_TOKEN",
)
LOGIN_DOCUMENT, TOKEN_FIELD = "EXTERVIEW_LOGIN_DOCUMENT", "EXTERVIEW_TOKEN_FIELD"
TOKEN_URL, CLIENT_ID, CLIENT_SECRET, SCOPE = (
    "EXTERVIEW_TOKEN_URL",
    "EXTERVIEW_CLIENT_ID",
    "EXTERVIEW_CLIENT_SECRET",
    "EXTERVIEW_SCOPE",
)
STORE, STORE_KEY, ACCOUNT = "EXTERVIEW_STORE", "EXTERVIEW_STORE_KEY", "EXTERVIEW_ACCOUNT"
ENDPOINT, ENVIRONMENT = "EXTERVIEW_ENDPOINT", "EXTERVIEW_ENVIRONMENT"

IN_FILES = {
    API_KEY: "the API key",
    PASSWORD: "the password",
    BEARER: "the bearer token",
    LOGIN_DOCUMENT: "the login document",
    CLIENT_SECRET: "the client's secret",
    STORE_KEY: "the encryption key",
}
"""
What a file may hold, by the variable that the value may stand in instead. A variable of the same name with ``_FILE`` at its end
names the file.
"""
VARIABLES = (
    API_KEY, EMAIL, PASSWORD, LOGIN_DOCUMENT, TOKEN_FIELD, TOKEN_URL, CLIENT_ID, CLIENT_SECRET, SCOPE, BEARER, ENVIRONMENT, ENDPOINT,
    STORE, STORE_KEY, ACCOUNT, *(f"{name}_FILE" for name in IN_FILES),
)  # fmt: skip
"""All that `from_env` reads."""

T = TypeVar("T")

_LIKE_A_URL = re.compile(r"[a-z][a-z0-9+.-]+:/|(rediss?|unix)(:|//)", re.IGNORECASE)
_REDIS = ("redis://", "rediss://", "unix://")
_USER, _USERS_FILE = f"{EMAIL} and {PASSWORD}", f"{EMAIL} and {PASSWORD}_FILE"


class CredentialSource(StrEnum):
    """The variables that the bearer token comes from. The first that is complete counts: credentials can get the next token."""

    CLIENT = f"{TOKEN_URL}, {CLIENT_ID} and {CLIENT_SECRET}"
    CLIENT_FILE = f"{TOKEN_URL}, {CLIENT_ID} and {CLIENT_SECRET}_FILE"
    # Not put together here, where the name of a member stands for the member, and not for the variable's name.
    PASSWORD = _USER
    PASSWORD_FILE = _USERS_FILE
    FIXED_TOKEN = BEARER
    TOKEN_FILE = f"{BEARER}_FILE"

    @property
    def variables(self) -> list[str]:
        """All names."""
        return self.replace(", ", " and ").split(" and ")

    @property
    def logs_in(self) -> bool:
        """Whether these are credentials, which get a token, and not a token."""
        return self not in {CredentialSource.FIXED_TOKEN, CredentialSource.TOKEN_FILE}


def source_of(environ: Mapping[str, Any]) -> CredentialSource | None:
    """Return which variables the token comes from; ``None`` if no way is complete, or a client or user is only begun."""
    given = {name for source in CredentialSource for name in source.variables if _variable(environ, name) is not None}
    source = next((source for source in CredentialSource if given.issuperset(source.variables)), None)
    client_begun = bool(given & {TOKEN_URL, CLIENT_ID, CLIENT_SECRET, f"{CLIENT_SECRET}_FILE"})
    if client_begun:
        return source if source in {CredentialSource.CLIENT, CredentialSource.CLIENT_FILE} else None
    if (EMAIL in given) != bool(given & {PASSWORD, f"{PASSWORD}_FILE"}):
        return None
    return source


def in_quotes(environ: Mapping[str, str]) -> list[str]:
    """Return the variables of ours whose value stands in quotation marks, which ``docker run --env-file`` does not remove."""
    return [name for name, value in environ.items() if name.startswith("EXTERVIEW_") and is_quoted(unwrapped(value))]


def is_quoted(text: str) -> bool:
    """Whether *text* stands in quotation marks."""
    text = Secret(text.strip())
    return len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"


def arguments_from(environ: object, given: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the constructor's arguments: those *given*, and what *environ* says of the others.

    A store that *environ* describes needs `set_up` before its first use. Raises `ConfigurationError` that names what is missing
    or wrong.
    """
    if not isinstance(environ, Mapping):
        raise ConfigurationError(f"environ must be a mapping such as os.environ, not {type(environ).__name__}")
    found: dict[str, Any] = {} if "endpoint" in given else _endpoint(environ)
    if "api_key" not in given:
        found["api_key"] = _api_key(environ)
    if "login" not in given:
        found["login"] = _login(environ)
    account = _variable(environ, ACCOUNT)
    if "account" not in given and account is not None:
        found["account"] = account
    if "store" not in given and _variable(environ, STORE) is not None:
        is_named = account is not None or given.keys() & {"login", "account"}
        source = None if is_named else source_of(environ)
        if source is not None and not source.logs_in:
            raise ConfigurationError(
                f"{STORE} does not know whose token it is that {source} holds; remove one of them, or set {ACCOUNT}"
            )
        found["store"] = _store(environ)
    return {**given, **found}


def endpoint_from(environ: Mapping[str, Any]) -> URL:
    """Return the API's URL. Raises `ConfigurationError` that names the variable."""
    return endpoint_url(_endpoint(environ).get("endpoint", PRODUCTION))


def api_key_from(environ: Mapping[str, Any]) -> str:
    """Return the key as it is now. Raises `ConfigurationError` that names the variable. Blocks."""
    key = _api_key(environ)
    return key() if callable(key) else key


def store_from(environ: Mapping[str, Any]) -> TokenStore:
    """Return the store at ``EXTERVIEW_STORE``, set up. Raises `ConfigurationError` that names the variable. Blocks."""
    store = _store(environ)
    set_up(store)
    return store


def set_up(store: SharedStore) -> None:
    """Create what *store*, which `arguments_from` returned, needs. Raises `ConfigurationError` that names the variable. Blocks."""
    _naming(STORE, store._set_up)  # noqa: SLF001 - not for applications, whose stores are set up when they are made


def _store(environ: Mapping[str, Any]) -> SharedStore:
    place, keys = Secret(_variable(environ, STORE) or ""), _store_keys(environ)
    if not _LIKE_A_URL.match(place):
        from .stores import FileStore  # noqa: PLC0415 - most owners share with nobody

        return _naming(STORE, lambda: FileStore._not_set_up(str(place), keys))  # noqa: SLF001 - as above
    if not place.startswith(_REDIS):
        raise ConfigurationError(f"{STORE} must be a directory, or a URL that begins with redis:// or rediss://")
    from .stores import RedisStore  # noqa: PLC0415 - as above

    return _naming(STORE, lambda: RedisStore(str(place), encryption_key=keys))


def _store_keys(environ: Mapping[str, Any]) -> list[str] | None:
    """Return the Fernet keys, newest first, which commas or white space separate."""
    name, text, path = STORE_KEY, _secret(environ, STORE_KEY), _variable(environ, f"{STORE_KEY}_FILE")
    if text is None and path is not None:
        name = f"{STORE_KEY}_FILE"
        text = _naming(name, lambda: read_secret_file(path, IN_FILES[STORE_KEY]))
    if text is None:
        return None
    from .stores._encryption import cipher_for  # noqa: PLC0415 - most stores have no key

    keys: list[str] = text.replace(",", " ").split()
    _naming(name, lambda: cipher_for(keys))  # here and not by the store, so that the error names this variable
    return keys


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
    file = SecretFile(path, IN_FILES[API_KEY], lambda text: checked_api_key(text.strip()))
    return _NamedFile(f"{API_KEY}_FILE", file)


def _login(environ: Mapping[str, Any]) -> Login:
    # Unlike the others, a password is not stripped: spaces may be part of it.
    password = unwrapped(_text(environ, PASSWORD))
    if password and not password.strip():
        raise ConfigurationError(f"{PASSWORD} is blank; set it to the password of {EMAIL}")
    email, path = _variable(environ, EMAIL) or "", _variable(environ, f"{PASSWORD}_FILE") or ""
    match source_of(environ):
        case CredentialSource.CLIENT | CredentialSource.CLIENT_FILE:
            return _client(environ)
        case CredentialSource.PASSWORD:
            return PasswordLogin(email, password, **_login_options(environ))
        case CredentialSource.PASSWORD_FILE:
            file = SecretFile(path, IN_FILES[PASSWORD], lambda text: text)
            read = _NamedFile(f"{PASSWORD}_FILE", file)
            return PasswordLogin(email, read, **_login_options(environ))
        case CredentialSource.FIXED_TOKEN:
            return _naming(BEARER, lambda: StaticLogin(_secret(environ, BEARER)))
        case CredentialSource.TOKEN_FILE:
            tokens = token_file(_variable(environ, f"{BEARER}_FILE") or "")
            _naming(f"{BEARER}_FILE", tokens.read)
            return StaticLogin(file=tokens)
    _refuse_half_a_client(environ)
    if email:
        raise ConfigurationError(f"{PASSWORD} is missing; set it, or {PASSWORD}_FILE, together with {EMAIL}")
    if password or path:
        raise ConfigurationError(f"{EMAIL} is missing; set it together with {PASSWORD} or {PASSWORD}_FILE")
    raise ConfigurationError(
        f"the user's credentials are missing; set {EMAIL} and {PASSWORD} (or {PASSWORD}_FILE), or {BEARER}, or"
        f" {BEARER}_FILE, or for OAuth 2.0 {TOKEN_URL}, {CLIENT_ID} and {CLIENT_SECRET} (or {CLIENT_SECRET}_FILE)"
    )


def _client(environ: Mapping[str, Any]) -> Login:
    """Return the login of an OAuth 2.0 client by its own credentials."""
    from .logins import OAuth2Login  # noqa: PLC0415 - few programs need it

    url = _secret(environ, TOKEN_URL) or ""
    endpoint = _naming(
        TOKEN_URL, lambda: checked_url(url, "token_endpoint", example="https://login.example.com/oauth/token")
    )
    # Like a password, a secret is not stripped.
    text, path = unwrapped(_text(environ, CLIENT_SECRET)), _variable(environ, f"{CLIENT_SECRET}_FILE")
    secret: Secret | Callable[[], Secret] = text
    if not text.strip() and path is not None:
        file = SecretFile(path, IN_FILES[CLIENT_SECRET], lambda text: text)
        secret = _NamedFile(f"{CLIENT_SECRET}_FILE", file)
    return OAuth2Login(endpoint, _variable(environ, CLIENT_ID) or "", secret, scope=_variable(environ, SCOPE))


def _refuse_half_a_client(environ: Mapping[str, Any]) -> None:
    secret = f"{CLIENT_SECRET}_FILE" if _variable(environ, CLIENT_SECRET) is None else CLIENT_SECRET
    given = [name for name in (TOKEN_URL, CLIENT_ID, secret) if _variable(environ, name) is not None]
    missing = next((name for name in (TOKEN_URL, CLIENT_ID, secret) if name not in given), None)
    if given and missing == secret:
        raise ConfigurationError(
            f"{CLIENT_SECRET} is missing; set it, or {secret}, together with {TOKEN_URL} and {CLIENT_ID}"
        )
    if given:
        raise ConfigurationError(f"{missing} is missing; set it together with {' and '.join(given)}")


def _login_options(environ: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the variables say of the login mutation, which the API does not publish."""
    options: dict[str, Any] = {}
    document, path = _variable(environ, LOGIN_DOCUMENT), _variable(environ, f"{LOGIN_DOCUMENT}_FILE")
    if document is None and path is not None:
        document = str(_naming(f"{LOGIN_DOCUMENT}_FILE", lambda: read_secret_file(path, IN_FILES[LOGIN_DOCUMENT])))
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


class _NamedFile(Generic[T]):
    """
    A callable that reads a credential's file; its errors name the variable.

    It reads when it is made, so that a wrong path fails at the start, and later at each login, because rotation replaces the file.
    """

    __slots__ = ("_file", "_variable")

    def __init__(self, variable: str, file: SecretFile[T]) -> None:
        self._variable = variable
        self._file = file
        self()

    def __call__(self) -> T:
        return _naming(self._variable, self._file.read)

    @property
    def _problem(self) -> str | None:
        """For `CallableValue`."""
        problem = self._file.problem
        return None if problem is None else f"{self._variable}: {problem}"


def _naming(variable: str, make: Callable[[], T]) -> T:
    """Return what *make* returns. The message of its `ConfigurationError` then begins with the variable's name."""
    try:
        return make()
    except ConfigurationError as error:
        named = type(error)(f"{variable}: {error}")
    # Raised outside the except block: the first error's __context__ may hold the value.
    raise named
