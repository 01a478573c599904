"""Metrics and spans: what OpenTelemetry's own SDK exports of owners and pools."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from opentelemetry import metrics
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Gauge, Histogram, InMemoryMetricReader, Metric, Sum
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode, get_current_span
from yarl import URL

from exterview_auth import (
    AuthPool,
    AuthSession,
    ConfigurationError,
    CredentialsRejectedError,
    ExterviewAuth,
    LoginContext,
    LoginError,
    LoginRecord,
    MemoryStore,
    PasswordLogin,
    StaticLogin,
    Token,
)
from exterview_auth._records import Listener
from exterview_auth.telemetry import observe
from exterview_auth.telemetry._instruments import BUCKETS
from tests.kit.api import KEY, PLAIN, Scene, post, revoked, scene, signed_in, until
from tests.kit.failing_store import FailingStore
from tests.kit.telemetry import Seen, keys_of, traced

ROOT = Path(__file__).parents[1]


@pytest.fixture
def seen() -> Seen:
    """The SDK with exporters in memory."""
    return Seen()


def owner(login: Any = None, **options: Any) -> ExterviewAuth:
    """An owner that needs no network."""
    return ExterviewAuth(login or StaticLogin("token"), **{"api_key": "key", "account": "me@acme.test", **options})


def logging_in(*lives: float | None) -> Any:
    """A login whose tokens live so long, one after another; the last of them again and again."""
    numbers = iter(range(1000))

    async def login(_context: LoginContext) -> Token:
        number = next(numbers)
        return Token(f"token-{number}", expires_in=lives[min(number, len(lives) - 1)])

    return login


# -- metrics ------------------------------------------------------------------------------------------------------------


async def everything(seen: Seen, name: str | None = None) -> dict[str, Metric]:
    """Let everything happen that a metric tells of, and return the metrics while the owner exists."""
    store = FailingStore()
    async with scene(store=store, account="me@acme.test", max_logins=(9, 60.0)) as at:
        seen.observe(at.auth, name)
        assert await at.statuses(5) == {200}
        at.api.revoke()
        assert await at.statuses(5) == {200}
        at.auth.invalidate(await at.auth.token())
        store.entries[next(iter(store.entries))] = Token(at.api.issue(), expires_in=60)
        await at.auth.token()
        store.faults["load"] = OSError("down")
        at.auth.invalidate(await at.auth.token())
        at.login.error = CredentialsRejectedError("no")
        with pytest.raises(CredentialsRejectedError):
            await at.auth.token()
        at.login.error = None
        await at.auth.logout()
        at.auth.invalidate(await at.auth.token())
        await at.auth.token()
        return seen.metrics()


def kind_of(metric: Metric) -> str:
    """What the page calls an instrument."""
    data = metric.data
    if isinstance(data, Sum):
        return "counter" if data.is_monotonic else "up-down counter"
    return "histogram" if isinstance(data, Histogram) else "gauge" if isinstance(data, Gauge) else "unknown"


def listed() -> dict[str, tuple[str, str, set[str]]]:
    """Instrument, unit and attributes of each metric in the page of events and metrics."""
    text = (ROOT / ".github" / "EVENTS.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `exterview_auth\.([a-z.]+)` \| ([a-z -]+) \| `([^`]+)` \|([^|]*)\|", text, re.MULTILINE)
    return {name: (kind, unit, set(re.findall(r"`([\w.]+)`", keys))) for name, kind, unit, keys in rows}


async def test_the_page_lists_all_metrics(seen: Seen) -> None:
    """Names, instruments, units and attributes, exactly those of the table; each with a description."""
    metrics = await everything(seen)
    found = {name: (kind_of(each), each.unit, set(keys_of(each))) for name, each in metrics.items()}
    assert found == listed()
    assert all(metric.description for metric in metrics.values())


async def test_the_account_is_named_where_it_is_asked_for_and_nowhere_else(seen: Seen) -> None:
    """Never the account's own name, which may be an e-mail address; no token and no key."""
    named = Seen()
    metrics, metrics_of_acme = await everything(seen), await everything(named, "acme")
    for name, metric in metrics_of_acme.items():
        for point in metric.data.data_points:
            assert (point.attributes or {})["exterview_auth.account.name"] == "acme", name
    spans = [span.to_json() for one in (seen, named) for span in one.exporter.get_finished_spans()]
    assert not re.search(r"me@acme|token-\d|" + re.escape(KEY), f"{metrics}{metrics_of_acme}{spans}")
    assert "account.name" not in str(metrics)


