"""What a login's constructor refuses, with one sentence each."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .._secret import Secret, is_encodable
from ..errors import ConfigurationError

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_A_HEADER = re.compile(r"[^\t\x20-\x7e\x80-\xff]")


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
