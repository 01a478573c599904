"""How an OAuth client authenticates to the token endpoint (RFC 6749, section 2.3; RFC 7523, section 2.2)."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, NoReturn
from urllib.parse import parse_qsl, quote

from .._calls import CallableValue
from .._options import optional_text, text_option
from .._secret import Secret, plain_kind, refuse_pickling
from ..errors import ConfigurationError
from ._secret_source import SecretOption, optional_source

KeyOption = str | bytes | Callable[[], "str | bytes | Awaitable[str | bytes]"]
"""A private key as an argument: PEM text, or a sync or async callable without arguments that returns it."""

METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt", "none")

ASSERTION_LIFETIME = 300
"""Seconds: enough for clocks that differ, and within what providers accept (some refuse assertions of an hour)."""

_NEEDS_SECRET = ("client_secret_basic", "client_secret_post")
_SHORTEST_RSA_KEY = 2048  # bits; RFC 7518, section 3.3
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": ("ES256",), "secp384r1": ("ES384",), "secp521r1": ("ES512",)}
_ED25519 = ("EdDSA", "Ed25519")
ALGORITHMS = (*_RSA, *(name for names in _CURVES.values() for name in names), *_ED25519)
"""Names by RFC 7518, section 3.1, RFC 8037, section 3.1, and RFC 9864."""


class TokenRequest(NamedTuple):
    """A request that authenticates the client, and the texts that no message may repeat."""

    headers: Mapping[str, str]
    body: Secret
    secrets: tuple[str, ...]


class _SigningKey(NamedTuple):
    """A private key in PKCS #8, and the algorithm that it signs with."""

    algorithm: str
    pem: Secret


class ClientAuthentication:
    """A client's id, with its secret or private key: text, or a callable that is read for every request."""

    __slots__ = ("_algorithm", "_audience", "_key", "_key_id", "_key_source", "client_id", "method", "secret")

    def __init__(
        self,
        client_id: str,
        client_secret: SecretOption | None,
        private_key: KeyOption | None,
        method: str | None,
        *,
        key_id: str | None,
        algorithm: str | None,
        audience: list[str] | str | None,
    ) -> None:
        self.client_id = text_option(client_id, "client_id")
        self.secret = optional_source(client_secret, "client_secret")
        self.method = _checked_method(method, secret=client_secret is not None, key=private_key is not None)
        self._key_id = optional_text(key_id, "key_id")
        self._algorithm = _checked_algorithm(algorithm, key=private_key is not None)
        self._audience = audience
        self._key_source = CallableValue(private_key) if callable(private_key) else None
        # A key that is text is checked now: a wrong one is a mistake of the program, not a failure of its first login.
        fixed = private_key is not None and self._key_source is None
        self._key = _signing_key(private_key, self._algorithm) if fixed else None

    async def prepare(self, endpoint: str, form: str) -> TokenRequest:
        """Return the request of *form* to *endpoint*, authenticated by authlib."""
        from authlib.oauth2.auth import ClientAuth  # type: ignore[import-untyped]  # noqa: PLC0415 - no stubs; loads on first use

        client_id = self.client_id
        secret: Any = None if self.secret is None else await self.secret.read()
        method: Any = self.method
        if method == "private_key_jwt":
            key = await self._read_key()
            secret, method = _jose_key(key), self._assertion(endpoint, key.algorithm)
        elif method == "client_secret_basic":
            # RFC 6749, section 2.3.1: both texts are form-encoded first. authlib's client does not do it, and its server does
            # not read a "+" as a space; "%20" is read by all.
            client_id, secret = quote(client_id, safe=""), Secret(quote(secret, safe=""))
        _, headers, body = ClientAuth(client_id, secret, method).prepare("POST", endpoint, {}, form)
        # What is derived from the secret must not be shown either: servers repeat the Basic header, or the assertion.
        kept = {name: Secret(value) for name, value in headers.items()}
        basic = (value.partition(" ")[2] for value in kept.values())
        assertion = (Secret(value) for name, value in parse_qsl(body) if name == "client_assertion")
        plain = (secret,) if isinstance(secret, str) else ()
        last = () if self.secret is None or self.secret.last is None else (self.secret.last,)
        return TokenRequest(kept, Secret(body), tuple(text for text in (*plain, *last, *basic, *assertion) if text))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        refuse_pickling(self)

    async def _read_key(self) -> _SigningKey:
        if self._key_source is not None:
            return _signing_key(await self._key_source.read(), self._algorithm)
        assert self._key is not None
        return self._key

    def _assertion(self, endpoint: str, algorithm: str) -> Any:
        """Return a new signer for each request: an assertion's ``jti`` is used once (RFC 7523, section 3)."""
        from authlib.oauth2.rfc7523 import PrivateKeyJWT  # type: ignore[import-untyped]  # noqa: PLC0415 - no stubs; first use

        class Signer(PrivateKeyJWT):  # type: ignore[misc] # authlib has no stubs
            def sign(self, auth: Any, token_endpoint: str) -> Any:
                # joserfc warns that RFC 9864 has a new name for "EdDSA". Servers know the old one.
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    return super().sign(auth, token_endpoint)

        return Signer(
            self._audience or endpoint,
            claims={"exp": int(time.time()) + ASSERTION_LIFETIME},
            headers={} if self._key_id is None else {"kid": self._key_id},
            alg=algorithm,
        )


def _jose_key(key: _SigningKey) -> Any:
    from joserfc import jwk  # noqa: PLC0415 - loads on first use

    kind: Any = jwk.RSAKey if key.algorithm in _RSA else jwk.OKPKey if key.algorithm in _ED25519 else jwk.ECKey
    return kind.import_key(key.pem)


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


def _checked_algorithm(algorithm: object, *, key: bool) -> str | None:
    if algorithm is None:
        return None
    if not key:
        raise ConfigurationError("algorithm needs a private_key, which it signs with")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise ConfigurationError(f"algorithm must be one of {', '.join(ALGORITHMS)}")
    return algorithm


def _signing_key(pem: object, algorithm: str | None) -> _SigningKey:
    """Return the key in *pem* for *algorithm*, or for the first one that it can sign with."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - takes long to load, and other logins do not need it
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    if not isinstance(pem, str | bytes):
        raise ConfigurationError(f"private_key must be PEM text, not {plain_kind(pem)}")
    key: Any = None
    with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm):
        key = serialization.load_pem_private_key(pem.encode() if isinstance(pem, str) else pem, password=None)
    fitting = _algorithms(key)
    if not fitting:
        raise ConfigurationError(
            "private_key must be an unencrypted PEM private key for signing: RSA (2048 bits or more), EC P-256, P-384 or P-521, or Ed25519"
        )
    if algorithm is not None and algorithm not in fitting:
        raise ConfigurationError(
            f"algorithm {algorithm} does not fit this private_key; use one of {', '.join(fitting)}"
        )
    # Kept as text and not as a key object: joserfc, which needs its own, loads with the first login.
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return _SigningKey(algorithm or fitting[0], Secret(key.private_bytes(*form).decode()))


def _algorithms(key: Any) -> tuple[str, ...]:
    """Return the names of the algorithms that *key* can sign with, the usual one first."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415 - see above

    if isinstance(key, rsa.RSAPrivateKey):
        return _RSA if key.key_size >= _SHORTEST_RSA_KEY else ()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _CURVES.get(key.curve.name, ())
    return _ED25519 if isinstance(key, ed25519.Ed25519PrivateKey) else ()