async def test_logins_are_counted_by_reason_server_and_error(seen: Seen) -> None:
    """The conventions: one metric for all outcomes, and ``error.type`` on failure only."""
    async with signed_in() as at:
        handle = seen.observe(at.auth)
        at.api.revoke()
        assert await at.statuses(3) == {200}
        at.auth.invalidate(await at.auth.token())
        at.login.error = CredentialsRejectedError("no")
        with pytest.raises(CredentialsRejectedError):
            await at.auth.token()
        port = URL(at.api.endpoint).port
        about = {"server.address": "127.0.0.1", "server.port": port, "exterview_auth.login.reason": "refused"}
        assert seen.points("login.duration") == {
            frozenset(about.items()): 1,
            frozenset({**about, "error.type": "CredentialsRejectedError"}.items()): 1,
        }
        handle.stop()


async def test_histograms_have_buckets_for_seconds(seen: Seen) -> None:
    """The SDK's own bounds are for milliseconds: every login would be in the first of them."""
    metrics: dict[str, Any] = await everything(seen)
    for name in ("login.duration", "request.wait.duration", "store.operation.duration"):
        assert {point.explicit_bounds for point in metrics[name].data.data_points} == {BUCKETS}


@PLAIN
async def test_a_storm_is_counted_as_stats_counts_it(seen: Seen, *, plain: bool) -> None:
    """Refusals, replays, waits and logins: the same numbers as ``stats()``, for the middleware and for `AuthSession`."""
    async with scene(plain=plain, seconds=0.05) as at:
        seen.observe(at.auth)
        cold = asyncio.ensure_future(at.statuses(20))
        await until(lambda: at.auth.stats().waiting == 20)
        assert seen.points("request.waiting") == {frozenset(): 20}
        assert await cold == {200}
        at.api.revoke()
        assert await at.statuses(20) == {200}
        stats = at.auth.stats()
        assert seen.points("request.waiting") == {frozenset(): 0}
        assert seen.total("requests.refused") == stats.unauthorized > 0
        assert seen.total("requests.replayed") == stats.replays == stats.unauthorized
        assert seen.total("login.duration") == stats.logins == 2
        assert seen.total("logins.useless") == stats.useless_logins == 0
        assert 20 < seen.total("request.wait.duration") <= 40


async def test_adoptions_are_no_logins(seen: Seen) -> None:
    """They count in ``tokens.adopted``."""
    store = MemoryStore()
    first, second = owner(logging_in(60), store=store), owner(logging_in(60), store=store)
    for each in (first, second):
        seen.observe(each)
        await each.token()
    assert (seen.total("login.duration"), seen.total("tokens.adopted")) == (1, 1)
    operations = {dict(found)["exterview_auth.store.operation"] for found in seen.points("store.operation.duration")}
    assert operations == {"load", "lock", "save", "unlock"}
    await first.aclose()
    await second.aclose()


@PLAIN
async def test_a_wait_that_ends_with_the_requests_time_is_a_timeout(seen: Seen, *, plain: bool) -> None:
    """The same error as the caller gets, wherever the request has waited."""
    async with scene(plain=plain) as at:
        seen.observe(at.auth)
        at.login.gate.clear()
        with pytest.raises(TimeoutError):
            await at.post(timeout=aiohttp.ClientTimeout(total=0.1))
        leaving = asyncio.ensure_future(at.post())
        await until(lambda: at.auth.stats().waiting == 1)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert seen.points("request.wait.duration") == {
            frozenset({("error.type", "TimeoutError")}): 1,
            frozenset({("error.type", "CancelledError")}): 1,
        }
        at.login.gate.set()


# -- several owners, pools ----------------------------------------------------------------------------------------------


