"""The organization's keys, the user's password, and every token that was issued."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from ._refresh_tokens import RefreshTokens
from ._responses import Refusal

MOST_TOKENS = 20_000
"""Live tokens (of each kind) that are remembered; the oldest go first."""


class Accounts:
    """
    Who may do what.

    *clock* is the time in seconds that lifetimes are counted by. All secrets are unguessable, whatever the data's seed.
    """

    def __init__(self, email: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.email = email
        self.password = secrets.token_urlsafe(15)
        self.api_key = _new_api_key()
        self.restricted_api_key = _new_api_key()
        self.client_id = f"client-{secrets.token_hex(6)}"
        self.client_secret = secrets.token_urlsafe(24)
        self._clock = clock
        self.refresh_tokens = RefreshTokens()
        self._tokens: OrderedDict[str, float] = OrderedDict()

    def rotate_api_key(self) -> str:
        """The organization's new key; the old one is unknown from now on."""
        self.api_key = _new_api_key()
        return self.api_key

    def knows_key(self, key: str) -> bool:
        """Whether *key* is one of the organization's keys."""
        return same(key, self.api_key) or self.is_restricted(key)

    def is_restricted(self, key: str) -> bool:
        """Whether *key* is the one without any permission."""
        return same(key, self.restricted_api_key)

    def knows_user(self, email: str, password: str) -> bool:
        """Whether these are the user's credentials; the e-mail's case does not matter."""
        return same(email.casefold(), self.email.casefold()) and same(password, self.password)

    def knows_client(self, client_id: str, client_secret: str) -> bool:
        """Whether these are the OAuth client's credentials."""
        return same(client_id, self.client_id) and same(client_secret, self.client_secret)

    def issue_token(self, lifetime: float) -> str:
        """A new bearer token that is good for *lifetime* seconds."""
        self._forget_the_oldest()
        token = secrets.token_urlsafe(32)
        self._tokens[token] = self._clock() + lifetime
        return token

    def require_token(self, token: str) -> None:
        """Raise the 401 for a token that was never issued, was revoked, or is past its lifetime."""
        ends = self._tokens.get(token)
        if ends is None:
            raise _unauthorized("Invalid bearer token")
        if ends <= self._clock():
            raise _unauthorized("The bearer token has expired")

    def revoke_tokens(self) -> None:
        """Make every token that was issued so far unknown."""
        self._tokens.clear()

    def expire_tokens(self) -> None:
        """End the lifetime of every token that was issued so far."""
        now = self._clock()
        self._tokens = OrderedDict.fromkeys(self._tokens, now)

    def _forget_the_oldest(self) -> None:
        while len(self._tokens) >= MOST_TOKENS:
            self._tokens.popitem(last=False)


def same(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell how much of them is."""
    return secrets.compare_digest(given.encode(errors="surrogateescape"), expected.encode())


def _new_api_key() -> str:
    return f"exv_emulator_{secrets.token_urlsafe(24)}"


def _unauthorized(message: str) -> Refusal:
    return Refusal(401, message, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
