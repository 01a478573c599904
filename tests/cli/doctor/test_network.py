"""The way to the API, as the doctor sees it: proxies, names, certificates, answers and clocks."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from cryptography.x509 import load_pem_x509_certificate

from exterview_auth._cli.doctor.network import Answer as Got
from exterview_auth._cli.doctor.network import _certificate, _clock, _server_time
from exterview_auth.emulator import Emulator
from tests.cli.doctor.examined import examined
from tests.kit import certificates
from tests.kit.command import Answer, Elsewhere, ran_apart

QUICK = ("--timeout", "2")


def answering(status: int = 200, **headers: str) -> Answer:
    """An API that takes every request, with so many headers of its own."""

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"data": {"__typename": "Query"}}, status=status, headers=headers)

    return answer


# -- clocks ---------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fixed_token")
@pytest.mark.parametrize(
    ("ahead", "status", "says"),
    [
        (0, "ok", "within 1 s of the server's"),
        (58, "ok", " s of the server's"),
        (60, "warn", " s behind the server's; set this machine's clock by NTP"),
        (-60, "warn", " s ahead of the server's; set this machine's clock by NTP"),
        (297, "warn", " s behind the server's"),
        (300, "fail", " s behind the server's"),
        (-300, "fail", " s ahead of the server's"),
        (86_400, "fail", " s behind the server's"),
    ],
)
def test_the_clock_is_compared_with_the_servers(
    ahead: int, status: str, says: str, serve: Callable[[Answer], None]
) -> None:
    """It warns from 60 s on and fails from 300 s on, by the header Date."""

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(
            {"data": {"__typename": "Query"}}, headers={"Date": formatdate(time.time() + ahead, usegmt=True)}
        )

    serve(answer)
    found = examined(*QUICK)
    assert found["clock"].startswith(f"{status} ")
    assert says in found["clock"]
    assert found.code == int(status == "fail")


@pytest.mark.usefixtures("fixed_token")
@pytest.mark.parametrize("date", ["yesterday", "Thu, 01 Jan 99999 00:00:00 GMT"])
def test_a_date_that_is_none_is_not_compared(date: str, serve: Callable[[Answer], None]) -> None:
    """It says so, and fails nothing."""
    serve(answering(Date=date))
    assert examined(*QUICK)["clock"].startswith("warn not compared, because the answer has no Date")


@pytest.mark.parametrize("offset", [60, -60, 300, -300])
@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 0.75, 0.999])
@pytest.mark.parametrize("took", [0.0, 0.05, 0.3])
def test_a_difference_is_never_taken_for_a_smaller_one(offset: int, fraction: float, took: float) -> None:
    """Whenever within its second the server writes the header, and however long the answer takes."""
    for written in (0.0, took / 2, took):
        now = 1_800_000_000 + fraction
        date = formatdate(int(now + written) + offset, usegmt=True)
        check = _clock(Got(200, date, now, now + took))
        assert check.status == ("warn" if abs(offset) < 300 else "fail")


def test_what_is_no_time_is_none() -> None:
    """Servers write all kinds of things."""
    assert _server_time(None) is None
    assert _server_time("soon") is None
    assert _server_time("Thu, 01 Jan 1970 00:00:10 GMT") == 10


# -- answers --------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fixed_token")
@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (200, {}, "ok answers 200 to a request without credentials"),
        (401, {}, "ok answers 401 to a request without credentials"),
        (503, {}, "warn answers 503 to a request without credentials"),
        (308, {"Location": "https://elsewhere.example/"}, "warn answers 308 to a request without credentials"),
    ],
)
def test_an_unsigned_request_is_answered(
    status: int, headers: dict[str, str], says: str, serve: Callable[[Answer], None]
) -> None:
    """A refusal is an answer; a redirect leads where no credentials go."""
    serve(answering(status, **headers))
    assert examined(*QUICK)["connection"].startswith(says)


def test_the_unsigned_request_has_no_credentials(
    emulator: Emulator, serve: Callable[[Answer], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of ours, and none of a netrc file, which the proxies of the environment bring along."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password s3cr3t\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    seen: list[dict[str, str]] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        seen.append({name.lower(): value for name, value in request.headers.items()})
        return web.json_response({"data": {"login": {"token": "t"}, "__typename": "Query"}})

    serve(answer)
    assert examined(*QUICK).code == 0
    unsigned, login, signed = seen
    assert not {"authorization", "x-api-key"} & set(unsigned)
    assert "authorization" not in login
    assert signed["authorization"] == "Bearer t"
    assert signed["x-api-key"] == emulator.api_key


@pytest.mark.usefixtures("emulator")
def test_an_api_that_is_away_is_said_once(elsewhere: Elsewhere, emulator: Emulator) -> None:
    """The cause fails; what depends on it was not examined, and costs no time."""
    elsewhere.run(emulator.stop())
    began = time.monotonic()
    found = examined("--timeout", "30")
    assert time.monotonic() - began < 20
    assert found["connection"].startswith("fail there is no connection to 127.0.0.1:")
    assert [name for name, check in found.checks.items() if check["status"] == "fail"] == ["connection"]
    assert found["clock"] == "warn not examined; mend connection first"
    assert found["login"] == "warn not examined; mend what stands above first"


@pytest.mark.usefixtures("emulator")
def test_a_server_that_says_nothing_ends_in_time(serve: Callable[[Answer], None], elsewhere: Elsewhere) -> None:
    """Each wait takes as long as --timeout says."""

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    serve(answer)
    found = examined("--timeout", "0.3")
    assert found["connection"].startswith("fail the endpoint did not answer in time; ")


@pytest.mark.usefixtures("emulator")
def test_a_name_without_an_address_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the resolver's words."""
    monkeypatch.setenv("EXTERVIEW_ENDPOINT", f"https://{certificates.HOST}/graphql")
    found = examined(*QUICK)
    assert found["dns"].startswith(f"fail {certificates.HOST} has no address (")
    assert found["tls"] == found["connection"] == "warn not examined; mend dns first"
    assert found.code == 1