async def test_owners_of_the_same_name_add_up_and_the_token_that_ends_first_shows(seen: Seen) -> None:
    """An opaque token has no end, and does not count."""
    owners = [owner(logging_in(life)) for life in (100, 1000, None)]
    for each in owners:
        seen.observe(each, "acme")
        await each.token()
    other = owner(logging_in(None))
    seen.observe(other, "opaque")
    await other.token()
    acme = frozenset({("exterview_auth.account.name", "acme")})
    ((attributes, left),) = seen.points("token.remaining").items()
    assert attributes == acme
    assert 95 < left <= 100
    logins = {
        dict(found)["exterview_auth.account.name"]: count for found, count in seen.points("login.duration").items()
    }
    assert logins == {"acme": 3, "opaque": 1}
    for each in (*owners, other):
        await each.aclose()


async def test_a_refused_or_expired_token_has_nothing_left(seen: Seen) -> None:
    """As ``auth.current``: it is absent, and does not stay at zero for an account that nobody uses."""
    auth = owner(logging_in(100))
    seen.observe(auth)
    assert seen.points("token.remaining") == {}
    auth.invalidate(await auth.token())
    assert seen.points("token.remaining") == {}
    await auth.aclose()


async def test_an_observed_owner_is_not_kept_alive_and_its_counters_stay(seen: Seen) -> None:
    """No counter falls when an owner is dropped; what tells of now is gone with it."""
    auth = owner(logging_in(100))
    seen.observe(auth)
    await auth.token()
    await auth.aclose()
    gone = weakref.ref(auth)
    del auth
    gc.collect()
    assert gone() is None
    assert seen.total("login.duration") == 1
    assert seen.points("token.remaining") == seen.points("request.waiting") == {}


@contextlib.asynccontextmanager
async def pool_of(**options: Any) -> AsyncIterator[AuthPool]:
    async with AuthPool(lambda account: owner(logging_in(100), account=account), **options) as pool:
        yield pool


async def test_a_pool_is_observed_as_a_whole(seen: Seen) -> None:
    """Owners from before, later ones, and evicted ones that somebody holds; what the evicted have counted stays."""
    async with pool_of(maxsize=2) as pool:
        before = pool["before"]
        handle = seen.observe(pool, "pool")
        await before.token()
        for number in range(5):
            await pool[f"account-{number}"].token()
        assert seen.total("login.duration") == 6
        gc.collect()
        assert len(pool) == 2
        assert seen.total("login.duration") == 6
        before.invalidate(await before.token())
        await before.token()
        assert seen.total("login.duration") == 7
        assert len(seen.points("token.remaining")) == 1
        handle.stop()
        await pool["later"].token()
        before.invalidate(await before.token())
        await before.token()
        assert seen.total("login.duration") == 7
        assert seen.points("token.remaining") == {}


async def test_the_accounts_of_a_pool_may_be_on_several_servers(seen: Seen) -> None:
    """Each login has its own server's address."""

    def create(account: str) -> ExterviewAuth:
        return owner(logging_in(100), account=account, endpoint=f"https://{account}.test:8443/graphql")

    async with AuthPool(create) as pool:
        seen.observe(pool)
        for account in ("eu", "us", "eu"):
            await pool[account].token()
    addresses = {
        (dict(found)["server.address"], dict(found)["server.port"]): count
        for found, count in seen.points("login.duration").items()
    }
    assert addresses == {("eu.test", 8443): 1, ("us.test", 8443): 1}


async def test_the_accounts_of_a_pool_are_told_apart_by_its_factory(seen: Seen) -> None:
    """An account that was evicted and came back goes on where it was."""

    def create(account: str) -> ExterviewAuth:
        auth = owner(logging_in(100), account=account)
        seen.observe(auth, account)
        return auth

    async with AuthPool(create, maxsize=1) as pool:
        for account in ("acme", "globex", "acme"):
            await pool[account].token()
            gc.collect()
        logins = {
            dict(found)["exterview_auth.account.name"]: count for found, count in seen.points("login.duration").items()
        }
        assert logins == {"acme": 2, "globex": 1}
        assert len(seen.points("token.remaining")) == 1


