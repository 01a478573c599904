"""Metrics: what `stats()` counts, exported without a cost to requests."""

from __future__ import annotations

import gc
import sys
from dataclasses import fields
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from exterview_auth import ConfigurationError, ExterviewAuth, StaticLogin, Stats
from exterview_auth.telemetry import observe


def owner() -> ExterviewAuth:
    """An owner that needs no network."""
    return ExterviewAuth(StaticLogin("token"), api_key="key", account="me@acme.test")


def exported(reader: InMemoryMetricReader) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Value and attributes of each metric."""
    data = reader.get_metrics_data()
    if data is None:
        return {}
    metrics = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics]
    points: dict[str, Any] = {metric.name: metric.data.data_points for metric in metrics}
    return {name: (found[0].value, dict(found[0].attributes or {})) for name, found in points.items() if found}


async def test_every_counter_is_exported_as_it_is() -> None:
    """The contract: the extra ``otel``; an e-mail address shows only where it is asked for."""
    reader = InMemoryMetricReader()
    auth = owner()
    observe(auth, name="acme", meter_provider=MeterProvider([reader]))
    await auth.token()
    found = exported(reader)
    assert set(found) == {f"exterview_auth.{field.name}" for field in fields(Stats)}
    assert found["exterview_auth.logins"] == (1, {"server.address": "api.exterview.ai", "account": "acme"})
    await auth.aclose()


def test_an_observed_owner_is_not_kept_alive() -> None:
    """Nothing of it is exported after it is gone, and nobody's name by default."""
    reader = InMemoryMetricReader()
    auth = owner()
    observe(auth, meter_provider=MeterProvider([reader]))
    assert "me@acme.test" not in str(exported(reader))
    del auth
    gc.collect()
    assert exported(reader) == {}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"auth": None}, "observe takes an ExterviewAuth, not NoneType"),
        ({"auth": ExterviewAuth}, "observe takes an ExterviewAuth, not the class ExterviewAuth; create an instance"),
        ({"name": 5}, "name must be text, not int"),
        ({"meter_provider": "otel"}, "meter_provider must be one of OpenTelemetry, not str"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], sentence: str) -> None:
    """Before an instrument is made."""
    with pytest.raises(ConfigurationError) as caught:
        observe(**{"auth": owner(), **arguments})
    assert str(caught.value) == sentence


def test_without_opentelemetry_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bad input: `ConfigurationError`."""
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    with pytest.raises(
        ConfigurationError, match=r"^observe needs opentelemetry-api: install exterview_auth with its extra `otel`$"
    ):
        observe(owner())
