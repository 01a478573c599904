"""A bearer token and its lifetime."""

from __future__ import annotations

import base64
import os
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self, final

from ._json import json_object
from ._refusals import discreet, shown_when_made
from ._seconds import seconds_in
from ._secret import OwnedHeader, Sealed, Secret, fingerprint, is_encodable, is_header_safe, plain_kind
from .errors import ConfigurationError

MAX_TOKEN_LENGTH = 65_536
"""Characters; servers accept far less in a header."""

_SCHEME = "Bearer "


@final
class Token(Sealed):
    """
    A bearer token with its lifetime, as a login returns it.

    *value* is the token without ``Bearer``. *expires_in* is its lifetime in seconds, counted from the moment the login
    was sent; zero, negative and unreadable values count as unknown. If it is unknown, a JWT's own ``exp`` and ``iat``
    are used (RFC 7519, section 4.1), and an opaque token is valid until a 401. The next login gets *refresh_token*.

    Raises `ConfigurationError` for a value that cannot be sent in a header, and for a refresh token that cannot be encoded in
    UTF-8. A `Token` never prints, formats or pickles its value.
    """

    __module__ = "exterview_auth"

    __slots__ = ("_age", "_expires_at", "_expires_in", "_from_receipt", "_issuer", "_login", "_refresh_token", "_text")

    @discreet
    def __init__(self, value: str, *, expires_in: float | None = None, refresh_token: str | None = None) -> None:
        # Invariant: the value, or the header that ends in it (`header_with`): a text of a kilobyte is not kept twice.
        self._text = _checked(value, "a bearer token")
        self._refresh_token = None if not refresh_token else _checked_refresh(refresh_token)
        # The login's word comes first; a JWT's claims are read only without it.
        lifetime = seconds_in(expires_in)
        now = time.time()
        self._from_receipt = lifetime is None
        self._expires_in = jwt_lifetime(value, now) if lifetime is None else lifetime
        self._expires_at = None if self._expires_in is None else now + self._expires_in
        # Invariant: the issuer's name (`logins._identity`), or None for a token that the application made.
        self._issuer: str | None = None
        # The name of the login that gave it, once an owner that shares its tokens has named it.
        self._login: str | None = None
        # Seconds since that login, when it is handed to a store.
        self._age = 0.0

    @property
    def value(self) -> str:
        """The token as a string, without ``Bearer``."""
        text = self._text
        return text[len(_SCHEME) :] if isinstance(text, OwnedHeader) else text

    @property
    def refresh_token(self) -> str | None:
        """The refresh token, which the next login may send instead of the credentials."""
        return self._refresh_token

    @property
    def expires_in(self) -> float | None:
        """The lifetime in seconds when this object was created, or ``None`` if it is unknown."""
        return self._expires_in

    @property
    def expires_at(self) -> datetime | None:
        """The end of the lifetime by the wall clock, aware and in UTC, or ``None`` if it is unknown."""
        return None if self._expires_at is None else datetime.fromtimestamp(self._expires_at, UTC)

    @property
    def fingerprint(self) -> str:
        """The first 8 hex digits of the value's SHA-256, which tell tokens apart where their values must not be shown."""
        return fingerprint(self.value)

    @property
    def counts_from_receipt(self) -> bool:
        """Whether the lifetime began when the token was received (as a JWT's own does), not when the login was sent."""
        return self._from_receipt

    def with_remaining(self, seconds: float | None) -> Self:
        """Return the same token with a remaining lifetime of *seconds* from now (zero: it has expired), as a store does."""
        left = seconds_in(seconds)
        if left is None and isinstance(seconds, int | float) and seconds <= 0:
            left = 0.0
        return self._twin(
            _from_receipt=False, _expires_in=left, _expires_at=None if left is None else time.time() + left
        )

    def _twin(self, **changes: object) -> Self:
        """Return the same token as a new object, with *changes*."""
        # Without the constructor: the texts are checked already, and a JWT's own claims must not replace a lifetime.
        twin = object.__new__(type(self))
        for slot in self.__slots__:
            setattr(twin, slot, changes.get(slot, getattr(self, slot)))
        return twin

    @shown_when_made
    def __repr__(self) -> str:
        expiry = "" if self.expires_at is None else f", expires_at={self.expires_at.isoformat(timespec='seconds')}"
        refresh = "" if self._refresh_token is None else ", refresh_token='***'"
        return f"Token('***'{expiry}{refresh})"


def header_with(token: Token) -> OwnedHeader:
    """Return a new ``Authorization`` header with *token*, which keeps its text nowhere else from now on."""
    header = OwnedHeader(_SCHEME + token.value)
    token._text = header  # noqa: SLF001 - not for applications, for whom a token never changes
    return header


def issuer_of(token: Token) -> str | None:
    """Return who issued *token*, or ``None`` if its login did not say so."""
    return token._issuer  # noqa: SLF001 - not for applications: what they make has no issuer


