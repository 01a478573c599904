"""Constructor arguments, checked before anything is sent. Errors name the argument and say what it must be."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from ._secret import Secret, concealed, is_encodable, is_header_safe, plain_kind
from ._token import Token
from .errors import ConfigurationError

LONGEST = 10.0**9
"""The most seconds that a limit may have: 30 years, and every sum of such numbers is still a float."""

ABOVE_ZERO = math.ulp(0.0)
"""The smallest positive float: the lower bound of a number that must not be zero."""

# Patterns as text: `re` compiles them for the first header, and not at import.
_HEADER_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_NOT_IN_A_HEADER = r"[^\t\x20-\x7e\x80-\xff]"


class OwnerOptions(NamedTuple):
    """When an owner logs in, how long a login may take, and how many may be useless. Times are in seconds."""

    login_timeout: float = 30.0
    refresh_ahead: float = 300.0
    max_logins: tuple[int, float] = (5, 60.0)


DEFAULT_OWNER_OPTIONS = OwnerOptions()


def checked_api_key(key: object) -> str:
    """Return *key*, as a secret, if it can be sent in a header."""
    key = concealed(key)
    if not isinstance(key, Secret) or not is_header_safe(key):
        raise ConfigurationError(
            "api_key must be the organization's key: visible ASCII text without spaces or line ends, not empty"
        )
    return key


def owner_options(login_timeout: object, refresh_ahead: object, max_logins: object) -> OwnerOptions:
    """Return the three arguments as one record, checked."""
    if not isinstance(max_logins, tuple | list) or len(max_logins) != 2:  # noqa: PLR2004 - a pair
        raise ConfigurationError(f"max_logins must be a count and seconds such as (5, 60.0), not {shown(max_logins)}")
    count, window = max_logins
    options = OwnerOptions(
        number(login_timeout, "login_timeout must be a positive number of seconds", ABOVE_ZERO),
        number(refresh_ahead, "refresh_ahead must be a number of seconds, 0 for never"),
        (
            whole_number(count, "the count in max_logins must be a whole number, at least 1", 1, LONGEST),
            number(window, "the seconds in max_logins must be a positive number", ABOVE_ZERO),
        ),
    )
    return (
        DEFAULT_OWNER_OPTIONS if options == DEFAULT_OWNER_OPTIONS else options
    )  # one record for all who change nothing


def number(value: object, rule: str, low: float = 0.0, high: float = LONGEST) -> float:
    """Return *value* as a float if it is a number from *low* to *high*; otherwise raise an error that states *rule*."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigurationError(f"{rule}, not {shown(value)}")
    return float(value)


def whole_number(value: object, rule: str, low: float, high: float = math.inf) -> int:
    """Return *value* if it is a whole number from *low* to *high*; otherwise raise an error that states *rule*."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigurationError(f"{rule}, not {shown(value)}")
    return value


def shown(value: object) -> str:
    """Return *value* as it is written, or its type if it cannot be: Python writes no number of more than 4300 digits."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - another type's own repr
        return type(value).__name__


def checked_token(token: object, call: str) -> Token:
    """Return *token*, if it is one, for *call*. The error does not show it: it may be a token's text."""
    if not isinstance(token, Token):
        raise ConfigurationError(f"{call} takes a Token, not {plain_kind(token)}")
    return token


def account_name(account: object) -> str:
    """Return *account* if it can name one: text that is not empty. Numbers would not do: ``1 == True == 1.0``."""
    if not isinstance(account, str) or not account:
        what = "an empty text" if isinstance(account, str) else type(account).__name__
        raise ConfigurationError(f"an account is named by text that is not empty, not by {what}")
    return account


def account_key(account: object) -> str:
    """Return *account* if a store can keep a token under it: any text."""
    if not isinstance(account, str):
        raise ConfigurationError(f"a store knows an account by text, not by {type(account).__name__}")
    return account


def checked_account(account: object, login: object, *, shared: bool) -> str:
    """Return the account's name: *account*, or else the login's identity. A shared store needs one of them."""
    name = getattr(login, "identity", None) if account is None else account_name(account)
    if name is not None and not isinstance(name, str):
        raise ConfigurationError(f"a login's identity must be the account's name as text, not {type(name).__name__}")
    if not name and shared:
        raise ConfigurationError("a store needs to know whose token it holds; set account= to a name for the account")
    return str(name or "")


def needs_extra(what: str, library: str, extra: str) -> str:
    """Return what to say where *library* is missing: the same words everywhere, and no command, because tools differ."""
    return f"{what} needs {library}: install exterview_auth with its extra `{extra}`"


def named(value: object) -> str:
    """Return what *value* is, for an error about an argument of the wrong type."""
    return f"the class {value.__name__}; create an instance" if isinstance(value, type) else type(value).__name__


def check_callables(login: object, **hooks: object) -> None:
    """Raise `ConfigurationError` if *login*, or one of the *hooks* that are not ``None``, cannot be called."""
    if not callable(login) or isinstance(login, type):
        raise ConfigurationError(
            f"login must be an async callable such as PasswordLogin(email, password), not {named(login)}"
        )
    for name, hook in hooks.items():
        if hook is not None:
            check_callable(hook, name)


def check_callable(value: object, name: str) -> None:
    """Raise `ConfigurationError` if *value* cannot be called."""
    if not callable(value):
        raise ConfigurationError(f"{name} must be a callable, not {type(value).__name__}")


def text_option(value: object, name: str) -> str:
    """Return *value* if it is text that is not blank and can be encoded."""
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be text, not {plain_kind(value)}")
    if not value.strip():
        raise ConfigurationError(f"{name} is empty; the login needs it")
    if not is_encodable(value):
        raise ConfigurationError(f"{name} contains half a surrogate pair; decode it as UTF-8")
    return value


def optional_text(value: object, name: str) -> str | None:
    """Return *value* if it is ``None`` or text."""
    return None if value is None else text_option(value, name)


def secret_option(value: object, name: str) -> Secret | None:
    """Return *value* as a secret if it is ``None`` or text."""
    return None if value is None else Secret(text_option(concealed(value), name))


def path_option(value: object, name: str) -> tuple[str, ...]:
    """Return the steps of a dotted path, or no steps for ``None``."""
    if value is None:
        return ()
    steps = tuple(text_option(value, name).split("."))
    if not all(steps):
        raise ConfigurationError(
            f"{name} must be a name or a dotted path such as 'signIn.session.jwt', without empty steps"
        )
    return steps


def header_options(headers: Mapping[str, str] | None) -> dict[str, Secret]:
    """Return *headers* as they are sent. Each value may be a secret, so it becomes one."""
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"headers must be a mapping of names to values, not {type(headers).__name__}")
    headers = concealed(headers)
    for name, value in headers.items():
        if not isinstance(name, str) or not re.fullmatch(_HEADER_NAME, name):
            raise ConfigurationError("headers has a key that is not an HTTP field name (RFC 9110, section 5.1)")
        if not isinstance(value, str) or re.search(_NOT_IN_A_HEADER, value):
            raise ConfigurationError(f"headers: the value of {name} must be text that can be sent in a header")
    return {str(name): Secret(value) for name, value in headers.items()}
