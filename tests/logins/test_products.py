"""The recipes' logins for other products, each at a server with the product's own types, answers and refusals."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from graphql import build_schema, graphql_sync
from yarl import URL

from exterview_auth import (
    CredentialsRejectedError,
    ExterviewAuth,
    LoginUnavailableError,
    OAuth2Login,
    PasswordLogin,
    Token,
)
from tests.kit.login_endpoint import EMAIL, KEY, PASSWORD, SECRET, refusal
from tests.kit.tokens import raw_jwt

PAGE = (Path(__file__).parents[1] / "recipes" / "README.md").read_text(encoding="utf-8")
ROWS: dict[str, str] = dict(re.findall(r"^\| ([^|]+) \| `((?:mutation|OAuth2Login)[^|]*)` \|$", PAGE, re.MULTILINE))

EXPIRES_AT = "2126-01-01T00:00:00Z"


def jwt(seconds: int) -> str:
    """A token that is good for so many seconds from now."""
    return raw_jwt(json.dumps({"iat": int(time.time()), "exp": int(time.time()) + seconds}).encode())


class Product(NamedTuple):
    """A product's *types*, what its login's resolver *grants*, and how it *refuses*, with the sentence that it *says*."""

    types: str
    grants: Any
    refuses: Any
    says: str
    status: int = 200
    headers: dict[str, str] = {}
    options: dict[str, str] = {}
    requests: int = 1


def failed(message: str, path: list[str], *, data: Any = None, **extensions: Any) -> dict[str, Any]:
    """An error of the field *path*, as servers write it that follow the specification."""
    error = {"message": message, "locations": [{"line": 1, "column": 1}], "path": path}
    return {"errors": [{**error, **({"extensions": extensions} if extensions else {})}], "data": data}


STRAPI = """
    type Mutation { login(input: UsersPermissionsLoginInput!): UsersPermissionsLoginPayload! }
    input UsersPermissionsLoginInput { identifier: String! password: String! provider: String! = "local" }
    type UsersPermissionsLoginPayload { jwt: String }
