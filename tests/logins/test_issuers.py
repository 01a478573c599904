"""OAuth2Login at real issuers: oidc-provider on node, and authlib's server in this process."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    AuthorizationServer,
    ClientMixin,
    OAuth2Request,
    grants,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload  # type: ignore[import-untyped]
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion, JWTBearerGrant  # type: ignore[import-untyped]
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jwk, jwt
from yarl import URL

from exterview_auth import CredentialsRejectedError, ExterviewAuth, LoginError, OAuth2Login
from exterview_auth._token import jwt_claims
from tests.kit.login_endpoint import EMAIL, KEY, PASSWORD
from tests.kit.oidc_provider import oidc_provider

SECRET = "s3cr:t/with+reserved %characters"
KEYS: dict[str, Any] = {"rsa": rsa.generate_private_key(65537, 2048), "ec": ec.generate_private_key(ec.SECP256R1()), "ed": ed25519.Ed25519PrivateKey.generate()}  # fmt: skip


def pem(name: str) -> bytes:
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    text: bytes = KEYS[name].private_bytes(*form)
    return text


def public(name: str) -> dict[str, Any]:
    kind: Any = {"rsa": jwk.RSAKey, "ec": jwk.ECKey, "ed": jwk.OKPKey}[name]
    return dict(kind.import_key(pem(name)).as_dict(private=False))


def owner(login: OAuth2Login, **options: Any) -> ExterviewAuth:
    return ExterviewAuth(login, api_key=KEY, endpoint="https://api.example/graphql", **options)


# -- oidc-provider ------------------------------------------------------------------------------------------------------

MACHINE: dict[str, Any] = {"grant_types": ["client_credentials"], "redirect_uris": [], "response_types": []}
ALGORITHMS = {"RS384": "rsa", "PS256": "rsa", "ES256": "ec", "Ed25519": "ed"}


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[URL]:
    """The issuer of an oidc-provider with a client for each way to authenticate."""
    clients: list[dict[str, Any]] = [
        *({**MACHINE, "client_id": f"c:{method}", "client_secret": SECRET, "token_endpoint_auth_method": method} for method in ("client_secret_basic", "client_secret_post")),
        *({**MACHINE, "client_id": algorithm, "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": algorithm, "jwks": {"keys": [public(key)]}} for algorithm, key in ALGORITHMS.items()),
    ]  # fmt: skip
    async with oidc_provider(clients) as issuer:
        yield URL(issuer)


async def test_oidc_provider_takes_every_client_authentication(provider: URL) -> None:
    """With its issuer as the assertion's only audience, any algorithm, and ids and secrets with reserved characters."""
    logins = [
        OAuth2Login(provider / "token", f"c:{method}", SECRET, token_endpoint_auth_method=method)
        for method in ("client_secret_basic", "client_secret_post")
    ] + [
        OAuth2Login(provider / "token", algorithm, private_key=pem(key), algorithm=algorithm, audience=str(provider).rstrip("/"))
        for algorithm, key in ALGORITHMS.items()
    ]  # fmt: skip
    for login in logins:
        async with owner(login) as auth:
            assert (await auth.token()).expires_at is not None


async def test_oidc_provider_refuses_what_is_wrong(provider: URL) -> None:
    """A wrong secret, another algorithm and another audience are refusals of the client; a wrong grant is the program's."""
    at, client = provider / "token", "c:client_secret_basic"
    wrong = [
        OAuth2Login(at, client, "wrong"),
        OAuth2Login(at, "PS256", private_key=pem("rsa"), audience=str(provider).rstrip("/")),
        OAuth2Login(at, "PS256", private_key=pem("rsa"), algorithm="PS256", audience="https://other.example"),
    ]
    for login in wrong:
        async with owner(login) as auth:
            with pytest.raises(CredentialsRejectedError, match="invalid_client") as caught:
                await auth.token()
            assert caught.value.reason == "client"
    async with owner(OAuth2Login(at, client, SECRET, grant_type="urn:example:unknown")) as auth:
        with pytest.raises(LoginError, match="unsupported_grant_type") as misfit:
            await auth.token()
        assert type(misfit.value) is LoginError


