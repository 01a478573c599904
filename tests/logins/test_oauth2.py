"""OAuth2Login: grants, rotation, client authentication, and what each refusal is called."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import re
import time
import warnings
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, unquote_plus

import pytest
from aiohttp import ClientSession
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import PrivateFormat
from joserfc import jwk, jws

from exterview_auth._seconds import MAX_SECONDS
from exterview_auth._token import Token
from exterview_auth.errors import (
    ConfigurationError,
    CredentialsRejectedError,
    InsecureTransportError,
    LoginError,
    LoginUnavailableError,
)
from exterview_auth.logins import OAuth2Login
from exterview_auth.logins._context import IdentifiedLogin
from exterview_auth.logins._oauth2_response import read_token
from exterview_auth.logins._request import post
from tests.kit import login_endpoint as kit
from tests.kit.login_endpoint import OLD, OLD_REFRESH, PASSWORD, SECRET, LoginEndpoint, Reply, login_endpoint, raised

FINE = Reply(200, {"access_token": "t-1", "token_type": "Bearer", "expires_in": 60})
DEAD = Reply(400, {"error": "invalid_grant"})
USER: dict[str, Any] = {"grant_type": "password", "username": "ada", "password": PASSWORD}


async def log_in(endpoint: LoginEndpoint, *secret: str, previous: Token | None = None, **options: Any) -> Token:
    """One login of the client with *options*."""
    return await kit.log_in(OAuth2Login(endpoint.url, "client", *secret, **options), endpoint.url, previous)


async def refusal(*replies: Reply, previous: Token | None = None, **options: Any) -> LoginError:
    """The error of one login that gets *replies* and makes one request; it shows no secret."""
    async with login_endpoint(*replies) as endpoint:
        error = await kit.refusal(OAuth2Login(endpoint.url, "client", **options), endpoint.url, previous)
    assert len(endpoint.bodies) == 1
    return error


def pem_of(key: Any, form: PrivateFormat = PrivateFormat.PKCS8, *, encrypted: bool = False) -> str:
    encryption = serialization.BestAvailableEncryption(b"x") if encrypted else serialization.NoEncryption()
    text: bytes = key.private_bytes(serialization.Encoding.PEM, form, encryption)
    return text.decode()


async def test_client_credentials_are_the_default_grant() -> None:
    """Scope, further fields and further headers go along; the secret is in the header only, the API key nowhere."""
    async with login_endpoint(FINE) as endpoint:
        tenant = {"X-Tenant": "acme", "content-type": "text/plain"}
        token = await log_in(endpoint, SECRET, scope=["read", "write"], audience="https://api", headers=tenant)
    assert (token.value, token.expires_in, token.refresh_token) == ("t-1", 60.0, None)
    assert endpoint.forms == [{"grant_type": "client_credentials", "scope": "read write", "audience": "https://api"}]
    [headers] = endpoint.headers
    assert headers["X-Tenant"] == "acme"
    assert headers.getall("Content-Type") == ["application/x-www-form-urlencoded"]
    assert headers["Accept"] == "application/json"
    assert "x-api-key" not in {name.lower() for name in headers}


@pytest.mark.parametrize(("client", "secret"), [("id", "plain"), ("a:b c", "p%s/:=+ é&"), ("ünï", "~._-*")])
async def test_basic_encodes_id_and_secret_as_a_form_first(client: str, secret: str) -> None:
    """RFC 6749, section 2.3.1: the colon that separates them stands alone, and every character survives."""
    async with login_endpoint(FINE) as endpoint:
        await kit.log_in(OAuth2Login(endpoint.url, client, secret), endpoint.url)
    scheme, _, encoded = endpoint.headers[0]["Authorization"].partition(" ")
    name, colon, rest = base64.b64decode(encoded).decode("ascii").partition(":")
    for decode in (unquote_plus, unquote):  # some servers decode a form, and some a URL
        assert (scheme, colon, decode(name), decode(rest)) == ("Basic", ":", client, secret)
    assert ":" not in rest
    assert "client_secret" not in endpoint.forms[0]
    assert "client_id" not in endpoint.forms[0]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"client_secret": SECRET, "token_endpoint_auth_method": "client_secret_post"}, {"client_secret": SECRET}),
        (USER, USER),
    ],
)
async def test_a_client_is_named_in_the_body(options: dict[str, Any], named: dict[str, str]) -> None:
    """RFC 6749, sections 2.3.1 and 3.2.1: with its secret, or as a public client without one; the header is empty."""
    async with login_endpoint(FINE) as endpoint:
        await log_in(endpoint, **options)
    assert endpoint.forms[0] == {"grant_type": "client_credentials", "client_id": "client", **named}
    assert "Authorization" not in endpoint.headers[0]


@pytest.mark.parametrize(
    ("make", "form", "algorithm"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), PrivateFormat.TraditionalOpenSSL, "RS256"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), PrivateFormat.TraditionalOpenSSL, "ES256"),
        (lambda: ec.generate_private_key(ec.SECP384R1()), PrivateFormat.PKCS8, "ES384"),
        (lambda: ec.generate_private_key(ec.SECP521R1()), PrivateFormat.PKCS8, "ES512"),
        (ed25519.Ed25519PrivateKey.generate, PrivateFormat.PKCS8, "EdDSA"),
    ],
)
async def test_private_key_jwt_is_signed_for_the_token_endpoint(
    make: Callable[[], Any], form: PrivateFormat, algorithm: str
) -> None:
    """RFC 7523, section 3: issuer and subject are the client, the audience is the endpoint, the id is used once."""
    key = make()
    async with login_endpoint(FINE) as endpoint:
        login = OAuth2Login(endpoint.url, "client", private_key=pem_of(key, form).encode(), key_id="k-1")
        for _ in range(2):
            await kit.log_in(login, endpoint.url)
    seen = set()
    for request in endpoint.forms:
        assert request.keys() == {"grant_type", "client_assertion_type", "client_assertion"}
        assert request["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        header, claims = verified(request["client_assertion"], key.public_key(), algorithm)
        assert (header["alg"], header["kid"]) == (algorithm, "k-1")
        assert (claims["iss"], claims["sub"], claims["aud"]) == ("client", "client", str(endpoint.url))
        assert 0 < claims["exp"] - time.time() <= 300
        seen.add(claims["jti"])
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        *((lambda: rsa.generate_private_key(65537, 2048), algorithm) for algorithm in ("RS384", "RS512", "PS256", "PS512")),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ed25519.Ed25519PrivateKey.generate, "Ed25519"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("audience", ["https://issuer.example/", ["https://a.example", "https://b.example"]])
async def test_algorithm_and_audience_of_the_assertion_are_the_callers(
    make: Callable[[], Any], algorithm: str, audience: str | list[str]
) -> None:
    """RFC 7523, section 3: providers that want their issuer as audience, or another algorithm, name it in their metadata."""
    key = make()
    async with login_endpoint(FINE) as endpoint:
        await log_in(endpoint, private_key=pem_of(key), algorithm=algorithm, audience=audience, resource="https://api")
    [request] = endpoint.forms
    header, claims = verified(request["client_assertion"], key.public_key(), algorithm)
    assert (header["alg"], claims["aud"]) == (algorithm, audience)
    assert request.keys() == {"grant_type", "client_assertion_type", "client_assertion", "resource"}


async def test_the_audience_of_the_api_can_stand_beside_that_of_the_assertion() -> None:
    """Auth0 wants both: ``form`` has the fields whose names are options of the login."""
    key = ec.generate_private_key(ec.SECP256R1())
    async with login_endpoint(FINE) as endpoint:
        issuer = "https://tenant.example/"
        await log_in(endpoint, private_key=pem_of(key), audience=issuer, form={"audience": "https://api"})
    [request] = endpoint.forms
    assert request["audience"] == "https://api"
    assert verified(request["client_assertion"], key.public_key(), "ES256")[1]["aud"] == issuer


async def test_a_list_sends_a_field_more_than_once() -> None:
    """RFC 8707, section 2: ``resource`` for each API that the token is for."""
    async with login_endpoint(FINE) as endpoint:
        await log_in(endpoint, SECRET, resource=["https://a.example", "https://b.example"], audience=("x", "y"))
    assert endpoint.fields == [
        {
            "grant_type": ["client_credentials"],
            "resource": ["https://a.example", "https://b.example"],
            "audience": ["x", "y"],
        }
    ]


@pytest.mark.parametrize(
    ("grant", "options"),
    [
        ("account_credentials", {"account_id": "acme"}),  # Zoom
        ("http://auth0.com/oauth/grant-type/password-realm", {"username": "ada", "password": PASSWORD, "realm": "staff"}),
        ("http://auth0.com/oauth/grant-type/passwordless/otp", {"username": "ada", "otp": "135790"}),
        ("urn:ietf:params:oauth:grant-type:jwt-bearer", {"assertion": "a.b.c"}),
        ("urn:ietf:params:oauth:grant-type:token-exchange", {"subject_token": "s", "subject_token_type": "urn:x", "scope": "a"}),
        ("authorization_code", {"code": "c", "redirect_uri": "https://app.example/cb"}),
    ],
)  # fmt: skip
async def test_any_other_grant_is_sent_as_it_is(grant: str, options: dict[str, Any]) -> None:
    """RFC 6749, section 4.5: with the user and the fields given, and a refresh token that came with the last token first."""
    async with login_endpoint(FINE, DEAD, FINE) as endpoint:
        await log_in(endpoint, SECRET, grant_type=grant, **options)
        await log_in(endpoint, SECRET, grant_type=grant, previous=OLD, **options)
    sent, renewal, again = endpoint.forms
    assert sent == again == {"grant_type": grant, **options}
    assert renewal["refresh_token"] == OLD_REFRESH


async def test_secrets_are_read_at_each_login() -> None:
    """Sync or async: a rotated secret, password, key or assertion is used with no restart."""
    numbers = iter(range(10))

    async def assertion() -> str:
        return f"assertion-{next(numbers)}"

    key = ec.generate_private_key(ec.SECP256R1())
    async with login_endpoint(FINE) as endpoint:
        login = OAuth2Login(
            endpoint.url,
            "client",
            lambda: f"secret-{next(numbers)}",
            grant_type="password",
            username="ada",
            password=lambda: f"password-{next(numbers)}",
            token_endpoint_auth_method="client_secret_post",
            assertion=assertion,
        )
        for _ in range(2):
            await kit.log_in(login, endpoint.url)
        signed = OAuth2Login(endpoint.url, "client", private_key=lambda: pem_of(key).encode(), algorithm="ES256")
        await kit.log_in(signed, endpoint.url)
    for form, last in zip(endpoint.forms[:2], (2, 5), strict=True):
        read = {form[name].partition("-")[2] for name in ("client_secret", "password", "assertion")}
        assert max(map(int, read)) == last
        assert len(read) == 3
    assert verified(endpoint.forms[2]["client_assertion"], key.public_key(), "ES256")
    assert set(login._known_secrets()) >= {
        form for form in endpoint.forms[1].values() if form[-1] in "345" and "-" in form
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"client_secret": lambda: 7}, "client_secret must be text, not int"),
        ({"client_secret": lambda: ""}, "client_secret is empty"),
        ({"private_key": lambda: "no pem"}, "private_key must be an unencrypted PEM"),
        ({"private_key": lambda: pem_of(ec.generate_private_key(ec.SECP256R1())), "algorithm": "RS256"}, "algorithm RS256 does not fit"),
        ({"otp": lambda: None}, "otp must be text, not NoneType"),
    ],
)  # fmt: skip
async def test_a_callable_that_returns_nonsense_is_named(options: dict[str, Any], said: str) -> None:
    """And nothing is sent."""
    async with login_endpoint(FINE) as endpoint:
        with pytest.raises(ConfigurationError, match=f"^{said}") as caught:
            await log_in(endpoint, **options)
    assert (endpoint.bodies, caught.value.__context__) == ([], None)


def test_a_field_that_is_read_at_each_login_leaves_the_account_without_a_name() -> None:
    """Two users' assertions must not share a token in a store: it asks for ``account=``. A proof changes nothing."""
    assert OAuth2Login(URL_OK, "client", SECRET, assertion=lambda: "x").identity is None
    assert (
        OAuth2Login(URL_OK, "client", SECRET, otp=lambda: "x").identity
        == OAuth2Login(URL_OK, "client", SECRET).identity
    )


