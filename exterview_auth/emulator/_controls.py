"""
What a user can make the emulator do. Each control takes effect at once, and is written down for the page.

`Emulator` has the same controls as methods and attributes, `_control_paths` as paths.
"""

from __future__ import annotations

from typing import Any

from exterview_auth._secret import fingerprint

from ._arguments import seconds as checked_seconds
from ._state import EmulatorState


class Controls:
    """The controls of one emulator. A wrong argument is a `ConfigurationError`, and changes nothing."""

    def __init__(self, state: EmulatorState) -> None:
        self._state = state

    def revoke(self) -> None:
        """Make every bearer token invalid; refresh tokens stay valid."""
        self._state.accounts.revoke_tokens()
        self._record("revoke")

    def expire(self) -> None:
        """End the lifetime of every bearer token."""
        self._state.accounts.expire_tokens()
        self._record("expire")

    def rotate_api_key(self) -> str:
        """Return the organization's new API key."""
        key = self._state.accounts.rotate_api_key()
        self._record("rotate-api-key", fingerprint=fingerprint(key))
        return key

    def fail_logins(self, times: int, status: int = 503, retry_after: float | str | None = None) -> None:
        """Answer the next *times* logins with *status*, and *retry_after* in a header."""
        self._state.faults.fail_logins(times, status, retry_after)
        self._record("fail-logins", times=times, status=status, **_shown(retry_after))

    def refuse(self, times: int, status: int = 401, retry_after: float | str | None = None) -> None:
        """Answer the next *times* requests that are not logins and have valid credentials in the same way."""
        self._state.faults.refuse(times, status, retry_after)
        self._record("refuse", times=times, status=status, **_shown(retry_after))

    def silence(self, seconds: float) -> None:
        """Accept logins and send no response to them for *seconds* from now."""
        self._state.faults.silence(seconds)
        self._record("silence", seconds=seconds)

    def latency(self, seconds: float) -> None:
        """Let each request wait before it is looked at."""
        self.set_time("latency", seconds)

    def login_delay(self, seconds: float) -> None:
        """Let each login take so long."""
        self.set_time("login_delay", seconds)

    def token_lifetime(self, seconds: float) -> None:
        """Let each token be valid for so long."""
        self.set_time("token_lifetime", seconds)

    def answer(self, operation_name: str, data: Any = ..., errors: Any = ...) -> None:
        """Answer an operation with *data* and *errors*; without both, as before."""
        name = self._state.answers.give(operation_name, data, errors)
        self._record("answer", operation_name=self._state.shown_name(name))

    def reset(self) -> None:
        """Be as new, with the same credentials."""
        self._state.reset()
        self._record("reset")

    def set_time(self, name: str, value: float) -> None:
        """Assign one of the state's times."""
        setattr(self._state, name, checked_seconds(value, name))
        self._record(name.replace("_", "-"), seconds=value)

    def _record(self, control: str, **arguments: Any) -> None:
        self._state.journal.add_control(control, arguments)


def _shown(retry_after: float | str | None) -> dict[str, Any]:
    # A number is what it says. A date is any text.
    return {} if retry_after is None else {"retry_after": "a date" if isinstance(retry_after, str) else retry_after}
