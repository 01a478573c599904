"""Every part that reads what others wrote: servers, stores, files, the environment."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

from cryptography.fernet import Fernet
from multidict import CIMultiDict
from yarl import URL

from exterview_auth import ConfigurationError, LoginError, OAuth2Login, PasswordLogin, Token
from exterview_auth import _environment as environment
from exterview_auth._aiohttp.graphql import answers_in
from exterview_auth._aiohttp.graphql_request import may_be_mutations
from exterview_auth._token import jwt_claims, jwt_lifetime
from exterview_auth.logins._document import own_fields
from exterview_auth.logins._http_dates import retry_after, server_time
from exterview_auth.logins._oauth2_response import read_token
from exterview_auth.logins._request import LoginResponse
from exterview_auth.stores import _entry
from exterview_auth.stores._encryption import UnreadableError
from exterview_auth.stores._entry import Codec, StoredToken, key_of
from exterview_auth.stores._keeping import KEEP
from exterview_auth.stores._redis.entries import as_bytes
from tests.kit.login_endpoint import raised
from tests.kit.tokens import raw_jwt

MARK = "m4rk3d-s3cr3t"
KEY = Fernet.generate_key()
PLAIN, ENCRYPTED = Codec("FileStore", None, KEEP), Codec("FileStore", [KEY, Fernet.generate_key()], KEEP)
ADA = key_of("ada")
PASSWORD = PasswordLogin("ada@example.com", MARK)
BY_PATH = PasswordLogin(
    "ada@example.com", MARK, token_field="data.0.token", expires_field="data.exp", refresh_field="data.r"
)
OAUTH = OAuth2Login("https://login.example/token", "client", MARK)
HEAD = b"exterview_auth/2 "


def text_of(raw: bytes) -> str:
    """*raw* as headers, files and variables come: any byte has a character."""
    return raw.decode("utf-8", "surrogateescape")


def answer(raw: bytes, status: int = 200, said: bytes = b"") -> LoginResponse:
    """A login endpoint's answer."""
    headers = CIMultiDict({name: text_of(said) for name in ("Retry-After", "Date", "Content-Type")})
    return LoginResponse(URL("https://api.example"), status, headers, raw, (MARK,))


def environ(raw: bytes) -> dict[str, str]:
    """*raw* in each variable that is no path."""
    names = (environment.API_KEY, environment.EMAIL, environment.PASSWORD, environment.BEARER, environment.ENVIRONMENT)
    return dict.fromkeys(names, text_of(raw))


def endpoint(raw: bytes) -> dict[str, str]:
    """*raw* as the endpoint, everything else being right."""
    return {environment.API_KEY: "key", environment.BEARER: "token", environment.ENDPOINT: text_of(raw)}


def answers(raw: bytes) -> list[bool]:
    """What GraphQL answers say of the token and of what they carry."""
    return [answer.refuses or answer.has_effect for answer in answers_in(raw)]


def read_oauth(raw: bytes, status: int = 200) -> Token:
    """A token endpoint's answer."""
    return raised(read_token(answer(raw, status), "password", "old"))


def in_redis(raw: bytes) -> StoredToken:
    """An entry as `RedisEntries.read` takes it."""
    return PLAIN.decode(ADA, as_bytes(raw), 1.5)


class Parser(NamedTuple):
    """One that reads what others wrote; *frames* show where it looks, ``@`` being what they wrote."""

    read: Callable[[bytes], object]
    refuses: tuple[type[Exception], ...]
    frames: tuple[bytes, ...] = (b"@",)


