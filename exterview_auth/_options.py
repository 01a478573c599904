"""What constructors take, checked before anything is sent."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeGuard

from ._secret import Secret, is_encodable, is_header_safe
from .errors import ConfigurationError

LONGEST = 10.0**9
"""The largest number that a limit in seconds, or a count, can have."""

MAX_SECRET_FILE = 2**20
"""Characters of a file with a credential; whatever is longer holds something else."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_A_HEADER = re.compile(r"[^\t\x20-\x7e\x80-\xff]")


class Policy(NamedTuple):
    """How an owner renews; times in seconds."""

    login_timeout: float = 30.0
    refresh_ahead: float = 300.0
    max_logins: tuple[int, float] = (5, 60.0)


DEFAULTS = Policy()


def checked_api_key(key: object) -> str:
    """*key*, if it can stand in a header."""
    if not isinstance(key, str) or not is_header_safe(key):
        raise ConfigurationError(
            "api_key must be the organization's key: visible ASCII text without spaces or line ends, and not empty"
        )
    return key


def checked_policy(login_timeout: object, refresh_ahead: object, max_logins: object) -> Policy:
    """The numbers of the contract, checked."""
    if not _is_number(refresh_ahead) or refresh_ahead < 0:
        raise ConfigurationError(f"refresh_ahead is a number of seconds, 0 for never, not {refresh_ahead!r}")
    return Policy(positive(login_timeout, "login_timeout"), float(refresh_ahead), _checked_budget(max_logins))


def positive(value: object, what: str) -> float:
    """*value*, if it is a number of seconds that a timeout can have."""
    if not _is_number(value) or value <= 0:
        raise ConfigurationError(f"{what} is a positive number of seconds, not {value!r}")
    return float(value)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LONGEST


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and _is_number(value) and value > 0


def _checked_budget(value: object) -> tuple[int, float]:
    if isinstance(value, tuple | list) and len(value) == 2:  # noqa: PLR2004 - a pair
        count, window = value
        if _is_count(count) and _is_number(window) and window > 0:
            return count, float(window)
    raise ConfigurationError(f"max_logins is a pair of a count and seconds such as (5, 60.0), not {value!r}")


def checked_account(account: object, login: object, *, shared: bool) -> str:
    """The account's name: as given, else the login's own identity; a shared store needs one."""
    if account is not None and (not isinstance(account, str) or not account):
        raise ConfigurationError("account is the name of the account as text, and not empty")
    name = account or getattr(login, "identity", None)
    if name is not None and not isinstance(name, str):
        raise ConfigurationError(f"a login's identity names the account as text, not {type(name).__name__}")
    if not name and shared:
        raise ConfigurationError("a store needs to know whose token it holds; give account= a name for the account")
    return str(name or "")


def read_secret_file(path: str | os.PathLike[str], what: str) -> str:
    """The stripped text of a credential's file; errors name *what* and the path, never the content."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(MAX_SECRET_FILE + 1)
    except (OSError, ValueError) as failure:
        reason = type(failure).__name__
    else:
        if len(text) <= MAX_SECRET_FILE and text.strip():
            return text.strip()
        reason = "it is empty" if len(text) <= MAX_SECRET_FILE else "it is too long for a credential"
    raise ConfigurationError(f"{what}'s file {os.fspath(path)} cannot be read ({reason})")


def named(value: object) -> str:
    """What *value* is, for the error about an argument of the wrong kind."""
    return f"the class {value.__name__}; make one" if isinstance(value, type) else type(value).__name__


def check_callables(login: object, **hooks: object) -> None:
    """Raise `ConfigurationError` where *login*, or one of the *hooks* that are given, cannot be called."""
    if not callable(login) or isinstance(login, type):
        raise ConfigurationError(
            f"login is an async callable such as PasswordLogin(email, password), not {named(login)}"
        )
    for name, hook in hooks.items():
        if hook is not None and not callable(hook):
            raise ConfigurationError(f"{name} is a callable, not {type(hook).__name__}")


def text_option(value: object, name: str) -> str:
    """*value*, if it is text with something in it that can be encoded."""
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} is text, not {type(value).__name__}")
    if not value.strip():
        raise ConfigurationError(f"{name} is empty; give the login its {name}")
    if not is_encodable(value):
        raise ConfigurationError(f"{name} holds half a surrogate pair; read it as UTF-8")
    return value


def optional_text(value: object, name: str) -> str | None:
    """*value*, if it is absent or text."""
    return None if value is None else text_option(value, name)


def secret_option(value: object, name: str) -> Secret | None:
    """*value* as a secret, if it is absent or text."""
    return None if value is None else Secret(text_option(value, name))


def path_option(value: object, name: str) -> tuple[str, ...]:
    """The steps of a dotted path; none where it is absent."""
    if value is None:
        return ()
    steps = tuple(text_option(value, name).split("."))
    if not all(steps):
        raise ConfigurationError(f"{name} is a name or a dotted path like 'signIn.session.jwt', without empty steps")
    return steps


def header_options(headers: Mapping[str, str] | None) -> dict[str, Secret]:
    """*headers* as they go out: each value is taken for a secret."""
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"headers is a mapping of names to values, not {type(headers).__name__}")
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError("headers has a name that is no HTTP field name (RFC 9110, section 5.1)")
        if not isinstance(value, str) or _NOT_IN_A_HEADER.search(value):
            raise ConfigurationError(f"headers: the value of {name} is no text that can stand in a header")
    return {name: Secret(value) for name, value in headers.items()}
