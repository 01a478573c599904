"""
A fleet: taskiq's workers on many machines, many accounts, one Redis for their tokens, and metrics for each account.

Install: ``taskiq``, ``taskiq-redis``, ``opentelemetry-sdk``, ``opentelemetry-exporter-prometheus``, and this library with its
extras ``redis``, ``crypto`` and ``otel``. Set EXTERVIEW_STORE (``redis://...``, and EXTERVIEW_STORE_KEY or EXTERVIEW_STORE_KEY_FILE),
QUEUE_URL, and for an account ``acme`` ACME_EMAIL and ACME_PASSWORD. Run: ``taskiq worker with_fleet:broker --workers 3``. All processes together log in once for
each account, and again once when its token is revoked. Each serves its metrics on the first free port from METRICS_PORT on, which
it logs: on a port that they share, a scrape would meet any one of them. Scrape twice as many ports as there are workers, because new ones
start while old ones end. A wrong password is sent by each process, and again after a pause.
"""

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Annotated

import aiohttp
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import start_http_server
from taskiq import AsyncBroker, Context, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

from exterview_auth import AuthPool, AuthSession, ExterviewAuth, RedisStore
from exterview_auth.telemetry import observe

QUEUE = os.environ.get("QUEUE_URL", "redis://localhost:6379/1")
log = logging.getLogger(__name__)
METRICS_PORT = int(os.environ.get("METRICS_PORT", "9464"))

# No socket timeout: with the 5 s of redis-py, a worker that waits for its next task ends in a `TimeoutError`.
broker: AsyncBroker = ListQueueBroker(QUEUE, socket_timeout=None).with_result_backend(
    RedisAsyncResultBackend(QUEUE, result_ex_time=600)
)


def variables_of(account: str) -> dict[str, str]:
    """Return the variables of ``from_env``: the common ones, and ``ACME_EMAIL``, ``ACME_PASSWORD`` for the account ``acme``."""
    own = {name: os.environ[f"{account.upper()}_{name}"] for name in ("EMAIL", "PASSWORD")}
    common = {name: value for name, value in os.environ.items() if name.startswith("EXTERVIEW_")}
    return {**common, **{f"EXTERVIEW_{name}": value for name, value in own.items()}}


def store_keys() -> list[str] | None:
    """Return the keys of the store, newest first, as ``from_env`` reads them."""
    file = os.environ.get("EXTERVIEW_STORE_KEY_FILE")
    text = os.environ.get("EXTERVIEW_STORE_KEY") or (Path(file).read_text() if file else "")
    return text.replace(",", " ").split() if text or file else None


def common_store() -> RedisStore:
    place = os.environ.get("EXTERVIEW_STORE")
    if not place:
        raise RuntimeError(
            "EXTERVIEW_STORE is not set; set it to the Redis of all workers, such as redis://localhost:6379/0"
        )
    return RedisStore(place, encryption_key=store_keys())


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def start(state: TaskiqState) -> None:
    # One store for all accounts: two connections for each process, however many accounts it serves.
    store = common_store()
    meters = MeterProvider([PrometheusMetricReader()])

    def owner_of(account: str) -> ExterviewAuth:
        owner = ExterviewAuth.from_env(variables_of(account), account=account, store=store)
        observe(owner, name=account, meter_provider=meters)
        return owner

    state.store, state.meters, state.pool = store, meters, AuthPool(owner_of)
    # No cookies: a jar would send one account's session cookie with another's requests.
    state.http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
    state.metrics = serve_metrics()
    # taskiq's handler of SIGTERM does not wake an asyncio loop that waits for the next task. With a handler of its own, for any
    # signal, the loop wakes at each.
    asyncio.get_running_loop().add_signal_handler(signal.SIGURG, lambda: None)


def serve_metrics() -> int:
    for port in range(METRICS_PORT, METRICS_PORT + 100):
        try:
            start_http_server(port)
        except OSError:
            continue  # another worker's
        log.info("metrics are on port %d", port)
        return port
    raise RuntimeError(f"no port is free from {METRICS_PORT} on; choose another METRICS_PORT")


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def stop(state: TaskiqState) -> None:
    await state.pool.aclose()
    await state.store.aclose()
    await state.http.close()
    state.meters.shutdown()


@broker.task
async def count_interviews(account: str, context: Annotated[Context, TaskiqDepends()]) -> int:
    api = AuthSession(context.state.http, context.state.pool[account])
    data = await api.graphql("query { interviews { id } }")
    return len(data["interviews"])
