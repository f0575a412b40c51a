"""The blocks of the page on monitoring are run, or read, as they are written."""

from __future__ import annotations

from contextlib import closing

import pytest
import yaml

import kombu_pool
from tests.metrics.test_dashboards import METRIC
from tests.support.docs.pages import ROOT, blocks
from tests.support.docs.terminal import Terminal
from tests.support.servers.ports import free_port

PAGE = "docs/monitoring.md"
SCRAPE = """
from urllib.request import urlopen
text = urlopen("http://127.0.0.1:{port}/metrics").read().decode()
print('kombu_pool_queue_messages_ready{{pool="default",queue="orders",vhost="/"}} 0.0' in text.splitlines())
"""
SERVE = """
import threading
threading.Thread(target=server.serve_forever, daemon=True).start()
"""


@pytest.fixture
def terminal(tmp_path):
    terminal = Terminal(tmp_path, {"/var/lib/shop": str(tmp_path)})
    yield terminal
    terminal.close()


@pytest.mark.parametrize(
    ("first", "number", "before_scrape"),
    [
        ("from prometheus_client import REGISTRY, start_http_server", "9808", ""),
        ("from wsgiref.simple_server import make_server", "9809", SERVE),
    ],
)
def test_a_program_exports_the_metrics(terminal, tmp_path, first, number, before_scrape):
    with closing(kombu_pool.open(f"sqlite:///{tmp_path}/control.db")) as store:
        store.queue_controller.create("orders")
    port = free_port()
    terminal.replaced = {**terminal.replaced, number: str(port)}

    printed = terminal.python(blocks()[PAGE, first], after=before_scrape + SCRAPE.format(port=port))

    assert printed.splitlines()[-1] == "True"


def test_the_configuration_of_other_programs_is_valid_and_names_what_there_is():
    found = [
        yaml.safe_load(block.text) for block in blocks().values() if (block.page, block.language) == (PAGE, "yaml")
    ]
    prometheus, kubelet, keda = found

    (job,) = prometheus["scrape_configs"]
    assert "metrics_path" not in job
    assert all((ROOT / "examples" / name).exists() for name in prometheus["rule_files"])
    assert kubelet["livenessProbe"]["httpGet"]["path"] == "/healthz"
    (trigger,) = keda["spec"]["triggers"]
    named = METRIC.findall(trigger["metadata"]["query"])
    listed = (ROOT / PAGE).read_text()
    assert named
    assert [name for name in named if f"| `{name}` |" not in listed] == []