def verified(assertion: str, public: Any, algorithm: str) -> tuple[dict[str, Any], dict[str, Any]]:
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    kind: Any = {"R": jwk.RSAKey, "P": jwk.RSAKey, "E": jwk.OKPKey if algorithm.startswith("Ed") else jwk.ECKey}[
        algorithm[0]
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checked = jws.deserialize_compact(assertion, kind.import_key(pem), algorithms=[algorithm])
    return dict(checked.headers()), json.loads(checked.payload)


@pytest.mark.parametrize(
    "options", [{"scope": "a"}, USER, {"grant_type": "refresh_token", "refresh_token": "configured"}]
)
async def test_the_newest_refresh_token_goes_first(options: dict[str, Any]) -> None:
    """Whatever the grant, and with its scope: the successor of the refresh token is handed on."""
    async with login_endpoint(Reply(200, {"access_token": "t-2", "refresh_token": "rotated"})) as endpoint:
        token = await log_in(endpoint, SECRET, previous=OLD, **options)
    scope = {"scope": options["scope"]} if "scope" in options else {}
    assert endpoint.forms == [{"grant_type": "refresh_token", "refresh_token": OLD_REFRESH, **scope}]
    assert (token.value, token.refresh_token) == ("t-2", "rotated")


async def test_a_refresh_token_is_kept_until_a_new_one_comes() -> None:
    """RFC 6749, section 6: the server may, but need not, issue a new one."""
    async with login_endpoint(FINE) as endpoint:
        options: dict[str, Any] = {"grant_type": "refresh_token", "refresh_token": "configured", "scope": "a"}
        assert (await log_in(endpoint, SECRET, **options)).refresh_token == "configured"
        assert (await log_in(endpoint, SECRET, previous=OLD, **options)).refresh_token == OLD_REFRESH
    assert [form["refresh_token"] for form in endpoint.forms] == ["configured", OLD_REFRESH]
    assert [form["scope"] for form in endpoint.forms] == ["a", "a"]


@pytest.mark.parametrize(
    "reply",
    [
        *(DEAD._replace(status=status) for status in (200, 400, 401, 403, 500)),
        Reply(401, {}),
        Reply(401, {"error": "invalid_token"}),
        *(
            Reply(400, {"error": code})
            for code in (
                "unauthorized_client", "unsupported_grant_type", "invalid_request", "invalid_scope", "invalid_target",
                "invalid_client", "bad_refresh_token",
            )
        ),
        Reply(400, b"invalid_grant", {"Content-Type": "text/plain"}),
        Reply(404, {}),
    ],
)  # fmt: skip
async def test_a_refused_refresh_token_falls_back_to_the_full_grant(reply: Reply) -> None:
    """In the same login, whatever a server calls it (``invalid_request`` is common); the refresh token is forgotten."""
    async with login_endpoint(reply, FINE) as endpoint:
        token = await log_in(endpoint, SECRET, previous=OLD)
    assert [form["grant_type"] for form in endpoint.forms] == ["refresh_token", "client_credentials"]
    assert (token.value, token.refresh_token) == ("t-1", None)


async def test_a_dead_rotated_refresh_token_tries_the_configured_one_then_the_password() -> None:
    """Each once."""
    async with login_endpoint(DEAD, DEAD, FINE) as endpoint:
        options = {**USER, "grant_type": "refresh_token", "refresh_token": "configured"}
        token = await log_in(endpoint, SECRET, previous=OLD, **options)
    assert [form.get("refresh_token") for form in endpoint.forms] == [OLD_REFRESH, "configured", None]
    assert endpoint.forms[2]["grant_type"] == "password"
    assert token.value == "t-1"


@pytest.mark.parametrize(
    "reply", [DEAD, Reply(400, {"error": "invalid_request", "error_description": "session not found"})]
)
async def test_a_refresh_token_with_nothing_behind_it_is_a_rejection(reply: Reply) -> None:
    """Whatever the code; the same token is not presented twice."""
    error = await refusal(reply, previous=OLD, grant_type="refresh_token", refresh_token=OLD_REFRESH)
    assert isinstance(error, CredentialsRejectedError)
    assert error.reason == "refresh_token"


@pytest.mark.parametrize(
    "reply",
    [Reply(503, {}), Reply(429, {}), Reply(400, {"error": "server_error"}), Reply(400, {"error": "unknown_error"})],
)
async def test_a_server_in_trouble_says_nothing_about_the_refresh_token(reply: Reply) -> None:
    """It is asked again for the same: the refresh token may be alive, and the full grant would lose it."""
    assert isinstance(await refusal(reply, previous=OLD, client_secret=SECRET), LoginUnavailableError)


async def test_the_refusal_of_the_full_grant_is_the_logins() -> None:
    """A wrong client or a wrong URL refuses every grant alike, and the last answer says so."""
    async with login_endpoint(Reply(401, {"error": "invalid_client"})) as endpoint:
        error = await kit.refusal(OAuth2Login(endpoint.url, "client", SECRET), endpoint.url, OLD)
    assert isinstance(error, CredentialsRejectedError)
    assert (error.reason, len(endpoint.bodies)) == ("client", 2)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 503])