def is_foreign(token: Token, issuer: str | None) -> bool:
    """Whether another issuer than *issuer* has issued *token*, as far as both are known."""
    return None not in (token._issuer, issuer) and token._issuer != issuer  # noqa: SLF001 - as above


def issued_by(issuer: str | None, token: Token, *, login: str | None = None) -> Token:
    """Return *token* as one from *issuer*, to whom alone its refresh token is shown, and from the *login* of that name."""
    return token._twin(_issuer=issuer, _login=login)  # noqa: SLF001 - as above


class LoginMark(NamedTuple):
    """
    What tells whether two tokens come from the same login, without their texts.

    The text alone does not: an issuer may return it again, with another refresh token or for a longer time.
    """

    login: str | None
    text: int
    refresh_token: int | None

    def is_same_as(self, other: LoginMark) -> bool:
        """Whether the same login gave both. A store that does not keep its name may not keep the refresh token either."""
        if None not in (self.login, other.login):
            return self.login == other.login
        refresh_tokens = {self.refresh_token, other.refresh_token} - {None}
        return self.text == other.text and len(refresh_tokens) <= 1


def mark_of(token: Token) -> LoginMark:
    """Return the mark of the login that gave *token*."""
    refresh_token = token.refresh_token
    return LoginMark(login_of(token), hash(token.value), None if refresh_token is None else hash(refresh_token))


def is_same_login(token: Token, other: Token) -> bool:
    """Whether the same login gave both."""
    return mark_of(token).is_same_as(mark_of(other))


def login_of(token: Token) -> str | None:
    """Return the name of the login that gave *token*, or ``None`` if it has none."""
    return token._login  # noqa: SLF001 - as above


def name_login(token: Token) -> None:
    """Name the login that gave *token*, unless it has a name. It stays the object by which its login may know it again."""
    if token._login is None:  # noqa: SLF001 - as above
        token._login = os.urandom(8).hex()  # noqa: SLF001 - as above


def aged(token: Token, seconds: float) -> Token:
    """Return *token* as one whose login was *seconds* ago, for a store that remembers it."""
    return token._twin(_age=seconds)  # noqa: SLF001 - as above


def age_of(token: Token) -> float:
    """Return the seconds since the login of *token*, as an owner hands it to a store."""
    return token._age  # noqa: SLF001 - as above


def without_refresh_token(token: Token) -> Token:
    """Return *token* for a place in which its refresh token would lie for nothing."""
    return token._twin(_refresh_token=None)  # noqa: SLF001 - as above


def without_bearer(text: str) -> str:
    """Return *text* without a leading ``Bearer`` (RFC 6750, section 2.1), which the header gets anyway."""
    return text[len(_SCHEME) :].strip() if text[: len(_SCHEME)].lower() == _SCHEME.lower() else text


def jwt_lifetime(value: str, now: float) -> float | None:
    """
    Return the seconds that a JWT is valid from *now*, or ``None`` if it does not say so or is not a JWT.

    That is ``exp - iat``, or ``exp - now`` if that is smaller, as it is for an old token from the environment. A token that
    looks expired has either expired, and the API will refuse it, or the server's clock is far off: ``exp - iat`` then.
    """
    claims = jwt_claims(value)
    expires, issued = numeric_date(claims.get("exp")), numeric_date(claims.get("iat"))
    if expires is None:
        return None
    remaining = seconds_in(expires - now)
    whole = None if issued is None else seconds_in(expires - issued)
    if remaining is None or whole is None:
        return whole if remaining is None else remaining
    return min(remaining, whole)


def numeric_date(value: Any) -> float | None:
    """Return a NumericDate (RFC 7519, section 2) as seconds since the epoch."""
    try:
        return None if seconds_in(value) is None else float(value)
    except OverflowError:
        return None


def jwt_claims(value: str) -> dict[str, Any]:
    parts = value.split(".")
    if len(parts) != 3 or len(value) > MAX_TOKEN_LENGTH:  # noqa: PLR2004 - header, claims, signature
        return {}
    try:
        return json_object(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))) or {}
    except ValueError:  # it is not base64
        return {}


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"{what} must be text, not {plain_kind(value)}")
    return value


def _checked_refresh(value: object) -> Secret:
    text = _text(value, "a refresh token")
    if not is_encodable(text):
        raise ConfigurationError("a refresh token contains half a surrogate pair; decode it as UTF-8")
    return Secret(text)


def _checked(value: object, what: str) -> Secret:
    text = _text(value, what)
    if text[: len(_SCHEME)].lower() == _SCHEME.lower():
        raise ConfigurationError(f"{what} must not begin with the word Bearer; remove it")
    if not is_header_safe(text):
        raise ConfigurationError(f"{what} must be visible ASCII without spaces or control characters, not empty")
    if len(text) > MAX_TOKEN_LENGTH:
        raise ConfigurationError(
            f"{what} of {len(text)} characters is too long; at most {MAX_TOKEN_LENGTH} can be sent"
        )
    return Secret(text)
