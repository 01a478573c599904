"""The emulator's arguments, checked before anything uses them."""

from __future__ import annotations

import ipaddress
import math
import re

from exterview_auth import _options as options
from exterview_auth.errors import ConfigurationError

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_HIGHEST_PORT = 65_535
_LONGEST_DATE = 100
"""Characters: three times as many as a date has."""


def seconds(value: object, what: str) -> float:
    """Return *value* if it is a number of seconds, finite and not negative."""
    return options.number(value, f"{what} must be a number of seconds, zero or more")


def whole_number(value: object, what: str) -> int:
    """Return *value* if it is a whole number that is not negative."""
    return options.whole_number(value, f"{what} must be a whole number, zero or more", 0)


def checked_seed(value: object) -> int:
    """Return *value* if the data can be drawn from it."""
    return options.whole_number(value, "seed must be a whole number", -math.inf)


def http_error_status(value: object) -> int:
    """Return *value* if it is the status of an HTTP error."""
    return options.whole_number(value, "status must be an HTTP error status from 400 to 599", 400, 599)


def http_date(value: str) -> str:
    """Return *value* if it can be sent in the place of an HTTP date; one that clients cannot read is a fault worth trying."""
    if not value.isascii() or not value.isprintable() or not value.strip() or len(value) > _LONGEST_DATE:
        raise ConfigurationError("retry_after must be a number of seconds or an HTTP date, in one line of ASCII text")
    return value


def port_number(value: object) -> int:
    """Return *value* if it is a TCP port; zero asks for a free one."""
    return options.whole_number(
        value, f"port must be a number from 0 (any free port) to {_HIGHEST_PORT}", 0, _HIGHEST_PORT
    )


def checked_credentials(api_key: object, email: object, password: object) -> tuple[str | None, str | None, str | None]:
    """Return the three as plain text if clients can send them; ``None`` asks for a random key or password, or the data's user."""
    key = None if api_key is None else str(options.checked_api_key(api_key))
    # No error shows a value: what is made up for a test today may be somebody's password tomorrow.
    return key, _one_line(email, "email"), _one_line(password, "password")


def _one_line(value: object, name: str) -> str | None:
    """Return *value* if it is ``None`` or text that stays on its line: the command prints it, one variable to a line."""
    text = options.optional_text(value, name)
    if text is not None and _CONTROL_CHARACTER.search(text):
        raise ConfigurationError(f"{name} contains a control character or a line end; make up one without")
    return text


def loopback_address(host: object) -> str:
    """Return *host* as a loopback address."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host) if isinstance(host, str) else None
    except ValueError:
        address = None
    # The emulator speaks plain HTTP, so credentials would leave the machine readable.
    if address is None or not address.is_loopback:
        raise ConfigurationError(
            f"the emulator listens on loopback only, not on {options.shown(host)}; use 127.0.0.1 or ::1"
        )
    return str(address)
