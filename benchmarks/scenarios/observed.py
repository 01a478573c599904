"""What telemetry costs where it has something to tell: requests that are refused, wait and are sent again. Part of ``overhead``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import ClientSession
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from exterview_auth import ExterviewAuth
from exterview_auth.telemetry import observe

from ..harness.api import QUERY, Api, answered, unlimited
from ..harness.cost import COLUMNS, Ask, Cost, cost_of, figures
from ..harness.report import Report, in_random_order

BASE = "ExterviewAuth"


def observed(auth: ExterviewAuth) -> ExterviewAuth:
    """Return *auth*, which OpenTelemetry's SDK observes, with metrics and with spans that are all sampled."""
    reader = InMemoryMetricReader()
    observe(auth, name="benchmark", meter_provider=MeterProvider([reader]), tracer_provider=TracerProvider())
    return auth


@asynccontextmanager
async def _contestants(api: Api) -> AsyncIterator[dict[str, Ask]]:
    async with AsyncExitStack() as stack:
        connector = await stack.enter_async_context(unlimited())

        async def asking(auth: ExterviewAuth) -> Ask:
            await stack.enter_async_context(auth)
            session = ClientSession(connector=connector, connector_owner=False, middlewares=(auth,))
            client = await stack.enter_async_context(session)
            return lambda: answered(client.post(api.url, json=QUERY))

        yield {
            BASE: await asking(api.auth()),
            "ExterviewAuth again": await asking(api.auth()),
            "ExterviewAuth, observed": await asking(observed(api.auth())),
        }


async def refusals(api: Api, *, quick: bool) -> Report:
    """Compare storms of requests that are all refused once, with and without an observer."""
    requests, rounds = (20, 2) if quick else (100, 60)
    async with _contestants(api) as contestants:

        async def cost(name: str) -> Cost:
            await api.revoke()
            return await cost_of(contestants[name], requests, requests)

        # The first block opens the connections, and is not counted.
        for name in contestants:
            await cost(name)
        found = await in_random_order(contestants, rounds, cost, "observed,", every=20)
        await api.log()
    return Report.of(
        f"observed: {requests} requests at once, all refused; they wait for a login and are sent again; {rounds} rounds.\n"
        "  Ratios compare with ExterviewAuth that nobody observes in the same round.",
        COLUMNS,
        {name: figures(costs, found[BASE], requests) for name, costs in found.items()},
    )