@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        ("invalid_grant", CredentialsRejectedError, "user"),
        ("invalid_client", CredentialsRejectedError, "client"),
        ("unauthorized_client", CredentialsRejectedError, "client"),
        ("temporarily_unavailable", LoginUnavailableError, None),
        ("server_error", LoginUnavailableError, None),
        ("slow_down", LoginUnavailableError, None),
        ("internal_failure", LoginUnavailableError, None),  # Google
        ("unknown_error", LoginUnavailableError, None),  # Salesforce: "retry your request"
        ("Too-Many Requests", LoginUnavailableError, None),
        ("too_many_attempts", CredentialsRejectedError, "user"),  # Auth0 has blocked the account
        ("invalid_scope", LoginError, None),
        ("unsupported_grant_type", LoginError, None),
        ("invalid_request", LoginError, None),
    ],
)
async def test_the_oauth_error_outranks_the_status(
    status: int, error: str, kind: type[LoginError], reason: str | None
) -> None:
    """RFC 6749, section 5.2; providers send it with any status. The description is quoted without secrets."""
    reply = Reply(status, {"error": error, "error_description": f"no {PASSWORD}"}, {"Retry-After": "4"})
    failure = await refusal(reply, client_secret=SECRET, **USER)
    assert type(failure) is kind
    assert getattr(failure, "reason", None) == reason
    assert f"it answered {status}, '{error}: no ***'" in str(failure)
    assert getattr(failure, "retry_after", 4.0) == 4.0