@pytest.mark.parametrize("order", ["alone first", "pool first", "in the factory"])
async def test_an_owner_observed_alone_and_in_its_pool_counts_once(seen: Seen, order: str) -> None:
    """Under one name, in whatever order: what tells of now, counters, histograms and spans."""
    logs_in = asyncio.Event()

    async def login(_: LoginContext) -> Token:
        await logs_in.wait()
        return Token("token", expires_in=100)

    def create(account: str) -> ExterviewAuth:
        auth = owner(login, account=account)
        if order == "in the factory":
            seen.observe(auth, "acme")
        return auth

    async with AuthPool(create) as pool:
        if order != "alone first":
            seen.observe(pool, "acme")
        seen.observe(pool["acme"], "acme")
        seen.observe(pool, "acme")
        waiting = asyncio.ensure_future(pool["acme"].token())
        await until(lambda: pool["acme"].stats().waiting == 1)
        assert seen.total("request.waiting") == 1
        logs_in.set()
        pool["acme"].invalidate(await waiting)
        for metric in ("login.duration", "request.wait.duration", "logins.useless"):
            assert seen.total(metric) == 1, metric
        assert len(seen.spans("exterview_auth.login")) == 1


@pytest.mark.parametrize("first", ["alone", "pool"])
@pytest.mark.parametrize("stopped", ["alone", "pool"])
async def test_stop_ends_what_its_own_handle_began(seen: Seen, first: str, stopped: str) -> None:
    """The owner counts on, once, while the other handle observes it, and no more when both have stopped."""
    async with pool_of() as pool:
        auth = pool["acme"]
        targets: dict[str, ExterviewAuth | AuthPool] = {"alone": auth, "pool": pool}
        handles = {name: seen.observe(targets[name], "acme") for name in sorted(targets, key=first.__ne__)}
        handles.pop(stopped).stop()
        await auth.token()
        assert (seen.total("login.duration"), len(seen.points("token.remaining"))) == (1, 1)
        assert len(seen.spans("exterview_auth.login")) == 1
        for handle in handles.values():
            handle.stop()
        auth.invalidate(await auth.token())
        await auth.token()
        assert (seen.total("login.duration"), len(seen.points("token.remaining"))) == (1, 0)


async def test_an_owner_of_a_dropped_pool_that_is_observed_alone_counts_once(seen: Seen) -> None:
    """The pool's observation still writes of it."""
    pool = AuthPool(lambda account: owner(logging_in(100), account=account))
    seen.observe(pool)
    held = pool["held"]
    del pool
    gc.collect()
    seen.observe(held)
    await held.token()
    assert seen.total("login.duration") == 1
    await held.aclose()


async def test_a_dropped_pool_is_not_kept_alive(seen: Seen) -> None:
    """Its owners are still counted, as long as somebody uses one."""
    pool = AuthPool(lambda account: owner(logging_in(100), account=account))
    seen.observe(pool)
    held = pool["held"]
    gone = weakref.ref(pool)
    del pool
    gc.collect()
    assert gone() is None
    await held.token()
    assert seen.total("login.duration") == 1
    await held.aclose()


async def test_exports_may_run_in_another_thread(seen: Seen) -> None:
    """As those of the SDK do: a pool that grows meanwhile disturbs no reading."""
    stop, failures = threading.Event(), []

    def export() -> None:
        while not stop.is_set():
            try:
                seen.metrics()
            except Exception as failure:  # noqa: BLE001 - whatever it is
                failures.append(failure)

    async with pool_of(maxsize=50) as pool:
        seen.observe(pool)
        thread = threading.Thread(target=export)
        thread.start()
        for number in range(2000):
            pool[f"account-{number}"]
        stop.set()
        thread.join()
    assert failures == []


# -- the handle ---------------------------------------------------------------------------------------------------------


