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
    secrets_in_headers,
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
    """A host that only looks like loopback is not, and the error says which URL it is about."""
    with pytest.raises(InsecureTransportError, match=r"^endpoint (http|ws)://.* is not HTTPS"):
        endpoint_url(url)


@pytest.mark.parametrize(
    "url", ["", "graphql", "https://h:port/", "/graphql", "//example.com/g", "ftp://example.com/", "https://", "https://h:99999/", "prod", 5, None, b"https://h/"]
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
    assert url.scheme in {"https", "wss"} or is_loopback(url.raw_host or "")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://h.example/a", "https://h.example:443/b?c"),
        ("https://H.example/", "https://h.example/"),
        ("https://h.example./", "https://h.example/"),
        ("https://h.example../", "https://h.example/"),
        ("https://xn--a.example./", "https://XN--A.example/"),
        ("wss://h.example/", "https://h.example/"),
        ("ws://localhost/", "http://localhost:80/"),
    ],
)
def test_one_origin_has_several_spellings(one: str, other: str) -> None:
    """Path, default port, case, a final dot and the WebSocket's scheme make no other origin."""
    assert origin_of(URL(one)) == origin_of(URL(other))


@pytest.mark.parametrize(
    "other",
    [
        "http://h.example/",
        "https://h.example:444/",
        "https://g.h.example/",
        "ftp://h.example/",
        "https://xn--a.example/",
    ],
)
def test_scheme_host_and_port_make_the_origin(other: str) -> None:
    """Another scheme, host or port is another origin."""
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


def test_an_address_with_a_final_dot_is_a_name() -> None:
    """A resolver asks DNS for it, so it is another host than the address, and not this machine."""
    assert origin_of(URL("http://127.0.0.1.:8/")) != origin_of(URL("http://127.0.0.1:8/"))
    assert not is_loopback("127.0.0.1.")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("::ffff:127.0.0.1", True),
        ("::ffff:7f00:1", True),
        ("::FFFF:127.8.9.10", True),
        ("::ffff:10.0.0.1", False),
        ("::1", True),
        ("::2", False),
        ("LOCALHOST", True),
        ("a.localhost", True),
        ("xn--a.localhost", True),
        ("127.1", False),
        ("0.0.0.0", False),
        ("", False),
    ],
)
def test_this_machine_is_the_same_on_every_python(host: str, *, expected: bool) -> None:
    """An IPv4 address that is mapped to IPv6 is what it is as IPv4 (Python's answer changed with 3.13)."""
    assert is_loopback(host) is expected


def test_a_host_without_a_readable_form_is_an_endpoint() -> None:
    """Its name is compared as it is sent to DNS."""
    assert endpoint_url("https://xn--a.test/graphql").raw_host == "xn--a.test"
    with pytest.raises(InsecureTransportError, match=r"xn--a\.test"):
        endpoint_url("http://xn--a.test/graphql")


@pytest.mark.parametrize(
    "host",
    [
        "*.example.com",
        "*",
        "exa\0mple.com",
        "exa%00mple.com",
        "a..b",
        ".a.example",
        "-" * 64 + ".example",
        ".".join(["a" * 63] * 4) + ".example",
        "a,b.example",
        "a$b",
    ],
)
@pytest.mark.parametrize("encoded", [False, True])
def test_a_host_that_cannot_exist_is_refused(host: str, *, encoded: bool) -> None:
    """Bad input: a wildcard, a NUL, an empty or endless name is one sentence for endpoint, origins and token endpoint alike."""
    try:
        url: str | URL = URL(f"https://{host}/", encoded=True) if encoded else f"https://{host}/"
    except ValueError:
        url = f"https://{host}/"
    with pytest.raises(ConfigurationError, match=r"^endpoint (has a host name that cannot exist|must be)"):
        endpoint_url(url)
    with pytest.raises(ConfigurationError, match=r"^origins (has a host name that cannot exist|must be)"):
        checked_origins(URL(PRODUCTION), [url])


@pytest.mark.parametrize(
    "host", ["h", "a_b.example", "a-b.example.", "xn--bcher-kva.example", "bücher.example", "1.2.3.4", "[fe80::1]"]
)
def test_any_other_host_is_not(host: str) -> None:
    """What a resolver can be asked for is accepted."""
    assert checked_url(f"https://{host}/", "endpoint")


def test_headers_of_basic_authentication_are_secret_in_every_part() -> None:
    """What is encoded in it is no better known than the header; what is not encoded has no parts."""
    found = set(
        secrets_in_headers({"Authorization": "Basic Z3c6cDRzcw==", "X-Api-Key": "k", "Accept": "application/json"})
    )
    assert found == {"Basic Z3c6cDRzcw==", "Z3c6cDRzcw==", "gw:p4ss", "p4ss", "k", ""}
    assert set(secrets_in_headers({"Authorization": "Basic é"})) == {"Basic é", "é"}
    assert set(secrets_in_headers({"Cookie": "a=1; sid=0123456789", "X-Own": "short", "X-Other": "long enough"})) == {
        "0123456789", "long enough", "enough",
    }  # fmt: skip