@pytest.mark.parametrize(
    ("status", "payload", "kind", "reason"),
    [
        (429, {}, LoginUnavailableError, None),
        (500, {"error": "boom"}, LoginUnavailableError, None),
        (503, [], LoginUnavailableError, None),
        (400, {"error": "weird"}, CredentialsRejectedError, "client"),
        (401, {}, CredentialsRejectedError, "client"),
        (200, {"error": "weird"}, CredentialsRejectedError, "client"),
        (200, {"error": "invalid_grant"}, CredentialsRejectedError, None),
        (404, {"error": {}}, LoginError, None),
        (200, [], LoginError, None),
        (200, {}, LoginError, None),
        (200, {"access_token": 7}, LoginError, None),
        (200, {"access_token": ""}, LoginError, None),
        (200, {"access_token": "a\nb"}, LoginError, None),
        *(
            (200, {"access_token": "t", "token_type": kind}, LoginError, None)
            for kind in ("DPoP", "mac", "N_A", 7, ["bearer"])
        ),
    ],
)
async def test_without_a_known_error_the_status_decides(
    status: int, payload: object, kind: type[LoginError], reason: str | None
) -> None:
    """And a success needs a bearer token in it."""
    failure = await refusal(Reply(status, payload), client_secret=SECRET)
    assert type(failure) is kind
    assert getattr(failure, "reason", None) == reason
    if status == 401:  # client and user are both in the request of a password grant: neither is to blame
        assert getattr(await refusal(Reply(status, payload), client_secret=SECRET, **USER), "reason", "") is None


