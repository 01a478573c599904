"""Names for what a token depends on: the same in every process, never the same for two things, and without a secret."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeVar

from yarl import URL

from .._endpoint import origin_of
from ..errors import ConfigurationError

T = TypeVar("T")

_DIGITS = 32
"""Hexadecimal digits of a digest: 128 bits, so that no two names are equal by chance or by choice."""


# Whole names, and no more of them: a field that is left out in error makes two accounts share a token, and one that is kept in
# error costs a login.
_PROOFS = frozenset({
    "authorization", "cookie", "proxyauthorization",
    "otp", "totp", "onetimepassword", "onetimecode", "pin", "userpin", "passcode", "passphrase", "password", "clientsecret",
    "2facode", "authcode", "emailcode", "mfacode", "otpcode", "securitycode", "smscode", "tfacode", "verificationcode",
})  # fmt: skip
"""Fields and headers that prove who asks, without ``-`` and ``_``. They change, or are short enough to be found from a digest."""
_OF_THE_PROGRAM = frozenset({"accept", "accept-encoding", "accept-language", "user-agent"})


def store_key(endpoint: URL, account: str, login: object) -> tuple[str, str | None]:
    """Return the name under which a store knows *account*, and the name of *login*'s issuer if it declares one."""
    realm, issuer = store_realm(endpoint, login)
    return realm + account, issuer


def store_realm(endpoint: URL, login: object) -> tuple[str, str | None]:
    """
    Return what precedes an account's name in a store, and the name of *login*'s issuer if it declares one.

    The endpoint's origin is in the first: production and sandbox never share a token. So is an issuer other than the
    API itself: a store may forget who issued a token, but it cannot give it to another issuer's owner.
    """
    issuer = declared_issuer(login, endpoint)
    return _realm(endpoint, issuer), issuer


@lru_cache  # as `issuer_name`
def _realm(endpoint: URL, issuer: str | None) -> str:
    origin = str(endpoint.origin())
    return f"{origin if issuer in (None, issuer_name(endpoint)) else distinct_name(origin, issuer)}|"


def declared_issuer(login: object, endpoint: URL) -> str | None:
    """Return the name of who issues *login*'s tokens for an API at *endpoint*, or ``None`` if it declares none."""
    ask = getattr(login, "issuer_at", None)
    name = ask(endpoint) if callable(ask) else None
    if name is not None and not isinstance(name, str):
        raise ConfigurationError(
            f"a login's issuer_at must return the issuer's name as text, not {type(name).__name__}"
        )
    return name or None


@lru_cache  # ten thousand owners of one endpoint share the name
def issuer_name(endpoint: URL, *client: str) -> str:
    """Return the name of the issuer at *endpoint* for *client*, the only one to whom its refresh tokens may be shown."""
    where = address(endpoint)
    return distinct_name(" ".join((where, *client)), where, endpoint.raw_query_string, *client)


def distinct_name(readable: str, *parts: object) -> str:
    """Return *readable*, for people, and a digest over *parts*, texts or lists of texts, which tells two of them apart."""
    # As JSON, because texts that are only joined can be read in two ways: "a:b" and "c" as "a" and "b:c".
    encoded = json.dumps(parts, separators=(",", ":")).encode()
    return f"{readable} #{hashlib.sha256(encoded).hexdigest()[:_DIGITS]}"


def naming(fields: Mapping[str, T]) -> dict[str, T]:
    """Return those of *fields* that say what a token is for."""
    return {
        name: value for name, value in fields.items() if not _is_proof(name) and name.lower() not in _OF_THE_PROGRAM
    }


def naming_headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return those of *headers* that say what a token is for, in one spelling and order."""
    return sorted(naming({name.lower(): value for name, value in headers.items()}).items())


def _is_proof(name: str) -> bool:
    return re.sub("[-_]", "", name.lower()) in _PROOFS


def address(url: URL) -> str:
    """Return *url* in the one spelling that all of its spellings share, without its query, which may hold a secret."""
    scheme, host, port = origin_of(url)
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}{'' if url.is_default_port() else f':{port}'}{url.raw_path}"
