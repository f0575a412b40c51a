"""The API over the broker of an application: what it declares and publishes has the application's options."""

from __future__ import annotations

import pytest

from kombu_pool.operator.broker import Broker
from tests.web.management.conftest import Api


@pytest.fixture
def url(tmp_path):
    return f"pool+sqlite:///{tmp_path}/control.db"


@pytest.fixture
def open_over(url):
    """Open the API over the broker with transport options."""
    opened = []

    def open_over(**options):
        opened.append(Api(url, transport_options=options))
        return opened[-1]

    yield open_over
    for api in opened:
        api.close()


def test_a_queue_is_declared_in_the_pool_that_the_options_choose(open_over, tmp_path):
    quick = {"name": "quick", "uri": f"sqlite:///{tmp_path}/quick.db", "flavor": "quick"}
    main = {"name": "main", "uri": f"sqlite:///{tmp_path}/main.db"}
    api = open_over(pools=[main, quick], flavors=["quick"], queue_flavors={"metrics.*": "quick"})

    for queue in ("metrics.views", "orders"):
        api.done("PUT", f"/queues/%2F/{queue}", {})
        assert api.publish(queue) == {"routed": True}

    assert {queue["name"]: queue["node"] for queue in api.get("/queues")} == {
        "metrics.views": "quick",
        "orders": "main",
    }


def test_the_project_of_the_options_is_a_virtual_host_beside_the_default_one(open_over):
    api = open_over(project="shop")

    api.done("PUT", "/queues/shop/orders", {})
    api.done("PUT", "/queues/%2F/orders", {"arguments": {"x-max-priority": 5}})

    assert [each["name"] for each in api.get("/vhosts")] == ["/", "shop"]
    assert [(each["vhost"], each["arguments"]) for each in api.get("/queues")] == [
        ("/", {"x-max-priority": 5}),
        ("shop", {}),
    ]
    assert api.store.queue_controller.get("orders", "shop")["declared"]["arguments"] == {}


def test_a_prefix_of_queue_names_stands_for_a_project(open_over):
    api = open_over(global_keyprefix="shop")

    api.done("PUT", "/queues/%2F/orders", {})

    assert api.store.queue_controller.exists("orders", None)
    assert not api.store.queue_controller.exists("orders", "shop")


def test_a_broker_without_options_is_connected_to_by_its_control_store(url):
    api = Api(url, connect=lambda broker: Broker(broker.store, broker.project))

    api.done("PUT", "/queues/%2F/orders", {})

    assert api.publish("orders") == {"routed": True}
    assert api.payloads("orders", ackmode="ack_requeue_false") == ["hello"]
    api.close()