@pytest.mark.parametrize(
    ("token_type", "written", "seconds"),
    [
        ("bearer", "60", 60.0), ("BEARER", -1, None), (None, 1e300, MAX_SECONDS),
        ("BearerToken", 60, 60.0), ("Bearer ", 60, 60.0), ("bearer_token", 60, 60.0), ("jwt-bearer", "60", 60.0), ("", 60, 60.0),
    ],
)  # fmt: skip
async def test_types_and_lifetimes_as_servers_write_them(
    token_type: str | None, written: object, seconds: float | None
) -> None:
    """The type is written in any case and with more words (Apigee, Azure DevOps), or missing; odd lifetimes are capped or ignored."""
    members = {"access_token": "Bearer t", "token_type": token_type, "expires_in": written, "refresh_token": 7}
    async with login_endpoint(Reply(200, members)) as endpoint:
        token = await log_in(endpoint, SECRET)
    assert (token.value, token.expires_in, token.refresh_token) == ("t", seconds, None)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"access_token=t-1&token_type=bearer&expires_in=60&refresh_token=r%2B1", "application/x-www-form-urlencoded"),
        (b"access_token=t-1&expires=60&refresh_token=r%2B1", "text/plain; charset=UTF-8"),
        ('{"access_token":"t-1","expires_in":60,"refresh_token":"r+1","scope":"\u00e9"}'.encode("cp1252"), "application/json; charset=windows-1252"),
        ('\ufeff{"accessToken":"t-1","expiresIn":"60","refreshToken":"r+1"}'.encode(), "application/json"),
        (json.dumps({"access_token": "t-1", "expires_at": kit.NOW + 60, "refresh_token": "r+1"}).encode("utf-16"), "application/json; charset=utf-16"),
    ],
)  # fmt: skip
async def test_a_token_is_read_in_the_forms_that_servers_write(body: bytes, kind: str) -> None:
    """RFC 6749 says JSON, and some answer with a form, in a declared charset or with a byte order mark."""
    async with login_endpoint(Reply(200, body, {"Content-Type": kind})) as endpoint:
        token = await log_in(endpoint, SECRET)
    assert (token.value, token.expires_in, token.refresh_token) == ("t-1", 60.0, "r+1")


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        # Facebook, Google: the error is an object, also with status 200.
        (Reply(400, {"error": {"message": "Wrong secret", "type": "OAuthException", "code": 1}}), CredentialsRejectedError, "'Wrong secret'"),
        (Reply(200, {"error": {"message": "Wrong secret", "type": "OAuthException", "code": 1}}), CredentialsRejectedError, "'Wrong secret'"),
        (Reply(200, {"error": {"message": "Later", "code": 2, "is_transient": True}}), LoginUnavailableError, "'Later'"),
        (Reply(400, {"error": {"code": 503, "status": "UNAVAILABLE", "message": "Later"}}), LoginUnavailableError, "'Later'"),
        (Reply(404, {"error": {"code": "invalid_client", "message": "Who?"}}), CredentialsRejectedError, "'Who?'"),
        # Strava, Shopify, Zoom, Okta, Apigee: another name for the description.
        (Reply(400, {"message": "Bad Request", "errors": [{"field": "client_id", "code": "invalid"}]}), CredentialsRejectedError, "'Bad Request'"),
        (Reply(400, {"error": "application_cannot_be_found", "message": "No such app"}), CredentialsRejectedError, "'application_cannot_be_found: No such app'"),
        (Reply(400, {"reason": "Invalid client_id or client_secret", "error": "invalid_client"}), CredentialsRejectedError, "'invalid_client: Invalid client_id or client_secret'"),
        (Reply(401, {"errorCode": "invalid_client", "errorSummary": "Who?"}), CredentialsRejectedError, "'invalid_client: Who?'"),
        (Reply(401, {"ErrorCode": "invalid_client", "Error": "ClientId is Invalid"}), CredentialsRejectedError, "'ClientId is Invalid'"),
        (Reply(429, {"error": "too_many_attempts", "error_description": "Blocked"}), CredentialsRejectedError, "'too_many_attempts: Blocked'"),
        # GitHub's form, and sentences in other charsets.
        (Reply(200, b"error=incorrect_client_credentials&error_description=Who%3F", {"Content-Type": "application/x-www-form-urlencoded"}), CredentialsRejectedError, "'incorrect_client_credentials: Who?'"),
        (Reply(400, '{"error":"invalid_grant","error_description":"Passwort ung\u00fcltig"}'.encode("latin-1"), {"Content-Type": "application/json;charset=ISO-8859-1"}), CredentialsRejectedError, "ung\u00fcltig"),
        (Reply(400, "abgelehnt f\u00fcr Ada".encode("latin-1"), {"Content-Type": "text/plain; charset=iso-8859-1"}), CredentialsRejectedError, "'abgelehnt f\u00fcr Ada'"),
        (Reply(400, b"who?", {"Content-Type": "text/plain; charset=windows-9999"}), CredentialsRejectedError, "'who?'"),
        (Reply(200, b"&".join(b"f%d=1" % number for number in range(101)), {"Content-Type": "text/plain"}), LoginError, "text/plain instead of JSON"),
        (Reply(200, b"<a href='?x=1&error=2'>", {"Content-Type": "text/html"}), LoginError, "text/html instead of JSON"),
        (Reply(400, b"\xff", {"Content-Type": "text/plain; charset=unicode_escape"}), CredentialsRejectedError, "it answered 400"),
    ],
)  # fmt: skip
async def test_a_refusal_is_read_in_the_forms_that_vendors_write(
    reply: Reply, kind: type[LoginError], said: str
) -> None:
    """It is quoted, and pauses logins as any other; what the vendor calls passing is tried again."""
    failure = await refusal(reply, client_secret=SECRET)
    assert type(failure) is kind
    assert said in str(failure)