async def test_oidc_provider_gets_each_resource(provider: URL) -> None:
    """RFC 8707: one is the token's audience; of two it says that they are too many for one token."""
    at, client = provider / "token", "c:client_secret_basic"
    async with owner(OAuth2Login(at, client, SECRET, resource="https://api.example", scope="api.read")) as auth:
        claims = jwt_claims((await auth.token()).value)
    assert (claims["aud"], claims["scope"]) == ("https://api.example", "api.read")
    async with owner(OAuth2Login(at, client, SECRET, resource=["https://a.example", "https://b.example"])) as auth:
        with pytest.raises(LoginError, match="only a single resource indicator"):
            await auth.token()


# -- authlib ------------------------------------------------------------------------------------------------------------

ISSUER = "https://issuer.example"


class Client(ClientMixin):  # type: ignore[misc]
    """The one client, which may do everything."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return True

    def check_grant_type(self, grant_type: str) -> bool:
        return True


class Request(OAuth2Request):  # type: ignore[misc]
    """A token request, with its form."""

    def __init__(self, headers: Any, form: dict[str, str]) -> None:
        super().__init__("POST", f"{ISSUER}/token", headers=headers)
        self.payload = BasicOAuth2Payload(form)

    @property
    def form(self) -> dict[str, str]:
        fields: dict[str, str] = self.payload.data
        return fields


class Password(grants.ResourceOwnerPasswordCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]

    def authenticate_user(self, username: str, password: str) -> object:
        return (username, password) == (EMAIL, PASSWORD) or None


class Refresh(grants.RefreshTokenGrant):  # type: ignore[misc]
    INCLUDE_NEW_REFRESH_TOKEN = True
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]

    def authenticate_refresh_token(self, refresh_token: str) -> object:
        known: set[str] = self.server.refresh_tokens
        return known.discard(refresh_token) or Credential() if refresh_token in known else None  # type: ignore[func-returns-value]

    def authenticate_user(self, refresh_token: object) -> object:
        return EMAIL

    def revoke_old_credential(self, refresh_token: object) -> None:
        """Done when it is presented."""


class Credential:
    """A refresh token's record."""

    def check_client(self, client: object) -> bool:
        return True

    def get_scope(self) -> str:
        return ""


class Assertion(JWTBearerClientAssertion):  # type: ignore[misc]
    CLIENT_AUTH_METHOD = "private_key_jwt"

    def get_audiences(self) -> list[str]:
        return [ISSUER]

    def validate_jti(self, claims: object, jti: str) -> bool:
        return bool(jti)

    def resolve_client_public_key(self, client: object) -> Any:
        return jwk.RSAKey.import_key(pem("rsa"))


