"""The organization's keys, the user's password, and every token that was issued."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from exterview_auth._clock import boot_time
from exterview_auth._secret import fingerprint

from ._responses import Refusal

MOST_TOKENS = 20_000
"""Bearer tokens that are remembered; the oldest are forgotten first."""

MOST_REFRESH_TOKENS = 20_000
"""Refresh tokens, used ones too, that are remembered; the oldest are forgotten first."""

MOST_ISSUED = 50_000
"""Credentials that texts are searched for, dead ones too; the oldest are forgotten first."""

_SHORTEST_SEARCHED = 4
"""Characters of a credential; a shorter one is part of many words by chance."""


@dataclass(slots=True)
class _Issued:
    """What is known of a bearer token, beside the token itself. Times are on the clock of lifetimes."""

    fingerprint: str
    lifetime: float
    ends: float
    revoked: bool = False


class Accounts:
    """
    The credentials of one organization with one user and one OAuth client.

    *clock* counts the seconds of lifetimes. All secrets are random, whatever the data's seed, unless `adopt` replaces them.
    """

    def __init__(self, email: str, *, clock: Callable[[], float] = boot_time) -> None:
        self.email = email
        self.password = secrets.token_urlsafe(15)
        self.api_key = _new_api_key()
        self.restricted_api_key = _new_api_key()
        self.client_id = f"client-{secrets.token_hex(6)}"
        self.client_secret = secrets.token_urlsafe(24)
        self._clock = clock
        self.refresh_tokens = RefreshTokens()
        self._tokens: OrderedDict[str, _Issued] = OrderedDict()
        self._seen = _SeenCredentials()

    def adopt(self, api_key: str | None, email: str | None, password: str | None) -> None:
        """Use these credentials in place of the random ones; ``None`` leaves one as it is."""
        self.api_key = api_key or self.api_key
        self.email = email or self.email
        self.password = password or self.password

    def rotate_api_key(self) -> str:
        """Return the organization's new key; the old one is unknown from now on."""
        self._seen.add(self.api_key)
        self.api_key = _new_api_key()
        return self.api_key

    def knows_key(self, key: str) -> bool:
        """Return whether *key* is one of the organization's keys."""
        return same(key, self.api_key) or self.is_restricted(key)

    def is_restricted(self, key: str) -> bool:
        """Return whether *key* is the one without any permission."""
        return same(key, self.restricted_api_key)

    def knows_user(self, email: str, password: str) -> bool:
        """Return whether these are the user's credentials; the e-mail's case does not matter."""
        return same(email.casefold(), self.email.casefold()) and same(password, self.password)

    def knows_client(self, client_id: str, client_secret: str) -> bool:
        """Return whether these are the OAuth client's credentials."""
        return same(client_id, self.client_id) and same(client_secret, self.client_secret)

    def issue_token(self, lifetime: float, *, valid: bool = True) -> str:
        """Return a new bearer token, for *lifetime* seconds; unless it is *valid*, no request can use it."""
        token = self._seen.add(secrets.token_urlsafe(32))
        if not valid:
            return token
        # An emulator may run for days under a test that logs in again and again.
        while len(self._tokens) >= MOST_TOKENS:
            self._tokens.popitem(last=False)
        self._tokens[token] = _Issued(fingerprint(token), lifetime, self._clock() + lifetime)
        return token

    def issue_refresh_token(self, *, valid: bool = True) -> str:
        """Return the first refresh token of a new family; unless it is *valid*, no request can use it."""
        return self._seen.add((self.refresh_tokens if valid else RefreshTokens()).issue())

    def rotate_refresh_token(self, token: str) -> str | None:
        """Return the successor of *token*, or ``None`` if *token* is not valid (any more)."""
        successor = self.refresh_tokens.rotate(token)
        return None if successor is None else self._seen.add(successor)

    def require_token(self, token: str) -> None:
        """Raise the 401 for a token that was never issued, was revoked, or has expired."""
        issued = self._tokens.get(token)
        if issued is None:
            raise _unauthorized("Invalid bearer token")
        if issued.revoked:
            # The API does not say more of it than of a token that it has never seen; the journal does.
            raise _unauthorized("Invalid bearer token", reason="The bearer token was revoked")
        if issued.ends <= self._clock():
            raise _unauthorized("The bearer token has expired")

    def revoke_tokens(self) -> None:
        """Make every bearer token that was issued so far invalid."""
        for issued in self._tokens.values():
            issued.revoked = True

    def expire_tokens(self) -> None:
        """End the lifetime of every bearer token that was issued so far."""
        now = self._clock()
        for issued in self._tokens.values():
            issued.ends = min(issued.ends, now)

    def forget_tokens(self) -> None:
        """Forget every token, refresh tokens too, and how many of them were used again."""
        self._tokens.clear()
        self.refresh_tokens = RefreshTokens()

    def newest_tokens(self, most: int) -> list[dict[str, Any]]:
        """Return at most so many tokens, the newest first: fingerprint, lifetime, seconds that remain, and state."""
        now = self._clock()
        newest = [issued for issued, _ in zip(reversed(self._tokens.values()), range(most), strict=False)]
        return [
            {
                "fingerprint": issued.fingerprint,
                "lifetime": issued.lifetime,
                "remaining": max(0.0, issued.ends - now),
                "state": "revoked" if issued.revoked else "valid" if issued.ends > now else "expired",
            }
            for issued in newest
        ]

    @property
    def tokens_known(self) -> int:
        """How many bearer tokens are remembered, valid or not."""
        return len(self._tokens)

    def shown_in(self, text: str, most: int) -> bool:
        """Return whether the first *most* characters of *text* show a credential, or its beginning; dead ones count too."""
        credentials = (self.api_key, self.restricted_api_key, self.password, self.client_secret)
        return any(len(one) >= _SHORTEST_SEARCHED and one in text for one in credentials) or self._seen.shown_in(
            text, most
        )