"""
WRONG = "Invalid identifier or password"
INVALID = {"error": {"name": "ValidationError", "message": WRONG, "details": {}}, "code": "BAD_USER_INPUT"}
UNCONFIRMED = {
    "error": {"name": "ApplicationError", "message": "Unconfirmed", "details": {}},
    "code": "STRAPI_APPLICATION_ERROR",
}

PRODUCTS = {
    "Saleor": Product(
        """
        type Mutation { tokenCreate(email: String!, password: String!, audience: String): CreateToken }
        type CreateToken { token: String refreshToken: String csrfToken: String errors: [AccountError!]! }
        type AccountError { field: String message: String code: AccountErrorCode! }
        enum AccountErrorCode { INVALID_CREDENTIALS INACTIVE ACCOUNT_NOT_CONFIRMED LOGIN_ATTEMPT_DELAYED }
        """,
        {"token": "t", "errors": []},
        {"data": {"tokenCreate": {"token": None, "errors": [{"code": "INVALID_CREDENTIALS", "message": "Please, enter valid credentials"}]}}},
        "Please, enter valid credentials",
    ),
    "Shopify (customer)": Product(
        """
        scalar DateTime
        input CustomerAccessTokenCreateInput { email: String! password: String! }
        type Mutation { customerAccessTokenCreate(input: CustomerAccessTokenCreateInput!): CustomerAccessTokenCreatePayload }
        type CustomerAccessTokenCreatePayload { customerAccessToken: CustomerAccessToken customerUserErrors: [CustomerUserError!]! }
        type CustomerAccessToken { accessToken: String! expiresAt: DateTime! }
        type CustomerUserError { code: CustomerErrorCode field: [String!] message: String! }
        enum CustomerErrorCode { UNIDENTIFIED_CUSTOMER CUSTOMER_DISABLED }
        """,
        {"customerAccessToken": {"accessToken": "t", "expiresAt": EXPIRES_AT}, "customerUserErrors": []},
        {"data": {"customerAccessTokenCreate": {"customerAccessToken": None, "customerUserErrors": [{"code": "UNIDENTIFIED_CUSTOMER", "message": "Unidentified customer"}]}}},
        "Unidentified customer",
    ),
    "Strapi 4": Product(STRAPI, {"jwt": jwt(60)}, {"errors": [{"message": WRONG, "extensions": INVALID}], "data": None}, WRONG),
    "Strapi 5": Product(STRAPI, {"jwt": jwt(60)}, failed("Unconfirmed", ["login"], **UNCONFIRMED), "Unconfirmed"),
    "Directus (`/graphql/system`)": Product(
        """
        scalar BigInt
        type Mutation { auth_login(email: String!, password: String!, mode: String, otp: String): auth_tokens }
        type auth_tokens { access_token: String expires: BigInt refresh_token: String }
        """,
        {"access_token": jwt(60), "refresh_token": "r"},
        failed("Invalid user credentials.", ["auth_login"], data={"auth_login": None}, code="INVALID_CREDENTIALS"),
        "Invalid user credentials.",
    ),
    "Hasura (an action `login`)": Product(
        """
        type Mutation { login(username: String!, password: String!): LoginResponse }
        type LoginResponse { accessToken: String! }
        """,
        {"accessToken": jwt(60)},
        {"errors": [{"message": "invalid credentials", "extensions": {"path": "$", "code": "unexpected"}}]},
        "invalid credentials",
    ),
    "WPGraphQL (JWT)": Product(
        """
        input LoginInput { clientMutationId: String username: String! password: String! }
        type Mutation { login(input: LoginInput!): LoginPayload }
        type LoginPayload { authToken: String refreshToken: String clientMutationId: String }
        """,
        {"authToken": jwt(60), "refreshToken": jwt(600)},
        failed("incorrect_password", ["login"], data={"login": None}, category="user"),
        "incorrect_password",
    ),
    "Keystone": Product(
        """
        type Mutation { authenticateUserWithPassword(email: String!, password: String!): UserAuthenticationWithPasswordResult }
        union UserAuthenticationWithPasswordResult = UserAuthenticationWithPasswordSuccess | UserAuthenticationWithPasswordFailure
        type UserAuthenticationWithPasswordSuccess { sessionToken: String! }
        type UserAuthenticationWithPasswordFailure { message: String! }
        """,
        {"__typename": "UserAuthenticationWithPasswordSuccess", "sessionToken": "t"},
        {"data": {"authenticateUserWithPassword": {"message": "Authentication failed."}}},
        "Authentication failed.",
    ),
    "Payload": Product(
        """
        type Mutation { loginUser(email: String!, password: String): usersLoginResult }
        type usersLoginResult { token: String exp: Int }
        """,
        {"token": jwt(60), "exp": None},
        failed("The email or password provided is incorrect.", ["loginUser"], data={"loginUser": None}, name="AuthenticationError", statusCode=401),
        "The email or password provided is incorrect.",
    ),
    "Parse": Product(
        """
        input LogInInput { username: String! password: String! clientMutationId: String }
        type Mutation { logIn(input: LogInInput!): LogInPayload }
        type LogInPayload { viewer: Viewer! }
        type Viewer { sessionToken: String! }
        """,
        {"viewer": {"sessionToken": "r:t"}},
        failed("Invalid username/password.", ["logIn"], data={"logIn": None}, code=101),
        "Invalid username/password.",
    ),
    "Magento": Product(
        """
        type Mutation { generateCustomerToken(email: String!, password: String!): CustomerToken }
        type CustomerToken { token: String }
        """,
        {"token": "t"},
        failed("The account sign-in was incorrect", ["generateCustomerToken"], data={"generateCustomerToken": None}, category="graphql-authentication"),
        "The account sign-in was incorrect",
    ),
    'Vendure, with `token_header="vendure-auth-token"`': Product(
        """
        type Mutation { login(username: String!, password: String!, rememberMe: Boolean): NativeAuthenticationResult! }
        union NativeAuthenticationResult = CurrentUser | InvalidCredentialsError | NotVerifiedError
        type CurrentUser { id: ID! identifier: String! }
        interface ErrorResult { errorCode: String! message: String! }
        type InvalidCredentialsError implements ErrorResult { errorCode: String! message: String! authenticationError: String! }
        type NotVerifiedError implements ErrorResult { errorCode: String! message: String! }
        """,
        {"__typename": "CurrentUser", "id": "1"},
        {"data": {"login": {"errorCode": "INVALID_CREDENTIALS_ERROR", "message": "The provided credentials are invalid"}}},
        "The provided credentials are invalid",
        headers={"vendure-auth-token": "t"},
        options={"token_header": "vendure-auth-token"},
    ),
    "Django GraphQL JWT": Product(
        """
        scalar GenericScalar
        type Mutation { tokenAuth(username: String!, password: String!): ObtainJSONWebToken }
        type ObtainJSONWebToken { payload: GenericScalar! refreshExpiresIn: Int! token: String! }
        """,
        {"token": jwt(60)},
        failed("Please enter valid credentials", ["tokenAuth"], data={"tokenAuth": None}),
        "Please enter valid credentials",
    ),
    # Not of the table: a wrong password as an internal error, which Apollo makes of any exception; Strapi 3, Nest.
    "Apollo": Product("type Mutation { login(email: String!, password: String!): T } type T { token: String }", {"token": "t"}, failed("No such user found", ["login"], code="INTERNAL_SERVER_ERROR"), "No such user found", requests=2),
    "express-graphql": Product("type Mutation { login(email: String!, password: String!): T } type T { token: String }", {"token": "t"}, failed("No such user found", ["login"]), "No such user found", status=500, requests=2),
    "Strapi 3": Product(STRAPI, {"jwt": "t"}, failed("Bad Request", ["login"], code="INTERNAL_SERVER_ERROR", exception={"code": 400}), "Bad Request"),
    "Nest": Product("type Mutation { login(email: String!, password: String!): T } type T { token: String }", {"token": "t"}, failed("Unauthorized", ["login"], code="INTERNAL_SERVER_ERROR", response={"statusCode": 401}), "Unauthorized"),
}  # fmt: skip
LOGIN = "mutation ($email: String!, $password: String!) { login(email: $email, password: $password) { token } }"
ROWS |= dict.fromkeys(("Apollo", "express-graphql", "Nest"), LOGIN)
ROWS["Strapi 3"] = ROWS["Strapi 4"]


class Shop:
    """A product's server: it knows one password, and executes the document against the product's types."""

    def __init__(self, product: Product, password: str = PASSWORD) -> None:
        self.product = product
        self.password = password
        self.logins = 0
        self.schema = build_schema(f"type Query {{ a: Int }} {product.types}")

    async def answer(self, request: web.Request) -> web.Response:
        self.logins += 1
        sent = await request.json()
        texts: list[str] = []
        fields = self.schema.mutation_type.fields if self.schema.mutation_type else {}
        for field in fields.values():
            field.resolve = lambda _root, _info, **arguments: texts.append(json.dumps(arguments)) or self.product.grants  # type: ignore[func-returns-value]
        done = graphql_sync(self.schema, sent["query"], variable_values=sent["variables"])
        assert not done.errors, done.errors
        [given] = texts
        assert EMAIL in given
        headers = self.product.headers
        if json.dumps(self.password) in given:
            return web.json_response(done.formatted, headers=headers)
        return web.json_response(self.product.refuses, status=self.product.status, headers=headers)


def owner(login: Any, url: URL) -> ExterviewAuth:
    return ExterviewAuth(login, api_key=KEY, endpoint=str(url))


@pytest.mark.parametrize("name", PRODUCTS)
async def test_a_products_token_is_found_and_its_refusal_remembered(name: str) -> None:
    """The page: a right password is a token, a wrong one is sent once, quoted, and not again for any request."""
    shop = Shop(PRODUCTS[name])
    app = web.Application()
    app.router.add_post("/graphql", shop.answer)
    async with TestServer(app) as server:
        url = server.make_url("/graphql")
        login = PasswordLogin(EMAIL, PASSWORD, document=ROWS[name], **shop.product.options)  # type: ignore[arg-type]
        async with owner(login, url) as auth:
            token = await auth.token()
            assert token.value not in {"r", ""}
            assert (token.expires_at is None) == (token.value in {"t", "r:t"} and "expiresAt" not in ROWS[name])
        assert shop.logins == 1
        wrong = PasswordLogin(EMAIL, "not the password", document=ROWS[name], **shop.product.options)  # type: ignore[arg-type]
        async with owner(wrong, url) as auth:
            for _ in range(3):
                failures = await asyncio.gather(*(auth.token() for _ in range(20)), return_exceptions=True)
                assert {type(failure) for failure in failures} == {CredentialsRejectedError}
                assert all(f"'{shop.product.says}'" in str(failure) for failure in failures)
        assert shop.logins == 1 + shop.product.requests


def test_every_row_is_tested() -> None:
    """And nothing but the page's rows counts as one."""
    assert set(ROWS) == set(PRODUCTS) | set(ISSUERS)


