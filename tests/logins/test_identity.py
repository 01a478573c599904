"""Names of issuers and accounts: unambiguous, the same in every process, and without a secret."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import ClientSession
from yarl import URL

from exterview_auth import ConfigurationError
from exterview_auth._token import Token, issuer_of
from exterview_auth.logins import OAuth2Login, PasswordLogin
from exterview_auth.logins._context import IssuingLogin, LoginContext
from exterview_auth.logins._identity import declared_issuer, store_key
from tests.kit import login_endpoint as kit
from tests.kit.login_endpoint import EMAIL, PASSWORD, SECRET, Reply, login_endpoint
from tests.kit.showing import assert_shows_none

API = URL("https://api.example/graphql")
FINE = Reply(200, {"access_token": "t-1", "data": {"login": {"token": "t-1"}}})


def oauth(url: str | URL = "https://login.example/token", client: str = "client") -> str:
    return OAuth2Login(url, client, SECRET).issuer_at(API)


@pytest.mark.parametrize(
    ("argument", "value", "sentence"),
    [
        ("session", None, "session must be a callable, not NoneType"),
        ("endpoint", f"https://api.example/?key={SECRET}", "endpoint must be a yarl.URL, not str"),
        ("api_key", SECRET.encode(), "api_key must be text, not bytes"),
        ("previous", SECRET, "previous must be a Token, not str"),
    ],
)
def test_what_a_login_is_told_has_the_right_types(argument: str, value: Any, sentence: str) -> None:
    """Applications make a `LoginContext` in the tests of their logins; a wrong argument is named, and not shown."""
    arguments: dict[str, Any] = {"session": ClientSession, "endpoint": API, "api_key": "key", argument: value}
    with pytest.raises(ConfigurationError, match=f"^{sentence}$") as caught:
        LoginContext(**arguments)
    assert_shows_none(caught.value, SECRET)


@pytest.mark.parametrize(
    "url",
    [
        "https://LOGIN.example:443/token",
        "https://login.example./token",
        "https://login.example/a/../token",
        "https://login.example/%74oken",
        "https://login.example/token#part",
        URL("https://Login.Example:443/token", encoded=True),
    ],
)
def test_one_issuer_has_one_name(url: str | URL) -> None:
    """All spellings of a token endpoint name the same issuer."""
    assert oauth(url) == oauth()


def test_two_issuers_have_two_names() -> None:
    """Another host, port, scheme, path, query or client is another issuer, however their texts are joined."""
    names = [
        oauth(),
        oauth("https://other.example/token"),
        oauth("https://login.example:8443/token"),
        oauth("https://login.example/two/token"),
        oauth("https://login.example/token?p=one"),
        oauth("https://login.example/token?p=two"),
        oauth(client="other"),
        oauth("https://login.example/token%20a", "b"),
        oauth("https://login.example/token", "a b"),
        oauth("https://[2001:db8::1]/token"),
        oauth("http://localhost/token"),
        oauth("https://localhost/token"),
        PasswordLogin(EMAIL, PASSWORD).issuer_at(URL("https://login.example/token")),
        PasswordLogin(EMAIL, PASSWORD).issuer_at(API),
    ]
    assert len(set(names)) == len(names)


def test_a_name_shows_the_place_and_no_query() -> None:
    """A query may hold a secret: it only tells names apart."""
    shown = oauth("https://login.example/token?sig=hush")
    assert shown.startswith("https://login.example/token client #")
    assert "hush" not in shown


async def test_tokens_carry_their_issuer() -> None:
    """The token endpoint with the client, or the API's endpoint; a token that the application made has none."""
    async with login_endpoint(FINE) as endpoint:
        login, by_password = OAuth2Login(endpoint.url, "client", SECRET), PasswordLogin(EMAIL, PASSWORD)
        assert issuer_of(await kit.log_in(login, endpoint.url)) == login.issuer_at(API)
        assert issuer_of(await kit.log_in(by_password, endpoint.url)) == by_password.issuer_at(endpoint.url)
    assert issuer_of(Token("t")) is None


# -- the account's name -------------------------------------------------------------------------------------------------

ADA: dict[str, Any] = {"grant_type": "password", "username": "ada", "password": PASSWORD}
REFRESHING: dict[str, Any] = {"grant_type": "refresh_token", "refresh_token": "r-1"}
AT = "https://login.example/token"


def identity(url: str = AT, client: str = "client", **options: Any) -> str:
    return str(OAuth2Login(url, client, **options).identity)


