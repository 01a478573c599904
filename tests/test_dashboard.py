"""The dashboard for Grafana asks for what Prometheus really scrapes, and for all of it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import exterview_auth
from tests.kit.telemetry import Seen
from tests.test_telemetry import everything

DASHBOARD = Path(exterview_auth.__file__).parent / "telemetry" / "dashboard.json"
OF_THE_TARGET = {"instance", "job"}
"""Labels that Prometheus itself sets."""
VARIABLES = {"$account": ".*", "$__rate_interval": "1m", "${datasource}": "prometheus"}


def dashboard() -> Any:
    """The dashboard as Grafana reads it."""
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))


def panels() -> list[Any]:
    """All panels, without the headings of rows."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> list[str]:
    """All queries, with values in the place of Grafana's variables."""
    found = []
    for target in itertools.chain.from_iterable(panel.get("targets", []) for panel in panels()):
        query = target["expr"]
        for name, value in VARIABLES.items():
            query = query.replace(name, value)
        found.append(query)
    return found


def selected(node: Any) -> Iterator[tuple[str, set[str]]]:
    """Yield each metric that a parsed query selects, with the labels that it compares."""
    if isinstance(node, promql_parser.VectorSelector):
        yield str(node.name), {matcher.name for matcher in node.matchers.matchers}
    elif isinstance(node, promql_parser.MatrixSelector):
        yield from selected(node.vector_selector)
    for part in ("expr", "lhs", "rhs", "param"):
        if hasattr(node, part):
            yield from selected(getattr(node, part))
    for argument in getattr(node, "args", None) or []:
        yield from selected(argument)


def grouped(query: str) -> set[str]:
    """The labels by which a query groups."""
    return {label.strip() for names in re.findall(r"\bby \(([^)]*)\)", query) for label in names.split(",")}


@pytest.fixture
async def scraped() -> dict[str, set[str]]:
    """The names of samples that a scrape shows after everything has happened, with their labels."""
    reader = PrometheusMetricReader()
    seen = Seen()
    seen.meters = MeterProvider([reader])
    try:
        text = ""

        def scrape() -> dict[str, Any]:
            nonlocal text
            text = generate_latest(REGISTRY).decode()
            return {}

        seen.metrics = scrape  # type: ignore[method-assign]  # the scrape takes the place of the reader in memory
        await everything(seen, "acme")
    finally:
        seen.meters.shutdown()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("exterview_auth"):
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_query_asks_for_what_is_scraped(scraped: dict[str, set[str]]) -> None:
    """Each metric and each label of a query is in the scrape, so that no panel stays empty."""
    assert len(queries()) > 20
    for query in queries():
        named = list(selected(promql_parser.parse(query)))
        assert named, query
        for name, labels in named:
            assert name in scraped, query
            assert labels <= scraped[name], query
        assert grouped(query) <= OF_THE_TARGET.union(*(scraped[name] for name, _ in named)), query


def test_every_metric_is_shown(scraped: dict[str, set[str]]) -> None:
    """A histogram by its buckets or its count."""
    shown = {name for query in queries() for name, _ in selected(promql_parser.parse(query))}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in scraped}
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown} == families
    assert len(families) == 9


def test_the_legends_use_labels_that_their_queries_keep() -> None:
    """A legend of another label would be empty."""
    for panel in panels():
        for target in panel.get("targets", []):
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= grouped(target["expr"]), panel["title"]


def test_the_variable_for_the_account_is_filled_from_a_scraped_label(scraped: dict[str, set[str]]) -> None:
    """Its choices are the names given to ``observe``; all others match too."""
    (account,) = (each for each in dashboard()["templating"]["list"] if each["name"] == "account")
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", account["query"]["query"]).groups()  # type: ignore[union-attr]
    assert label in scraped[metric]
    assert account["allValue"] == ".*"
    filtered = [query for query in queries() if f'{label}=~".*"' in query]
    assert filtered == queries()


def test_the_questions_are_headings_and_each_is_answered_below() -> None:
    """The contract's four questions, with panels under each."""
    rows = [panel["title"] for panel in dashboard()["panels"] if panel["type"] == "row"]
    assert rows == [
        "Now, and the last hour",
        "Why did we log in?",
        "How long do requests wait?",
        "Which account?",
        "Is the store shared?",
    ]
    kinds = "".join("r" if panel["type"] == "row" else "p" for panel in dashboard()["panels"])
    assert re.fullmatch(r"(rp+){5}", kinds)


def test_panels_stand_side_by_side() -> None:
    """Grafana's grid has 24 columns: none is left of it, and no two panels cover one another."""
    covered: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert all(0 <= x < 24 for x, _ in cells), panel["title"]
        assert not cells & covered, panel["title"]
        covered |= cells


def test_names_within_the_dashboard_are_unique() -> None:
    """The ids of panels, and the letters of the queries in one; all ask the same data source."""
    everything_in_it = dashboard()
    ids = [panel["id"] for panel in everything_in_it["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels():
        letters = [target["refId"] for target in panel.get("targets", [])]
        assert len(set(letters)) == len(letters)
    sources = re.findall(r'"uid": "([^"]*)"', json.dumps(panels()))
    assert set(sources) == {"${datasource}"}
    assert everything_in_it["uid"] == "exterview-auth"
