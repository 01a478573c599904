"""The command goes to the network as the environment says: HTTPS_PROXY and its like, and the certificates that it names."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from exterview_auth.emulator import Emulator
from tests.kit import certificates
from tests.kit.command import Elsewhere, ran, ran_apart
from tests.kit.proxy import Proxy

USER = "clerk:s3cr3t-word"


@pytest.fixture
def proxy(elsewhere: Elsewhere) -> Iterator[Callable[..., Proxy]]:
    """Return a function that starts a proxy."""
    running: list[Proxy] = []

    def start(user: str | None = None) -> Proxy:
        running.append(elsewhere.run(Proxy(user).start()))
        return running[-1]

    yield start
    for each in running:
        elsewhere.run(each.stop())


@pytest.mark.parametrize("command", ["check", "token", "doctor"])
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
def test_requests_and_logins_go_through_the_proxy(
    command: str, name: str, emulator: Emulator, proxy: Callable[..., Proxy]
) -> None:
    """Both of them: the first token comes before any request."""
    here = proxy(USER)
    ran(command, environ={name: f"http://{USER}@127.0.0.1:{here.port}"}).printed()
    assert {("POST", emulator.endpoint)} <= set(here.asked)
    assert {target for _, target in here.asked} == {emulator.endpoint}
    assert len(here.asked) == emulator.stats().requests


@pytest.mark.parametrize("command", ["check", "token", "doctor"])
def test_what_is_left_out_of_the_proxy_goes_directly(
    command: str, emulator: Emulator, proxy: Callable[..., Proxy]
) -> None:
    """NO_PROXY, as everywhere."""
    here = proxy()
    ran(command, environ={"HTTP_PROXY": f"http://127.0.0.1:{here.port}", "NO_PROXY": "127.0.0.1"}).printed()
    assert here.asked == []
    assert emulator.stats().requests >= 1


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("command", ["check", "token"])
def test_a_proxy_elsewhere_does_not_see_plain_http(command: str) -> None:
    """With what to do about it; the proxy's password is not repeated."""
    done = ran(command, "--timeout", "2", environ={"HTTP_PROXY": f"http://{USER}@proxy.example:3128"})
    assert "s3cr3t" not in done.failed(
        2, "would pass the proxy proxy.example in clear; leave this machine out of the proxy"
    )


@pytest.fixture
def behind_tls(
    elsewhere: Elsewhere, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Serve an API over TLS, under a name that no resolver knows; return its origin."""
    files = certificates.certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        document = (await request.json())["query"] if request.method == "POST" else ""
        found = {"login": {"token": emulator.issue_token()}} if "login" in document else {"__typename": "Query"}
        return web.json_response({"data": found})

    server = RawTestServer(answer)
    elsewhere.run(server.start_server(ssl=context))
    origin = f"{certificates.HOST}:{server.port}"
    monkeypatch.setenv("EXTERVIEW_ENDPOINT", f"https://{origin}/graphql")
    monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
    yield origin
    elsewhere.run(server.close())


@pytest.mark.parametrize("command", ["check", "token", "doctor"])
def test_tls_passes_a_proxy_in_a_tunnel(command: str, behind_tls: str, proxy: Callable[..., Proxy]) -> None:
    """The proxy resolves the name, and sees nothing but that; a private CA is named by SSL_CERT_FILE."""
    here = proxy(USER)
    ran_apart(command, environ={"HTTPS_PROXY": f"http://{USER}@127.0.0.1:{here.port}"}).printed()
    assert set(here.asked) == {("CONNECT", behind_tls)}


@pytest.mark.usefixtures("behind_tls")
@pytest.mark.parametrize("command", ["check", "token", "doctor"])
def test_a_proxy_that_refuses_is_one_sentence_without_its_password(command: str, proxy: Callable[..., Proxy]) -> None:
    """407, for a login and for a request."""
    here = proxy("another:user")
    done = ran(command, "--timeout", "1", environ={"HTTPS_PROXY": f"http://{USER}@127.0.0.1:{here.port}"})
    assert done.code == 1
    assert "s3cr3t" not in done.out + done.err
    assert f"the proxy http://127.0.0.1:{here.port} from HTTPS_PROXY answered 407" in done.out + done.err
    assert "Traceback" not in done.err


@pytest.mark.usefixtures("behind_tls")
@pytest.mark.parametrize("command", ["check", "token", "doctor"])
@pytest.mark.parametrize(
    ("host", "why"), [("127.0.0.1:1", "the connection was refused"), ("nowhere.invalid:3128", "its host name was not")]
)
def test_a_proxy_that_cannot_be_reached_is_named(command: str, host: str, why: str) -> None:
    """With its variable, by each command alike; the API's own name and network are not blamed."""
    # Time enough for a resolver that thinks about a name that there is not.
    done = ran(command, "--timeout", "5", environ={"https_proxy": f"http://{USER}@{host}"})
    assert done.code == 1
    printed = done.out + done.err
    assert f"the proxy http://{host} from https_proxy cannot be reached: {why}" in printed
    assert "; correct https_proxy, or leave " in printed
    # In every line: a service without trust_env has another problem.
    assert "a program uses that proxy only with ClientSession(trust_env=True)" in printed
    assert "s3cr3t" not in printed


@pytest.mark.usefixtures("behind_tls")
def test_an_unknown_authority_is_named(proxy: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate is not trusted, also through a proxy; `doctor` says how to trust it."""
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy().port}")
    done = ran("doctor", "--timeout", "2")
    assert done.code == 1
    [tls] = [line for line in done.out.splitlines() if line.startswith("fail  tls: ")]
    assert f"the certificate of {certificates.HOST} is not trusted through the proxy" in tls
    assert "SSL_CERT_FILE" in tls