async def test_a_stopped_observation_exports_nothing_more(seen: Seen) -> None:
    """What was counted stays; stopping twice is fine, also when the owner is gone."""
    auth = owner(logging_in(100))
    handle = seen.observe(auth)
    await auth.token()
    handle.stop()
    auth.invalidate(await auth.token())
    await auth.token()
    handle.stop()
    assert seen.total("login.duration") == 1
    assert seen.points("request.waiting") == seen.points("token.remaining") == {}
    again = seen.observe(auth)
    assert again is not handle
    auth.invalidate(await auth.token())
    await auth.token()
    assert seen.total("login.duration") == 2
    await auth.aclose()
    del auth
    gc.collect()
    again.stop()


async def test_observing_twice_is_observing_once(seen: Seen) -> None:
    """The same object, name and providers are one observation; another name is another, and counts for itself."""
    auth = owner(logging_in(100))
    handle = seen.observe(auth)
    assert seen.observe(auth) is handle
    assert seen.observe(auth, "acme") is not handle
    await auth.token()
    assert sorted(seen.points("login.duration").values()) == [1, 1]
    await auth.aclose()


async def test_observing_with_two_tracer_providers_counts_once(seen: Seen) -> None:
    """Each has the login's span, and the meter provider the login once."""
    other = Seen()
    auth = owner(logging_in(100))
    handles = [seen.observe(auth), observe(auth, meter_provider=seen.meters, tracer_provider=other.tracers)]
    await auth.token()
    assert seen.total("login.duration") == 1
    assert [len(each.spans("exterview_auth.login")) for each in (seen, other)] == [1, 1]
    handles[0].stop()
    auth.invalidate(await auth.token())
    await auth.token()
    assert seen.total("login.duration") == 2
    assert [len(each.spans("exterview_auth.login")) for each in (seen, other)] == [1, 2]
    await auth.aclose()


GLOBAL = """
import asyncio
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from exterview_auth import ExterviewAuth, Token
from exterview_auth.telemetry import observe

async def login(_):
    return Token("t", expires_in=100)

async def main():
    early, late, explicit = (ExterviewAuth(login, api_key="key", account=name) for name in "abc")
    observe(early)
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    metrics.set_meter_provider(provider)
    observe(late)
    observe(explicit, meter_provider=provider)
    for auth in (early, late, explicit):
        await auth.token()
    found = {m.name: m.data.data_points for r in reader.get_metrics_data().resource_metrics
             for s in r.scope_metrics for m in s.metrics}
    print(found["exterview_auth.login.duration"][0].count, found["exterview_auth.request.waiting"][0].value,
          found["exterview_auth.token.remaining"][0].value > 90)
    early.invalidate(await early.token())
    late.invalidate(await late.token())
    explicit.invalidate(await explicit.token())
    names = [m.name for r in reader.get_metrics_data().resource_metrics for s in r.scope_metrics for m in s.metrics]
    print("exterview_auth.token.remaining" in names)
    for auth in (early, late, explicit):
        await auth.aclose()

asyncio.run(main())
"""


def test_the_global_provider_may_be_set_before_or_after() -> None:
    """Observations from before are in the same metrics as later ones, those that are read at each export too."""
    command = [sys.executable, "-W", "error", "-c", GLOBAL]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("3 0 True\nFalse\n", "")


GLOBAL_TRACERS = """
import asyncio
from opentelemetry import trace
from exterview_auth import ExterviewAuth, Token
from exterview_auth.telemetry import observe
from tests.kit.telemetry import Seen

async def login(_):
    return Token("t", expires_in=100)

async def main():
    seen = Seen()
    async with ExterviewAuth(login, api_key="key") as auth:
        early = observe(auth, meter_provider=seen.meters)
        trace.set_tracer_provider(seen.tracers)
        late, explicit = observe(auth, meter_provider=seen.meters), seen.observe(auth)
        await auth.token()
    print(early is late is explicit, seen.total("login.duration"), len(seen.spans("exterview_auth.login")))

asyncio.run(main())
"""