# -- certificates ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(
    elsewhere: Elsewhere, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Serve an API over TLS; return the file of its certificate."""
    files = certificates.certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"data": {"login": {"token": emulator.issue_token()}, "__typename": "Query"}})

    server = RawTestServer(answer)
    elsewhere.run(server.start_server(ssl=context))
    monkeypatch.setenv("EXTERVIEW_ENDPOINT", f"https://127.0.0.1:{server.port}/graphql")
    yield files[0]
    elsewhere.run(server.close())


def test_a_trusted_certificate_is_shown_with_what_it_has_left(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less than two weeks are a warning."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    found = examined(*QUICK, run=ran_apart)  # a process reads it once
    assert found["tls"].startswith("warn TLSv1.3, and the certificate of 127.0.0.1 is valid for 0 days; ")
    assert found.code == 0


@pytest.mark.usefixtures("certificate")
def test_a_certificate_that_nobody_trusts_fails() -> None:
    """It says how to trust a private CA."""
    found = examined(*QUICK)
    assert found["tls"].startswith("fail the certificate of 127.0.0.1 is not trusted (")
    assert found["tls"].endswith("for a private CA set SSL_CERT_FILE to its certificates")
    assert found["connection"].startswith("fail the certificate of 127.0.0.1 is not trusted")


def test_plain_http_behind_an_https_url_is_named(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that speaks no TLS."""
    monkeypatch.setenv("EXTERVIEW_ENDPOINT", emulator.endpoint.replace("http:", "https:"))
    found = examined(*QUICK)
    assert "does not speak TLS" in found["tls"]
    assert found["tls"].startswith("fail 127.0.0.1:")
    monkeypatch.setenv("EXTERVIEW_ENDPOINT", "https://127.0.0.1:1/graphql")
    assert examined(*QUICK)["tls"].startswith("fail no connection to 127.0.0.1:1 (")


def test_a_certificate_of_a_month_is_fine(tmp_path: Path) -> None:
    """By its own end, whatever the time zone of this machine."""
    file, _ = certificates.certificate(tmp_path)
    assert load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc.timestamp() > time.time()
    ends = time.strftime("%b %d %H:%M:%S %Y GMT", time.gmtime(time.time() + 30.5 * 86_400))
    assert _certificate("h.example", "TLSv1.2", {"notAfter": ends})[1:3] == (
        "ok",
        "TLSv1.2, and the certificate of h.example is valid for 30 days",
    )


# -- proxies --------------------------------------------------------------------------------------------------------------

REMOTE = "http://user:s3cr3t@proxy.example:3128"


@pytest.mark.usefixtures("fixed_token")
@pytest.mark.parametrize(
    ("endpoint", "environ", "says"),
    [
        (None, {"NO_PROXY": "127.0.0.1", "HTTP_PROXY": REMOTE}, "ok none, because NO_PROXY names 127.0.0.1"),
        (None, {"HTTPS_PROXY": REMOTE}, "ok none"),
        (None, {"ALL_PROXY": REMOTE}, "warn ALL_PROXY is set, and not read; set HTTP_PROXY, if the API"),
        (None, {"HTTP_PROXY": REMOTE}, "fail plain HTTP would pass http://proxy.example:3128; leave this machine out"),
        (None, {"HTTP_PROXY": "https://user:s3cr3t@proxy.example"}, "warn https://proxy.example:443 in HTTP_PROXY is not used"),
        (None, {"HTTP_PROXY": "socks5://127.0.0.1:1080"}, "fail HTTP_PROXY is no http:// URL; set it to one such as http://"),
        (None, {"HTTP_PROXY": "http://h:s3cr3t/"}, "fail HTTP_PROXY is no URL; set it to one such as http://"),
        ("https://127.0.0.1:1/", {"HTTPS_PROXY": REMOTE}, "ok http://proxy.example:3128 from HTTPS_PROXY, with a user and password"),
    ],
)  # fmt: skip
def test_the_proxy_is_the_one_that_requests_use(
    endpoint: str | None, environ: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With where it comes from; one that is not used, or cannot be, is named before anybody wonders."""
    if endpoint:
        monkeypatch.setenv("EXTERVIEW_ENDPOINT", endpoint)
    found = examined(*QUICK, environ=environ)
    assert found["proxy"].startswith(says)
    assert "s3cr3t" not in found.text
    through_it = endpoint is not None or says.startswith("fail plain")
    assert (found["dns"] == "ok left to the proxy") == through_it
    # A program that is not asked for it goes directly: what is found here need not be its problem.
    assert found["proxy"].endswith("a program uses that proxy only with ClientSession(trust_env=True)") == through_it