def test_an_identity_names_all_that_the_token_depends_on() -> None:
    """Token endpoint, client, user, grant, scope, form fields, headers: one that differs is another account."""
    names = [
        identity(),
        identity("https://other.example/token"),
        identity(AT + "?p=two"),
        identity(client="other"),
        identity(scope="read"),
        identity(scope="read write"),
        identity(scope="write read"),
        identity(audience="https://api.example"),
        identity(audience="https://other.example"),
        identity(resource="https://api.example"),
        identity(audience="a", resource="b"),
        identity(audience="b", resource="a"),
        identity(subject_token="one"),
        identity(headers={"X-Tenant": "acme"}),
        identity(headers={"X-Tenant": "globex"}),
        identity(headers={"X-Authorization-Tenant": "acme"}),
        identity(headers={"X-Authorization-Tenant": "globex"}),
        identity(authorization_details='[{"type": "read"}]'),
        identity(authorization_details='[{"type": "admin"}]'),
        *(identity(**{f"{word}_realm": realm}) for word in ("password", "secret", "pin", "cookie") for realm in "ab"),
        identity(**{"X-Tenant": "acme"}),
        identity(**ADA),
        identity(**{**ADA, "username": "bob"}),
        identity(**REFRESHING),
        identity(**{**REFRESHING, "refresh_token": "r-2"}),
        identity(**{**ADA, **REFRESHING}),
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (identity(client="a:b"), identity(client="a", **{**ADA, "username": "b"})),
        (identity(client="a:b", **ADA), identity(client="a", **{**ADA, "username": "b:ada"})),
        (identity(scope="a", audience="b"), identity(scope="a audience=b")),
        (identity(a="1", b="2"), identity(a="1,b=2")),
        (identity(client="client:refresh-r-1"), identity(**REFRESHING)),
        (
            identity(**REFRESHING),
            identity(**{**ADA, "username": "r-1", "grant_type": "refresh_token"}, refresh_token="x"),
        ),
    ],
)
def test_an_identity_is_read_in_one_way(one: str, two: str) -> None:
    """Whatever characters its parts hold, no two accounts have one name."""
    assert one != two


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"scope": ["a", "b"]}, {"scope": "a b"}),
        ({"client_secret": "old"}, {"client_secret": "new", "token_endpoint_auth_method": "client_secret_post"}),
        (ADA, {**ADA, "password": "new"}),
        ({**ADA, **REFRESHING}, {**ADA, **REFRESHING, "refresh_token": "r-2"}),
        ({"headers": {"X-Tenant": "acme"}}, {"headers": {"x-tenant": "acme", "User-Agent": "new"}}),
        ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}),
        ({"url": AT}, {"url": "https://LOGIN.example:443/token"}),
        ({}, {"otp": "123456", "mfa_code": "1", "userPin": "1", "headers": {"Authorization": "x", "Cookie": "x"}}),
    ],
)
def test_what_says_nothing_about_the_token_is_not_in_its_identity(one: dict[str, Any], two: dict[str, Any]) -> None:
    """A rotated credential, a one-time code, another spelling: still the same account."""
    assert identity(**one) == identity(**two)


def test_the_headers_of_a_password_login_are_in_its_identity_if_they_say_what_the_token_is_for() -> None:
    """One e-mail at two shops is two accounts; a program's own header or a proof changes nothing."""

    def named(**headers: str) -> str:
        return PasswordLogin("ada@acme.test", PASSWORD, headers=headers).identity

    assert named() == named(Authorization="x", Accept="*/*") == "ada@acme.test"
    assert len({named(), named(shop="one"), named(shop="two"), named(store="one")}) == 4
    assert named(shop="one") == named(Shop="one")


def test_an_identity_shows_no_secret() -> None:
    """Form fields, headers, refresh tokens and queries only tell accounts apart, in a digest."""
    shown = identity(
        AT + "?sig=hush", grant_type="refresh_token", refresh_token="hush", headers={"X": "hush"}, a="hush"
    )
    assert "hush" not in shown


# -- the store's key ----------------------------------------------------------------------------------------------------


class Declared:
    """A login that declares its issuer."""

    def __init__(self, name: object) -> None:
        self.name = name

    def issuer_at(self, _endpoint: URL) -> Any:
        return self.name


def test_an_issuer_other_than_the_api_is_part_of_the_key() -> None:
    """Also a store that forgets who issued a token keeps two issuers apart; the API itself needs no mention."""
    keys = [
        store_key(API, "ada", login)[0]
        for login in (OAuth2Login(AT, "client"), OAuth2Login(AT, "other"), Declared("x"), Declared("y"), object())
    ]
    assert len(set(keys)) == len(keys)
    assert keys[-1] == "https://api.example|ada" == store_key(API, "ada", PasswordLogin(EMAIL, PASSWORD))[0]
    assert all(key.endswith("|ada") for key in keys)


def test_no_account_has_the_key_of_another() -> None:
    """An account's name may hold any character, an issuer's too."""
    key, _ = store_key(API, "ada", Declared("x"))
    assert store_key(API, key.removeprefix("https://api.example"), object())[0] != key
    assert store_key(API, "b|ada", Declared("a"))[0] != store_key(API, "ada", Declared("a|b"))[0]


@pytest.mark.parametrize("login", [object(), Declared(None), Declared("")])
def test_a_login_may_declare_no_issuer(login: object) -> None:
    """Then nothing is known, and the tokens of its account are shared as before."""
    assert declared_issuer(login, API) is None


def test_an_issuer_is_text() -> None:
    """As the account's name is."""
    assert isinstance(Declared("x"), IssuingLogin)
    with pytest.raises(ConfigurationError, match=r"issuer_at must return the issuer's name as text, not int$"):
        declared_issuer(Declared(7), API)