ANSWERED = (
    b"@", b'{"data":{"x":{"token":"abc","expiresIn":@,"refreshToken":@}}}', b'{"data":@}', b'{"data":[{"token":@}],"exp":@}',
    b'{"errors":[{"message":@,"extensions":{"code":@}}]}', b'{"errors":[{"message":"x","path":[@],"extensions":@}]}',
    b'{"data":{"x":{"__typename":@,"errorCode":@,"error":@}}}',
    b'{"data":{"x":{"success":@,"status":@,"message":@,"errors":@}}}', b'{"data":{"x":{"errors":[{"message":@,"code":@}]}}}', b'{"access_token":"abc","expires_in":@,"refresh_token":@}',
    b'{"error":@,"error_description":@,"message":@}', b'{"error":{"code":@,"message":@,"is_transient":@}}',
    b"access_token=@&expires_in=@", b"error=@&error_description=@",
)  # fmt: skip
FIELDS = (
    b'{"account":"%s","saved_at":1.0,"token":"abc","expires_in":@,"refresh_token":@,"issuer":@}' % ADA.encode(),
    b'{"account":"%s","saved_at":@,"token":@,"expires_in":null}' % ADA.encode(),
    b'{"account":@,"saved_at":1.0,"token":"abc","expires_in":60}',
)
KEPT = (b"@", HEAD + b"@", b"exterview_auth/@ {}", *(HEAD + fields for fields in FIELDS))
DATED = (b"@", b"Tue, 14 Nov @ 22:13:20 GMT", b"Tue, 14 Nov 2023 22:13:20 @")
PARSERS = {
    "a login's document": Parser(lambda raw: own_fields(text_of(raw)), (), (b"@", b"mutation { login(a: @) { @ } }")),
    "password login": Parser(lambda raw: raised(PASSWORD._read(answer(raw))), (LoginError,), ANSWERED),
    "password login by path": Parser(lambda raw: raised(BY_PATH._read(answer(raw))), (LoginError,), ANSWERED),
    "password login refused": Parser(lambda raw: raised(PASSWORD._read(answer(raw, 401))), (LoginError,), ANSWERED),
    "token endpoint": Parser(read_oauth, (LoginError,), ANSWERED),
    "token endpoint renewing": Parser(
        lambda raw: raised(read_token(answer(raw), "refresh_token", "old")), (LoginError,), ANSWERED
    ),
    "token endpoint refused": Parser(lambda raw: read_oauth(raw, 400), (LoginError,), ANSWERED),
    "headers of an answer": Parser(lambda raw: raised(PASSWORD._read(answer(b"", 503, raw))), (LoginError,), DATED),
    "Retry-After": Parser(lambda raw: retry_after({"Retry-After": text_of(raw), "Date": text_of(raw)}), (), DATED),
    "Date": Parser(lambda raw: server_time({"Date": text_of(raw)}), (), DATED),
    "claims of a JWT": Parser(lambda raw: Token(raw_jwt(raw)), (ConfigurationError,), (b"@", b'{"exp":@,"iat":@}')),
    "a token": Parser(lambda raw: Token(text_of(raw)), (ConfigurationError,), (b"@", b"e30.@.c2ln")),
    "no token": Parser(lambda raw: (jwt_claims(text_of(raw)), jwt_lifetime(text_of(raw), 0.0)), ()),
    "an entry": Parser(lambda raw: PLAIN.decode(ADA, raw, 1.5), (), KEPT),
    "a payload": Parser(lambda raw: _entry.to_entry(ADA, raw), (UnreadableError,), (b"@", *FIELDS)),
    "an entry, encrypted": Parser(lambda raw: ENCRYPTED.decode(ADA, raw, 1.5), (), KEPT),
    "an encrypted payload": Parser(
        lambda raw: ENCRYPTED.decode(ADA, HEAD + ENCRYPTED._cipher.encrypt(raw), 1.5), (), (b"@", *FIELDS)
    ),
    "an entry in Redis": Parser(in_redis, (), KEPT),
    "a GraphQL request": Parser(lambda raw: may_be_mutations(text_of(raw)), (), (b"@", b'{"query":@,"operationName":@}')),
    "a GraphQL document": Parser(lambda raw: may_be_mutations(json.dumps({"query": text_of(raw)})), ()),
    "GraphQL answers": Parser(answers, (), ANSWERED),
    "the environment": Parser(lambda raw: environment.arguments_from(environ(raw), {}), (ConfigurationError,)),
    "the endpoint": Parser(lambda raw: environment.arguments_from(endpoint(raw), {}), (ConfigurationError,), (b"@", b"https://@")),
}  # fmt: skip


def read(parser: Parser, raw: bytes) -> object:
    """What *parser* makes of *raw*, its own errors being a result."""
    try:
        return parser.read(raw)
    except parser.refuses as error:
        return error


def filled(parser: Parser, raw: bytes) -> Iterator[bytes]:
    """*raw* at each place where *parser* looks."""
    return (frame.replace(b"@", raw) for frame in parser.frames)
