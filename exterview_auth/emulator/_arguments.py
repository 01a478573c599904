"""Arguments of the emulator, checked where they come in."""

from __future__ import annotations

import ipaddress

from exterview_auth import _options as options
from exterview_auth.errors import ConfigurationError

_HIGHEST_PORT = 65_535


def seconds(value: object, what: str) -> float:
    """*value*, if it is a finite number of seconds, not negative."""
    return options.number(value, f"{what} must be a number of seconds, zero or more")


def whole_number(value: object, what: str) -> int:
    """*value*, if it is a count."""
    return options.whole_number(value, f"{what} must be a whole number, zero or more", 0)


def http_error_status(value: object) -> int:
    """*value*, if it is a status that refuses."""
    return options.whole_number(value, "status must be an HTTP error status from 400 to 599", 400, 599)


def port_number(value: object) -> int:
    """*value*, if it is a TCP port; zero asks for a free one."""
    return options.whole_number(
        value, f"port must be a number from 0 (any free port) to {_HIGHEST_PORT}", 0, _HIGHEST_PORT
    )


def loopback_address(host: str) -> str:
    """*host* as a loopback address; the emulator speaks plain HTTP, and credentials must not leave the machine."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise ConfigurationError(f"the emulator listens on loopback only, not on {host!r}; use 127.0.0.1 or ::1")
    return str(address)


class Seconds:
    """An attribute that holds a number of seconds and refuses everything else, whenever it is assigned."""

    def __init__(self) -> None:
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> float:
        value: float = vars(instance)[self._name]
        return value

    def __set__(self, instance: object, value: float) -> None:
        vars(instance)[self._name] = seconds(value, self._name)
