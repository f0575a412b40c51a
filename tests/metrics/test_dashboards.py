"""The dashboard and the alert rules name metrics that the collector exports."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse

from kombu_pool.metrics import Collector
from kombu_pool.operator.broker import Broker
from kombu_pool.storage.counters import Counter

EXAMPLES = Path(__file__).parents[2] / "examples"
PAGE = Path(__file__).parents[2] / "docs" / "monitoring.md"
METRIC = re.compile(r"\bkombu_pool_(?:up|sample_age_seconds|pool_\w+|queue_\w+)")
#: The labels that an expression may name.
LABELS = {"vhost", "queue", "pool", "reason"}


@pytest.fixture
def exported(opened, tmp_path):
    """The names of all metrics, of a broker with a dead letter and a queue that is moving, and their labels."""
    store = opened(f"sqlite:///{tmp_path}/c.db")
    store.queue_controller.create("orders")
    incarnation = store.catalog.route("orders").incarnation
    store.control.add_counters({(None, "orders", incarnation): {Counter.dead_lettered("expired"): 1}})
    store.control.pools_controller.create("new", 0, f"sqlite:///{tmp_path}/new.db")
    store.catalog.moves.plan("orders", None, "new", copies=True, holder="h")
    collector, registry = Collector(Broker(store, None)), CollectorRegistry()
    registry.register(collector)
    try:
        families = list(parse(generate_latest(registry).decode()))
    finally:
        collector.close()
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


def expressions_of_the_dashboard():
    dashboard = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    variables = [variable["definition"] for variable in dashboard["templating"]["list"] if "definition" in variable]
    return variables + [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def expressions_of_the_alerts():
    groups = yaml.safe_load((EXAMPLES / "prometheus-alerts.yml").read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def test_every_metric_of_the_dashboard_and_the_alerts_exists_with_its_labels(exported):
    both = expressions_of_the_dashboard() + expressions_of_the_alerts()
    named = {metric for expression in both for metric in METRIC.findall(expression)}

    assert named - exported.keys() == set()
    assert {"kombu_pool_queue_messages_ready", "kombu_pool_pool_up", "kombu_pool_up"} <= named
    for expression in both:
        labels = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", expression))))
        metrics = METRIC.findall(expression)
        assert labels <= set.intersection(*(exported[metric] for metric in metrics)), expression


def test_the_page_on_monitoring_lists_every_metric(exported):
    listed = set(re.findall(r"^\| `(kombu_pool_\w+)`", PAGE.read_text(), re.MULTILINE))

    assert listed == exported.keys()


def test_every_expression_has_balanced_parentheses_and_the_dashboard_asks_the_chosen_source():
    for expression in expressions_of_the_dashboard() + expressions_of_the_alerts():
        for opening, closing in ("()", "[]", "{}"):
            assert expression.count(opening) == expression.count(closing), expression

    dashboard = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {"${datasource}"}
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    places = [tuple(panel["gridPos"][side] for side in "xy") for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)