URL_OK = "https://login.example/token"
RSA_PEM = pem_of(rsa.generate_private_key(65537, 2048))


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, "client"),
        ({"username": "ada", "password": "p"}, "client"),
        ({"grant_type": "password", "username": "ada", "password": "p"}, "client:ada"),
        ({"grant_type": "refresh_token", "refresh_token": "r", "username": "ada", "password": "p"}, "client:ada"),
    ],
)
def test_the_identity_begins_with_client_user_and_place(options: dict[str, str], shown: str) -> None:
    """The user where one logs in; the digest is for stores."""
    login = OAuth2Login(URL_OK, "client", SECRET, **options)  # type: ignore[arg-type] # all of them text
    assert isinstance(login, IdentifiedLogin)
    assert re.fullmatch(rf"{shown} https://login\.example/token #[0-9a-f]{{32}}", str(login.identity))


def test_two_refresh_tokens_of_one_client_are_two_accounts() -> None:
    """A refresh token names no user: a shared store must not mix them up, and the name does not give the token away."""
    one, two, again = (
        OAuth2Login(URL_OK, "client", grant_type="refresh_token", refresh_token=text).identity
        for text in ("r-1", "r-2", "r-1")
    )
    assert one == again != two
    assert "r-1" not in str(one)


def test_nothing_prints_or_pickles_a_secret() -> None:
    """Not the secret, the password, the refresh token, the key, headers or form fields."""
    key = pem_of(ec.generate_private_key(ec.SECP256R1()))
    logins = [
        OAuth2Login(URL_OK + "?q=hush", "client", "hush", headers={"X": "hush"}, otp="hush"),
        OAuth2Login(
            URL_OK, "client", grant_type="refresh_token", refresh_token="hush", username="ada", password="hush"
        ),
        OAuth2Login(URL_OK, "client", private_key=key),
    ]
    for login in logins:
        shown = f"{login!r}{login}{login.identity}"
        assert "hush" not in shown
        assert key[60:100] not in shown
        for refused in (login, login._client):
            with pytest.raises(TypeError, match="holds a secret"):
                pickle.dumps(refused)
        with pytest.raises(TypeError, match="holds a secret"):
            copy.deepcopy(login)
    assert repr(logins[2]) == "OAuth2Login('https://login.example', 'client', '***', grant_type='client_credentials')"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"client_id": ""}, "client_id"),
        ({"client_secret": ""}, "client_secret"),
        ({"grant_type": ""}, "grant_type is empty"),
        ({"grant_type": 7}, "grant_type must be text"),
        ({"algorithm": "RS256"}, "algorithm needs a private_key"),
        ({"algorithm": "HS256", "private_key": "k"}, "algorithm must be one of"),
        ({"algorithm": 7, "private_key": "k"}, "algorithm must be one of"),
        (
            {"algorithm": "ES256", "private_key": RSA_PEM},
            "algorithm ES256 does not fit this private_key; use one of RS256, ",
        ),
        ({"form": {"scope": "x"}}, "form must not hold scope"),
        ({"form": "x"}, "form must be a mapping"),
        ({"form": {"a": "b"}, "a": "c"}, "a is given twice"),
        ({"resource": []}, "resource is an empty list"),
        ({"resource": ["a", 7]}, "resource is not an option"),
        ({"resource": {"a"}}, "resource is not an option"),
        ({"audience": 7, "private_key": RSA_PEM}, "audience must be text"),
        ({"audience": [7], "private_key": RSA_PEM}, "audience must be text"),
        ({"grant_type": "password", "username": "ada"}, "grant_type password needs"),
        ({"username": "ada"}, "username and password belong"),
        ({"grant_type": "refresh_token"}, "grant_type refresh_token needs"),
        ({"token_endpoint_auth_method": "tls_client_auth"}, "token_endpoint_auth_method must be one of"),
        ({"token_endpoint_auth_method": "client_secret_post"}, "token_endpoint_auth_method client_secret_post needs"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "token_endpoint_auth_method private_key_jwt needs"),
        ({"token_endpoint_auth_method": "none", "client_secret": "s"}, "token_endpoint_auth_method none cannot use"),
        ({"token_endpoint_auth_method": "none", "private_key": "k"}, "token_endpoint_auth_method none cannot use"),
        ({"private_key": "k", "client_secret": "s"}, "client_secret and private_key both authenticate"),
        ({"private_key": "no pem"}, "private_key must be an unencrypted PEM"),
        ({"private_key": 7}, "private_key must be PEM text"),
        (
            {"private_key": pem_of(ec.generate_private_key(ec.SECP256R1()), encrypted=True)},
            "private_key must be an unencrypted PEM",
        ),
        ({"private_key": pem_of(x25519.X25519PrivateKey.generate())}, "private_key must be an unencrypted PEM"),
        ({"private_key": pem_of(rsa.generate_private_key(65537, 1024))}, "private_key must be an unencrypted PEM"),
        ({"private_key": pem_of(ec.generate_private_key(ec.SECP256K1()))}, "private_key must be an unencrypted PEM"),
        ({"scope": ""}, "scope"),
        ({"scope": []}, "scope"),
        ({"scope": 7}, "scope"),
        ({"headers": {"a b": "c"}}, "headers"),
        ({"headers": {"authorization": "x"}, "client_secret": "s"}, "headers sets Authorization"),
        ({"token_endpiont": 7}, "token_endpiont is not an option"),
        ({"audience": ""}, "audience"),
    ],
)
def test_a_wrong_use_is_one_sentence(options: dict[str, Any], named: str) -> None:
    """It names the option, and nothing is chained."""
    with pytest.raises(ConfigurationError, match=f"^{named}") as caught:
        OAuth2Login(URL_OK, **{"client_id": "client", **options})
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://login.example/token", InsecureTransportError),
        ("/token", ConfigurationError),
        ("https://user:pass@login.example/token", ConfigurationError),
    ],
)
def test_the_token_endpoint_is_held_to_the_rule_of_tls(url: str, kind: type[ConfigurationError]) -> None:
    """Before anything is sent."""
    with pytest.raises(kind, match=r"^token_endpoint"):
        OAuth2Login(url, "client", SECRET)


@pytest.mark.parametrize("reply", [DEAD, Reply(401, {}), Reply(200, {"error": "weird"})])
async def test_a_grant_without_a_known_reason_blames_nothing(reply: Reply) -> None:
    """Whatever an unusual grant presents: the refusal is still a rejection of the credentials."""
    async with login_endpoint(reply) as endpoint, ClientSession() as session:
        response = await post(session, endpoint.url, headers={}, body=b"", secrets=())
    with pytest.raises(CredentialsRejectedError) as caught:
        raised(read_token(response, "urn:ietf:params:oauth:grant-type:token-exchange", None))
    assert caught.value.reason is None