class ByAssertion(grants.ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ["private_key_jwt", "client_secret_basic"]


class Bearer(JWTBearerGrant):  # type: ignore[misc]
    def get_audiences(self) -> list[str]:
        return [ISSUER]

    def resolve_issuer_client(self, issuer: str) -> Client:
        return Client(issuer)

    def resolve_client_public_key(self, client: object) -> Any:
        return jwk.RSAKey.import_key(pem("rsa"))

    def authenticate_user(self, subject: str) -> str | None:
        return subject if subject == EMAIL else None

    def has_granted_permission(self, client: object, user: object) -> bool:
        return True


class Issuer(AuthorizationServer):  # type: ignore[misc]
    """authlib's server, which knows no framework."""

    def __init__(self) -> None:
        super().__init__()
        self.refresh_tokens: set[str] = set()
        self.grants: list[str] = []
        self.register_token_generator("default", self.issue)
        self.register_client_auth_method("private_key_jwt", Assertion())
        for grant in (Password, Refresh, ByAssertion, Bearer):
            self.register_grant(grant)

    def issue(self, *, include_refresh_token: bool = True, **_: Any) -> dict[str, Any]:
        token = {"token_type": "Bearer", "access_token": secrets.token_urlsafe(), "expires_in": 3600}
        if include_refresh_token:
            token["refresh_token"] = secrets.token_urlsafe()
            self.refresh_tokens.add(str(token["refresh_token"]))
        return token

    def query_client(self, client_id: str) -> Client | None:
        return Client(client_id) if client_id == "client" else None

    def save_token(self, token: object, request: object) -> None:
        """Nobody asks for it again."""

    def send_signal(self, name: str, *args: Any, **options: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: Request) -> Request:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> web.Response:
        return web.Response(text=json.dumps(body), status=status, headers=dict(headers))

    async def answer(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.grants.append(form["grant_type"].rpartition(":")[2])
        response: web.Response = self.create_token_response(Request(request.headers, form))
        return response


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[tuple[Issuer, URL]]:
    """A server of authlib, and its token endpoint."""
    made = Issuer()
    app = web.Application()
    app.router.add_post("/token", made.answer)
    async with TestServer(app) as server:
        yield made, server.make_url("/token")


USER: dict[str, Any] = {"grant_type": "password", "username": EMAIL, "password": PASSWORD}


async def test_authlib_rotates_refresh_tokens_and_a_dead_one_leads_to_the_full_grant(
    issuer: tuple[Issuer, URL],
) -> None:
    """In the same flight, with one request for each grant that is tried."""
    server, at = issuer
    async with owner(OAuth2Login(at, "client", SECRET, **USER)) as auth:
        for alive in (True, True, False, True):
            token = await auth.token()
            auth.invalidate(token)
            if not alive:
                server.refresh_tokens.clear()
        await auth.token()
    assert server.grants == ["password", "refresh_token", "refresh_token", "refresh_token", "password", "refresh_token"]


async def test_authlib_refuses_a_wrong_user_and_a_wrong_client(issuer: tuple[Issuer, URL]) -> None:
    """And each is told from the other, once."""
    server, at = issuer
    wrong = {
        "user": OAuth2Login(at, "client", SECRET, **{**USER, "password": "wrong"}),
        "client": OAuth2Login(at, "client", "wrong", **USER),
    }
    for reason, login in wrong.items():
        async with owner(login) as auth:
            for _ in range(3):
                with pytest.raises(CredentialsRejectedError) as caught:
                    await auth.token()
            assert caught.value.reason == reason
    assert server.grants == ["password", "password"]


async def test_authlib_takes_an_assertion_for_its_issuer(issuer: tuple[Issuer, URL]) -> None:
    """RFC 7523, section 2.2: of another algorithm than the usual one; for the token endpoint it is refused."""
    _, at = issuer
    async with owner(OAuth2Login(at, "client", private_key=pem("rsa"), audience=ISSUER)) as auth:
        assert await auth.token()
    async with owner(OAuth2Login(at, "client", private_key=pem("rsa"))) as auth:
        with pytest.raises(CredentialsRejectedError):
            await auth.token()


async def test_authlib_takes_a_jwt_as_grant(issuer: tuple[Issuer, URL]) -> None:
    """RFC 7523, section 2.1: with an assertion that is made for each login."""
    _, at = issuer

    def assertion() -> str:
        claims = {"iss": "client", "sub": EMAIL, "aud": ISSUER, "exp": int(time.time()) + 60, "iat": int(time.time())}
        return jwt.encode({"alg": "RS256"}, claims, jwk.RSAKey.import_key(pem("rsa")))

    grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    async with owner(OAuth2Login(at, "client", SECRET, grant_type=grant, assertion=assertion)) as auth:
        first = await auth.token()
        auth.invalidate(first)
        assert (await auth.token()).value != first.value