# -- token endpoints ----------------------------------------------------------------------------------------------------


class Issuer(NamedTuple):
    """What a token endpoint wants in the form, *grants* and *refuses*; *later* is what it says in trouble."""

    form: dict[str, str]
    grants: dict[str, Any]
    refuses: tuple[int, dict[str, Any]]
    reason: str | None
    later: tuple[int, dict[str, Any]] | None = None


def refused(code: str, text: str = "", status: int = 400, **more: Any) -> tuple[int, dict[str, Any]]:
    return status, {"error": code, **({"error_description": text} if text else {}), **more}


CLIENT = {"grant_type": "client_credentials"}
AUTH0 = {**CLIENT, "audience": "https://api.acme.test"}
GRANTED = {"access_token": "t", "token_type": "Bearer", "expires_in": 3600}
ISSUERS = {
    "Auth0": Issuer(AUTH0, GRANTED, refused("access_denied", "Unauthorized", 401), "client", refused("too_many_requests", "Global limit has been reached", 429)),
    "Auth0, with a key": Issuer(AUTH0, GRANTED, refused("invalid_client", "Failed to verify", 401), "client"),
    "Okta": Issuer({**CLIENT, "scope": "api.read"}, {**GRANTED, "scope": "api.read"}, (401, {"errorCode": "invalid_client", "errorSummary": "Invalid value for 'client_id' parameter.", "errorLink": "invalid_client", "errorId": "oae1", "errorCauses": []}), "client", (429, {"errorCode": "E0000047", "errorSummary": "API call exceeded rate limit"})),
    "Keycloak": Issuer({"grant_type": "password", "username": EMAIL, "password": PASSWORD}, {"access_token": jwt(300), "expires_in": 300, "refresh_expires_in": 1800, "refresh_token": "r", "token_type": "Bearer", "not-before-policy": 0, "session_state": "s"}, refused("invalid_grant", "Invalid user credentials", 401), "user"),
    "Cognito": Issuer({**CLIENT, "scope": "api/read"}, GRANTED, refused("invalid_client"), "client"),
    "Entra ID": Issuer({**CLIENT, "scope": "api://APP/.default"}, {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": "t"}, refused("invalid_client", "AADSTS7000215: Invalid client secret provided.", 401, error_codes=[7000215], error_uri="https://login.example"), "client", refused("temporarily_unavailable", "AADSTS90033: A transient error has occurred.", 503)),
    "Salesforce": Issuer(CLIENT, {"access_token": "t", "signature": "s", "scope": "api", "instance_url": "https://acme.my.salesforce.com", "id": "https://login.salesforce.com/id/1/2", "token_type": "Bearer", "issued_at": "1700000000000"}, refused("invalid_client", "invalid client credentials"), "client", refused("unknown_error", "retry your request")),
    "Zoom": Issuer({"grant_type": "account_credentials", "account_id": "acme"}, {"access_token": "t", "token_type": "bearer", "expires_in": 3599, "scope": "user:read"}, refused("invalid_client", reason="Invalid client_id or client_secret"), "client"),
}  # fmt: skip
PEM = rsa.generate_private_key(65537, 2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


def login_of(row: str, at: URL) -> OAuth2Login:
    """The login of a line of the page, at another address."""
    made: list[OAuth2Login] = []

    def construct(url: str, *arguments: Any, **options: Any) -> OAuth2Login:
        assert OAuth2Login(url, *arguments, **options)
        made.append(OAuth2Login(at, *arguments, **options))
        return made[0]

    names = {
        "client_id": "client",
        "client_secret": SECRET,
        "pem": PEM,
        "email": EMAIL,
        "password": PASSWORD,
        "account": "acme",
    }
    eval(row, {"OAuth2Login": construct, **names})
    [login] = made
    return login


@pytest.mark.parametrize("name", ISSUERS)
async def test_an_issuers_token_is_taken_and_its_refusal_remembered(name: str) -> None:
    """The line works as it is, and what the issuer refuses or cannot do now is understood."""
    issuer = ISSUERS[name]
    answers: list[tuple[int, dict[str, Any]]] = [(200, issuer.grants), issuer.refuses]
    arrived: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        arrived.append(dict(await request.post()))
        status, members = answers[0]
        return web.json_response(members, status=status)

    app = web.Application()
    app.router.add_post("/token", answer)
    async with TestServer(app) as server:
        url = server.make_url("/token")
        async with owner(login_of(ROWS[name], url), url) as auth:
            token = await auth.token()
        assert token.value == issuer.grants["access_token"]
        assert (token.expires_at is None) == ("expires_in" not in issuer.grants)
        proof = {"client_assertion", "client_assertion_type"} if "private_key" in ROWS[name] else set()
        assert {key: value for key, value in arrived[0].items() if key not in proof} == issuer.form
        answers.pop(0)
        async with owner(login_of(ROWS[name], url), url) as auth:
            for _ in range(3):
                with pytest.raises(CredentialsRejectedError) as caught:
                    await auth.token()
                assert caught.value.reason == issuer.reason
        assert len(arrived) == 2
        if issuer.later is not None:
            answers[:] = [issuer.later]
            failure = await refusal(login_of(ROWS[name], url), url)
            assert isinstance(failure, LoginUnavailableError)
            assert str(next(reversed(issuer.later[1].values()))) in str(failure)


async def test_a_rest_login_is_one_of_your_own() -> None:
    """The page's function for hasura-auth, with its answers."""
    [source] = re.findall(r"^async def hasura_auth.*?(?=^```)", PAGE, re.MULTILINE | re.DOTALL)
    session = {"accessToken": jwt(900), "accessTokenExpiresIn": 900, "refreshToken": "r", "user": {"id": "1"}}
    answers: list[tuple[int, dict[str, Any]]] = [
        (200, {"session": session, "mfa": None}),
        (401, {"status": 401, "error": "invalid-email-password", "message": "Incorrect email or password"}),
    ]

    async def answer(request: web.Request) -> web.Response:
        assert set(await request.json()) == {"email", "password"}
        status, members = answers.pop(0)
        return web.json_response(members, status=status)

    app = web.Application()
    app.router.add_post("/v1/signin/email-password", answer)
    async with TestServer(app) as server:
        names: dict[str, Any] = {"Token": Token}
        exec(re.sub(r"https://[^/]+", str(server.make_url("")).rstrip("/"), source), names)
        async with owner(names["hasura_auth"], server.make_url("/graphql")) as auth:
            token = await auth.token()
            assert token.value == session["accessToken"]
            auth.invalidate(token)
            for _ in range(2):
                with pytest.raises(CredentialsRejectedError):
                    await auth.token()
    assert answers == []