class _SeenCredentials:
    """The tokens that were issued, and the API keys that were replaced, as far as memory is given to them."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._lengths: set[int] = set()

    def add(self, credential: str) -> str:
        """Remember *credential*, and return it."""
        while len(self._seen) >= MOST_ISSUED:
            self._seen.popitem(last=False)
        if len(credential) >= _SHORTEST_SEARCHED:
            self._seen[credential] = None
            self._lengths.add(len(credential))
        return credential

    def shown_in(self, text: str, most: int) -> bool:
        """Return whether one of them begins in the first *most* characters of *text*."""
        # Each place by their two or three lengths, because a search for each of them would grow with every login.
        return any(text[at : at + length] in self._seen for length in self._lengths for at in range(most))


class RefreshTokens:
    """
    Rotation with reuse detection (RFC 9700, section 4.14.2).

    Each use gives a successor. A token that is used twice was stolen, or its successor was lost: its whole family of
    successors is revoked, and *reused* counts it.
    """

    def __init__(self) -> None:
        self.reused = 0
        # Used tokens stay in `_family_of`, because only so is a second use recognised. A family that is revoked, or whose
        # unused token was forgotten, has no entry in `_current_of`.
        self._family_of: OrderedDict[str, str] = OrderedDict()
        self._current_of: dict[str, str] = {}

    def issue(self) -> str:
        """Return the first token of a new family."""
        return self._next(secrets.token_hex(8))

    def rotate(self, token: str) -> str | None:
        """Return the successor of *token*, or ``None`` if *token* is not valid (any more)."""
        family = self._family_of.get(token)
        if family is None:
            return None
        if self._current_of.get(family) != token:
            self.reused += 1
            self._current_of.pop(family, None)
            return None
        return self._next(family)

    def _next(self, family: str) -> str:
        while len(self._family_of) >= MOST_REFRESH_TOKENS:
            oldest, its_family = self._family_of.popitem(last=False)
            if self._current_of.get(its_family) == oldest:
                del self._current_of[its_family]
        token = secrets.token_urlsafe(32)
        self._family_of[token] = family
        self._current_of[family] = token
        return token


def same(given: str, expected: str) -> bool:
    """Return whether two secrets are equal, in a time that does not show how many of their characters are."""
    return secrets.compare_digest(given.encode(errors="surrogateescape"), expected.encode())


def _new_api_key() -> str:
    return f"exv_emulator_{secrets.token_urlsafe(24)}"


def _unauthorized(message: str, *, reason: str | None = None) -> Refusal:
    return Refusal(401, message, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}, reason=reason)
