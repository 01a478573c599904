"""Names of issuers and accounts: unambiguous, the same in every process, and without a secret."""

from __future__ import annotations

import pytest
from yarl import URL

from exterview_auth._token import Token, issuer_of
from exterview_auth.logins import OAuth2Login, PasswordLogin
from tests.kit import login_endpoint as kit
from tests.kit.login_endpoint import EMAIL, PASSWORD, SECRET, Reply, login_endpoint

API = URL("https://api.example/graphql")
FINE = Reply(200, {"access_token": "t-1", "data": {"login": {"token": "t-1"}}})


def oauth(url: str | URL = "https://login.example/token", client: str = "client") -> str:
    return OAuth2Login(url, client, SECRET).issuer_at(API)


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
