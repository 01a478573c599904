"""How an OAuth client authenticates to the token endpoint (RFC 6749, section 2.3; RFC 7523, section 2.2)."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn
from urllib.parse import parse_qsl, quote_plus

from .._options import optional_text, secret_option, text_option
from .._secret import Secret, refuse_pickling
from ..errors import ConfigurationError

METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt", "none")

ASSERTION_LIFETIME = 300
"""Seconds: enough for clocks that differ, and within what providers accept (some refuse assertions of an hour)."""

_NEEDS_SECRET = ("client_secret_basic", "client_secret_post")
_SHORTEST_RSA_KEY = 2048  # bits; RFC 7518, section 3.3
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class TokenRequest(NamedTuple):
    """A request that authenticates the client, and the texts that no message may repeat."""

    headers: Mapping[str, str]
    body: Secret
    secrets: tuple[str, ...]


class ClientAuthentication:
    """A client's id, with its secret or private key."""

    __slots__ = ("_algorithm", "_key", "_key_id", "client_id", "method", "secret")

    def __init__(
        self,
        client_id: str,
        client_secret: str | None,
        private_key: str | bytes | None,
        method: str | None,
        key_id: str | None,
    ) -> None:
        self.client_id = text_option(client_id, "client_id")
        self.secret = secret_option(client_secret, "client_secret")
        self.method = _checked_method(method, secret=client_secret is not None, key=private_key is not None)
        self._key_id = optional_text(key_id, "key_id")
        self._algorithm, self._key = ("", Secret()) if private_key is None else _signing_key(private_key)

    def prepare(self, endpoint: str, form: str) -> TokenRequest:
        """Return the request of *form* to *endpoint*, authenticated by authlib."""
        from authlib.oauth2.auth import ClientAuth  # type: ignore[import-untyped]  # noqa: PLC0415 - no stubs; loads on first use

        client_id = self.client_id
        secret: Any = self.secret
        method: Any = self.method
        if method == "private_key_jwt":
            secret, method = self._jose_key(), self._assertion(endpoint)
        elif method == "client_secret_basic":
            # RFC 6749, section 2.3.1: both texts are form-encoded first. authlib does not do it.
            client_id, secret = quote_plus(client_id), Secret(quote_plus(secret or ""))
        _, headers, body = ClientAuth(client_id, secret, method).prepare("POST", endpoint, {}, form)
        # What is derived from the secret must not be shown either: servers repeat the Basic header, or the assertion.
        kept = {name: Secret(value) for name, value in headers.items()}
        basic = (value.partition(" ")[2] for value in kept.values())
        assertion = (Secret(value) for name, value in parse_qsl(body) if name == "client_assertion")
        return TokenRequest(kept, Secret(body), tuple(text for text in (self.secret, *basic, *assertion) if text))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        refuse_pickling(self)

    def _assertion(self, endpoint: str) -> Any:
        """Return a new signer for each request: an assertion's ``jti`` is used once (RFC 7523, section 3)."""
        from authlib.oauth2.rfc7523 import PrivateKeyJWT  # type: ignore[import-untyped]  # noqa: PLC0415 - no stubs; first use

        class Signer(PrivateKeyJWT):  # type: ignore[misc] # authlib has no stubs
            def sign(self, auth: Any, token_endpoint: str) -> Any:
                # joserfc warns that RFC 9864 has a new name for "EdDSA". Servers know the old one.
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    return super().sign(auth, token_endpoint)

        return Signer(
            endpoint,
            claims={"exp": int(time.time()) + ASSERTION_LIFETIME},
            headers={} if self._key_id is None else {"kid": self._key_id},
            alg=self._algorithm,
        )

    def _jose_key(self) -> Any:
        from joserfc import jwk  # noqa: PLC0415 - loads on first use

        kinds: dict[str, Any] = {"R": jwk.RSAKey, "E": jwk.ECKey}
        return (jwk.OKPKey if self._algorithm == "EdDSA" else kinds[self._algorithm[0]]).import_key(self._key)


def _checked_method(method: str | None, *, secret: bool, key: bool) -> str:
    if secret and key:
        raise ConfigurationError("client_secret and private_key both authenticate the client; give only one of them")
    if method is None:
        return "private_key_jwt" if key else "client_secret_basic" if secret else "none"
    if method not in METHODS:
        raise ConfigurationError(f"token_endpoint_auth_method must be one of {', '.join(METHODS)}")
    if secret != (method in _NEEDS_SECRET):
        raise ConfigurationError(
            f"token_endpoint_auth_method {method} {'cannot use' if secret else 'needs'} a client_secret"
        )
    if key != (method == "private_key_jwt"):
        raise ConfigurationError(
            f"token_endpoint_auth_method {method} {'cannot use' if key else 'needs'} a private_key"
        )
    return method


def _signing_key(pem: object) -> tuple[str, Secret]:
    """Return the algorithm that *pem* signs with, and the key in PKCS #8."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - takes long to load, and other logins do not need it
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    if not isinstance(pem, str | bytes):
        raise ConfigurationError(f"private_key must be PEM text, not {type(pem).__name__}")
    key: Any = None
    with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm):
        key = serialization.load_pem_private_key(pem.encode() if isinstance(pem, str) else pem, password=None)
    algorithm = _algorithm(key)
    if algorithm is None:
        raise ConfigurationError(
            "private_key must be an unencrypted PEM private key for signing: RSA (2048 bits or more), EC P-256, P-384 or P-521, or Ed25519"
        )
    # Kept as text and not as a key object: joserfc, which needs its own, loads with the first login.
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return algorithm, Secret(key.private_bytes(*form).decode())


def _algorithm(key: Any) -> str | None:
    """Return the name of *key*'s algorithm (RFC 7518, section 3.1; RFC 8037, section 3.1)."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415 - see above

    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256" if key.key_size >= _SHORTEST_RSA_KEY else None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _CURVES.get(key.curve.name)
    return "EdDSA" if isinstance(key, ed25519.Ed25519PrivateKey) else None
