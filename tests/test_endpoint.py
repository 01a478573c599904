"""Endpoint and origins are checked before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from exterview_auth import PRODUCTION, SANDBOX, ConfigurationError, InsecureTransportError
from exterview_auth._endpoint import (
    checked_origins,
    checked_url,
    endpoint_url,
    is_loopback,
    origin_of,
    secrets_in,
    shown_url,
)


@pytest.mark.parametrize(
    ("given_endpoint", "url"),
    [
        ("production", "https://api.exterview.ai/graphql"),
        ("sandbox", "https://sandbox-api.exterview.ai/graphql"),
        (PRODUCTION, "https://api.exterview.ai/graphql"),
        (SANDBOX, "https://sandbox-api.exterview.ai/graphql"),
        (URL("https://example.com/g"), "https://example.com/g"),
        ("http://127.0.0.1:8080/graphql", "http://127.0.0.1:8080/graphql"),
        ("http://127.9.9.9/", "http://127.9.9.9/"),
        ("http://[::1]:80/", "http://[::1]:80/"),
        ("http://localhost/", "http://localhost/"),
        ("http://LOCALHOST/", "http://localhost/"),
        ("http://api.localhost/", "http://api.localhost/"),
        ("wss://example.com/g", "wss://example.com/g"),
    ],
)
def test_an_endpoint_is_a_name_or_a_safe_url(given_endpoint: str | URL, url: str) -> None:
    """The two names of the contract, HTTPS and loopback URLs are endpoints."""
    assert endpoint_url(given_endpoint) == URL(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/graphql", "https://host/graphql"),
        ("https://host/graphql?sig=s3cr3t", "https://host/graphql?***"),
        ("https://host:8443/graphql?s3cr3t#s3cr3t", "https://host:8443/graphql?***#***"),
        ("https://host/#s3cr3t", "https://host/#***"),
    ],
)
def test_a_url_is_shown_without_its_query_and_fragment(url: str, shown: str) -> None:
    """A signature or a key may stand there; where the URL leads stays readable."""
    assert shown_url(URL(url)) == shown


@pytest.mark.parametrize(
    ("query", "secrets"),
    [
        ("?sig=s3cr3t%2F12", {"sig=s3cr3t%2F12", "s3cr3t/12"}),
        ("?v=2024", set()),
        ("?sig=s3cr3t-1&v=2", {"sig=s3cr3t-1&v=2", "s3cr3t-1"}),
        ("", set()),
    ],
)
def test_what_is_secret_in_a_url(query: str, secrets: set[str]) -> None:
    """Its values as they are written and as they are meant, versions and flags excepted."""
    assert set(secrets_in(URL(f"https://host/graphql{query}", encoded=True))) == secrets


@pytest.mark.parametrize(
    "url",
    [
        "http://api.exterview.ai/graphql",
        "ws://example.com/",
        "http://localhost.example.com/",
        "http://127.0.0.1.example.com/",
        "http://notlocalhost/",
        "http://10.0.0.1/",
        "http://0.0.0.0/",
        "http://[::2]/",
    ],
)
def test_plain_http_is_refused_but_for_loopback(url: str) -> None:
    """Rule 11: a host that only looks like loopback is not, and the error says which URL it is about."""
    with pytest.raises(InsecureTransportError, match=r"^endpoint (http|ws)://.* is not HTTPS"):
        endpoint_url(url)


@pytest.mark.parametrize(
    "url", ["", "graphql", "/graphql", "//example.com/g", "ftp://example.com/", "https://", "https://h:99999/", "prod", 5, None, b"https://h/"]
)  # fmt: skip
def test_what_is_no_url_is_refused(url: Any) -> None:
    """A relative, unreadable or foreign URL is a `ConfigurationError` that names the argument and no other error."""
    with pytest.raises(ConfigurationError, match=r"^endpoint must be ") as caught:
        endpoint_url(url)
    assert not isinstance(caught.value, InsecureTransportError)
    assert isinstance(url, str) or f"not {type(url).__name__}" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://user@h.example/", "https://user:s3cret@h.example/", "https://:s3cret@h.example/"]
)
def test_credentials_in_a_url_are_refused_unseen(url: str) -> None:
    """A user name or password in a URL is an error that quotes neither."""
    with pytest.raises(ConfigurationError, match=r"^token_endpoint has a user name or password in it") as caught:
        checked_url(url, "token_endpoint")
    assert "s3cret" not in str(caught.value)


@given(st.text(max_size=30) | st.text("htps:/@[]%.1", max_size=30))
def test_any_text_is_an_endpoint_or_a_configuration_error(text: str) -> None:
    """No text as endpoint raises anything else, and none that passes goes out without TLS to another machine."""
    try:
        url = endpoint_url(text)
    except ConfigurationError:
        return
    assert url.scheme in {"https", "wss"} or is_loopback(url.host or "")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://h.example/a", "https://h.example:443/b?c"),
        ("https://H.example/", "https://h.example/"),
        ("https://h.example./", "https://h.example/"),
        ("wss://h.example/", "https://h.example/"),
        ("ws://localhost/", "http://localhost:80/"),
    ],
)
def test_one_origin_has_several_spellings(one: str, other: str) -> None:
    """Path, default port, case, a final dot and the WebSocket's scheme make no other origin."""
    assert origin_of(URL(one)) == origin_of(URL(other))


@pytest.mark.parametrize(
    "other", ["http://h.example/", "https://h.example:444/", "https://g.h.example/", "ftp://h.example/"]
)
def test_scheme_host_and_port_make_the_origin(other: str) -> None:
    """Rule 10: another scheme, host or port is another origin."""
    assert origin_of(URL(other)) != origin_of(URL("https://h.example/"))


def test_origins_are_the_endpoints_and_the_further_ones() -> None:
    """Credentials go to the endpoint's origin and to those that were named, each checked."""
    endpoint = URL("https://h.example/graphql")
    assert checked_origins(endpoint, ()) == {("https", "h.example", 443)}
    assert checked_origins(endpoint, ["https://f.example:8443/x"]) == {
        ("https", "h.example", 443),
        ("https", "f.example", 8443),
    }
    with pytest.raises(InsecureTransportError, match=r"^origins http://f.example is not HTTPS"):
        checked_origins(endpoint, ["http://f.example/"])


def test_an_address_has_one_origin_however_it_is_written() -> None:
    """A redirect's target may be taken as it is written, and is the same stranger (RFC 5952)."""
    written = "[::ffff:127.0.0.1]", "[0:0:0:0:0:FFFF:7f00:1]", "[::ffff:7f00:1]"
    # Which of them is the canonical one depends on the version of Python.
    assert len({origin_of(URL(f"https://{address}:8/", encoded=True)) for address in written}) == 1
    assert origin_of(URL("https://[0:0::0:1]:8/", encoded=True)) == ("https", "::1", 8)
