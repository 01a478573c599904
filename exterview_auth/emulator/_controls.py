"""What an emulator tells, and what it can be told to do."""

from __future__ import annotations

from exterview_auth.errors import ConfigurationError

from ._state import EmulatorState
from ._stats import EmulatorStats


class Controls:
    """The credentials, knobs and counters of one `EmulatorState`; every change takes effect at once."""

    def __init__(self, state: EmulatorState) -> None:
        self._state = state
        self._was_started = False

    @property
    def token_lifetime(self) -> float:
        """Seconds that a token lives, from the next one on."""
        return self._state.token_lifetime

    @token_lifetime.setter
    def token_lifetime(self, seconds: float) -> None:
        self._state.token_lifetime = seconds

    @property
    def login_delay(self) -> float:
        """Seconds that a login takes, from the next one on."""
        return self._state.login_delay

    @login_delay.setter
    def login_delay(self, seconds: float) -> None:
        self._state.login_delay = seconds

    @property
    def latency(self) -> float:
        """Seconds that every request waits before it is looked at, from the next one on."""
        return self._state.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._state.latency = seconds

    @property
    def api_key(self) -> str:
        """The organization's API key of the moment."""
        return self._started.accounts.api_key

    @property
    def restricted_api_key(self) -> str:
        """A key that is valid and has no permission: it may log in, and each operation is answered 403."""
        return self._started.accounts.restricted_api_key

    @property
    def email(self) -> str:
        """The user's e-mail address."""
        return self._started.accounts.email

    @property
    def password(self) -> str:
        """The user's password."""
        return self._started.accounts.password

    @property
    def client_id(self) -> str:
        """The OAuth client's id."""
        return self._started.accounts.client_id

    @property
    def client_secret(self) -> str:
        """The OAuth client's secret."""
        return self._started.accounts.client_secret

    @property
    def organization_id(self) -> str:
        """The organization's id, as `getCandidates` takes it."""
        return self._started.data.organization_id

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The ids of the open jobs."""
        return tuple(self._started.data.jobs)

    def issue_token(self) -> str:
        """A valid bearer token without a login."""
        return self._started.issue_token()

    def revoke(self) -> None:
        """Make every bearer token invalid; refresh tokens stay."""
        self._state.accounts.revoke_tokens()

    def expire(self) -> None:
        """End the lifetime of every bearer token."""
        self._state.accounts.expire_tokens()

    def revoke_refresh_tokens(self) -> None:
        """Make every refresh token invalid."""
        self._state.accounts.refresh_tokens.revoke()

    def rotate_api_key(self) -> str:
        """The organization's new API key; the old one is answered 401 from now on."""
        return self._started.accounts.rotate_api_key()

    def fail_logins(self, times: int, status: int = 503, retry_after: float | str | None = None) -> None:
        """Answer the next *times* logins with *status* and *retry_after* (seconds, or an HTTP date); zero ends it."""
        self._state.faults.fail_logins(times, status, retry_after)

    def refuse(self, times: int, status: int = 401) -> None:
        """Answer the next *times* requests that nothing is wrong with, logins apart, with *status*; zero ends it."""
        self._state.faults.refuse(times, status)

    def silence(self, seconds: float) -> None:
        """Accept logins and answer none for *seconds* from now; zero ends it."""
        self._state.faults.silence(seconds)

    def stats(self) -> EmulatorStats:
        """What was asked and answered so far."""
        return self._state.stats()

    @property
    def _started(self) -> EmulatorState:
        if not self._was_started:
            raise ConfigurationError(
                "the emulator was not started; use 'async with Emulator() as emulator' or await start()"
            )
        return self._state