def test_the_global_tracer_provider_may_be_set_in_between() -> None:
    """An observation from before is that of the provider which was set: the owner counts once, by one handle."""
    command = [sys.executable, "-W", "error", "-c", GLOBAL_TRACERS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("True 1 1\n", "")


async def test_without_providers_nothing_happens() -> None:
    """OpenTelemetry's own defaults do nothing, and neither do we."""
    auth = owner()
    handle = observe(auth)
    await auth.token()
    handle.stop()
    await auth.aclose()


async def test_a_provider_that_fails_breaks_no_request(seen: Seen) -> None:
    """What an application configures there may raise; its requests go on, and stats() counts."""

    class Broken(MeterProvider):
        def get_meter(self, *args: Any, **options: Any) -> Any:
            meter = super().get_meter(*args, **options)
            create = meter.create_histogram

            def create_broken(*args: Any, **options: Any) -> Any:
                histogram = create(*args, **options)
                histogram.record = None  # type: ignore[assignment]
                return histogram

            meter.create_histogram = create_broken  # type: ignore[method-assign]
            return meter

    async with scene() as at:
        observe(at.auth, meter_provider=Broken([InMemoryMetricReader()]))
        assert await at.statuses(3) == {200}
        assert at.auth.stats().logins == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"auth": None}, "observe takes an ExterviewAuth or an AuthPool, not NoneType"),
        (
            {"auth": ExterviewAuth},
            "observe takes an ExterviewAuth or an AuthPool, not the class ExterviewAuth; create an instance",
        ),
        ({"name": 5}, "name must be a text that names the account in metrics, not int"),
        ({"name": " "}, "name must be a text that names the account in metrics, not an empty text"),
        ({"meter_provider": "otel"}, "meter_provider must be one of OpenTelemetry, not str"),
        ({"tracer_provider": MeterProvider()}, "tracer_provider must be one of OpenTelemetry, not MeterProvider"),
        (
            {"meter_provider": NoOpMeterProvider},
            "meter_provider must be one of OpenTelemetry, not the class NoOpMeterProvider; create an instance",
        ),
        (
            {"tracer_provider": TracerProvider},
            "tracer_provider must be one of OpenTelemetry, not the class TracerProvider; create an instance",
        ),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], sentence: str) -> None:
    """Before an instrument is made."""
    with pytest.raises(ConfigurationError) as caught:
        observe(**{"auth": owner(), **arguments})
    assert str(caught.value) == sentence


class _WithoutWeakReferences:
    """A provider as an application may write it, to pass meters on."""

    __slots__ = ("get_meter",)

    def __init__(self) -> None:
        self.get_meter = NoOpMeterProvider().get_meter


class _WithoutHash(NoOpMeterProvider):
    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("kind", [_WithoutWeakReferences, _WithoutHash])
@pytest.mark.parametrize("argument", ["meter_provider", "the global meter provider"])
def test_a_provider_that_cannot_be_a_weak_key_is_named(
    kind: type[Any], argument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instruments are found by their provider and live as long: one sentence says what its class needs for that."""
    provider = kind()
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    with pytest.raises(ConfigurationError) as caught:
        observe(owner(), meter_provider=provider if argument == "meter_provider" else None)
    assert str(caught.value) == (
        f"{argument} must be hashable and allow weak references, not {kind.__name__};"
        " wrap it in a class without __slots__ and __eq__"
    )


def test_without_opentelemetry_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bad input: `ConfigurationError`."""
    monkeypatch.setitem(sys.modules, "exterview_auth.telemetry._observer", None)
    with pytest.raises(
        ConfigurationError, match=r"^observe needs opentelemetry-api: install exterview_auth with its extra `otel`$"
    ):
        observe(owner())


# -- traces -------------------------------------------------------------------------------------------------------------


async def post_in_span(at: Scene, seen: Seen, name: str, times: int = 1) -> set[int]:
    """Send requests in one span of the application's."""
    with seen.tracer.start_as_current_span(name):
        return await at.statuses(times)


async def test_a_login_is_a_root_span_linked_to_the_spans_that_wait(seen: Seen) -> None:
    """No request is its parent; each waiting span is linked once; its own requests are its children."""
    async with scene(seconds=0.05) as at:
        seen.observe(at.auth, "acme")
        current: list[Any] = []

        async def first(_: LoginContext) -> None:
            current.append(get_current_span().get_span_context().span_id)
            with seen.tracer.start_as_current_span("POST /login"):
                pass

        at.login.first = first
        names = [f"request {number}" for number in range(3)]
        assert await asyncio.gather(*(post_in_span(at, seen, name, 4) for name in names)) == [{200}] * 3
        (login,) = seen.spans("exterview_auth.login")
        assert login.parent is None
        ids = {seen.spans(name)[0].context.span_id for name in names}
        assert sorted(link.context.span_id for link in login.links) == sorted(ids)
        assert login.context.trace_id not in {seen.spans(name)[0].context.trace_id for name in names}
        assert current == [login.context.span_id]
        (child,) = seen.spans("POST /login")
        assert child.parent is not None
        assert child.parent.span_id == login.context.span_id
        port = URL(at.api.endpoint).port
        assert dict(login.attributes or {}) == {
            "exterview_auth.account.name": "acme",
            "server.address": "127.0.0.1",
            "server.port": port,
            "exterview_auth.login.reason": "first",
            "exterview_auth.login.outcome": "issued",
            "exterview_auth.login.attempts": 1,
            "exterview_auth.login.waiting": 12,
        }
        assert login.status.status_code is StatusCode.UNSET
        assert login.start_time is not None
        assert login.end_time is not None
        assert 0.04 < (login.end_time - login.start_time) / 1e9 < 5


async def test_a_failed_login_is_a_failed_span(seen: Seen) -> None:
    """With the type of its error and nothing else of it."""
    async with scene() as at:
        seen.observe(at.auth)
        at.login.error = CredentialsRejectedError("s3cret")
        with pytest.raises(LoginError):
            await at.auth.token()
        (login,) = seen.spans("exterview_auth.login")
        assert login.status.status_code is StatusCode.ERROR
        assert (login.attributes or {})["error.type"] == "CredentialsRejectedError"
        assert "s3cret" not in login.to_json()


async def test_a_login_for_which_no_span_waits_has_no_links(seen: Seen) -> None:
    """And one that had nothing newer says so."""
    auth = owner(StaticLogin("fixed"))
    seen.observe(auth)
    token = await auth.token()
    auth.invalidate(token)
    await auth.token()
    outcomes = [(span.attributes or {})["exterview_auth.login.outcome"] for span in seen.spans("exterview_auth.login")]
    assert outcomes == ["issued", "none"]
    assert all(not span.links for span in seen.spans("exterview_auth.login"))
    assert seen.total("login.duration") == 1
    await auth.aclose()


async def test_an_owner_that_is_observed_during_a_login_is_counted_from_then_on(seen: Seen) -> None:
    """The login's end is told, with a span from the first that joined it since."""
    async with scene() as at:
        at.login.gate.clear()
        waiting = [asyncio.ensure_future(at.post())]
        await until(lambda: at.auth.stats().waiting == 1)
        seen.observe(at.auth)
        waiting.append(asyncio.ensure_future(at.post()))
        await until(lambda: at.auth.stats().waiting == 2)
        at.login.gate.set()
        await asyncio.gather(*waiting)
        assert seen.total("login.duration") == 1
        assert seen.total("request.wait.duration") == 1
        assert len(seen.spans("exterview_auth.login")) == 1


async def test_a_request_that_joins_after_the_login_ended_begins_no_second_span(seen: Seen) -> None:
    """While its token is saved, or the hook runs."""
    reached, over = asyncio.Event(), asyncio.Event()

    async def on_token(*_: object) -> None:
        reached.set()
        await over.wait()

    auth = owner(logging_in(100), on_token=on_token)
    seen.observe(auth)
    first = asyncio.ensure_future(auth.token())
    await reached.wait()
    auth.invalidate(auth._keeper.state.current.token)  # type: ignore[union-attr]
    second = asyncio.ensure_future(auth.token())
    await until(lambda: auth.stats().waiting == 2)
    over.set()
    await asyncio.gather(first, second)
    assert len(seen.spans("exterview_auth.login")) == seen.total("login.duration") == auth.stats().logins
    await auth.aclose()


async def test_an_adoption_right_after_a_login_makes_no_second_span(seen: Seen) -> None:
    """A process that was paused during its save adopts the newer token that it finds then: both are counted."""
    auth = owner(logging_in(100))
    seen.observe(auth)
    began: list[LoginRecord] = []
    flights: list[object] = []

    class Repeats(Listener):
        def login_ended(self, flight: object, record: LoginRecord | None) -> None:
            assert record is not None
            began.append(record)
            flights.append(flight)

    feed = auth._keeper.account
    feed.listen(Repeats())
    await auth.token()
    feed.login_ended(flights[0], dataclasses.replace(began[0], outcome="adopted"))
    assert len(seen.spans("exterview_auth.login")) == 1
    assert (seen.total("login.duration"), seen.total("tokens.adopted")) == (1, 1)
    await auth.aclose()


async def test_a_replay_is_an_event_of_the_requests_span(seen: Seen) -> None:
    """``exterview_auth.replay``, and ``http.request.resend_count`` also on the span of the HTTP request itself."""
    async with revoked(session={"trace_configs": [traced(seen)]}) as at:
        seen.exporter.clear()
        seen.observe(at.auth)
        assert await at.statuses(3) == {200}
        spans = seen.spans("HTTP")
        assert len(spans) == 3
        for span in spans:
            assert [(event.name, dict(event.attributes or {})) for event in span.events] == [
                ("exterview_auth.replay", {"http.request.resend_count": 1})
            ]
            assert (span.attributes or {})["http.request.resend_count"] == 1
        (login,) = seen.spans("exterview_auth.login")
        assert {link.context.span_id for link in login.links} <= {span.context.span_id for span in spans}


async def test_a_replay_within_a_span_of_the_applications_is_its_event_alone(seen: Seen) -> None:
    """Such a span may be around many requests, and is none of them."""
    async with revoked() as at:
        seen.observe(at.auth)
        assert await post_in_span(at, seen, "handler", 2) == {200}
        (span,) = seen.spans("handler")
        assert [event.name for event in span.events] == ["exterview_auth.replay"] * 2
        assert not span.attributes


async def test_a_replay_is_one_event_however_often_the_owner_is_observed(seen: Seen) -> None:
    """Under another name, and by another tracer provider: the span is the request's, and not the observation's."""
    async with revoked() as at:
        seen.observe(at.auth, "acme")
        handle = seen.observe(at.auth, "globex")
        observe(at.auth, meter_provider=seen.meters, tracer_provider=TracerProvider())
        assert await post_in_span(at, seen, "handler") == {200}
        handle.stop()
        at.api.revoke()
        assert await post_in_span(at, seen, "handler") == {200}
        assert [len(span.events) for span in seen.spans("handler")] == [1, 1]


async def test_what_is_not_sampled_costs_no_span(seen: Seen) -> None:
    """The application's sampler decides about logins too; metrics are counted all the same."""
    tracers = TracerProvider(sampler=ALWAYS_OFF)
    async with revoked() as at:
        observe(at.auth, meter_provider=seen.meters, tracer_provider=tracers)
        with tracers.get_tracer("application").start_as_current_span("handler"):
            assert await at.statuses(2) == {200}
        assert seen.total("requests.replayed") == 2
        assert seen.spans("exterview_auth.login") == []


async def test_the_owner_of_a_retried_login_tells_its_attempts(seen: Seen) -> None:
    """One login, one span and one value, however often it was attempted."""
    async with scene() as at:
        seen.observe(at.auth)
        failures = [OSError("down"), OSError("down")]

        async def first(_: LoginContext) -> None:
            if failures:
                raise failures.pop()

        at.login.first = first
        assert (await post(AuthSession(at.http, at.auth), at.api.endpoint))[0] == 200
        (login,) = seen.spans("exterview_auth.login")
        assert (login.attributes or {})["exterview_auth.login.attempts"] == 3
        assert seen.total("login.duration") == 1


def test_a_password_logins_owner_is_named_by_nobody(seen: Seen) -> None:
    """Not even in what is exported before anything has happened."""
    auth = ExterviewAuth(PasswordLogin("me@acme.test", "secret"), api_key="key")
    seen.observe(auth)
    assert "acme" not in str(seen.metrics())
