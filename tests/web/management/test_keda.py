"""The requests of KEDA's ``rabbitmq`` scaler in its mode ``http``, and what it reads of their answers.

The scaler reads ``messages``, ``messages_ready`` and two rates of ``message_stats`` as numbers; what is absent counts
as 0. With a pattern it reads ``items``, and refuses an answer with a ``page_count`` above 1. Any status but 200 is an
error, after which it leaves the number of replicas as it is.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_plus

import pytest

from kombu_pool.testing import ManualClock
from tests.support.limits import LIMIT
from tests.support.transport.traffic import eventually
from tests.support.web.addresses import TOKEN

ROOT_VHOST = "%2F"


def scaled_by(api, queue: str, vhost: str = ROOT_VHOST, page_size: int | None = None) -> tuple[int, Any]:
    """Make the scaler's request, for one queue or for a pattern; return the status, and the queues that it reads."""
    path = f"/api/queues/{vhost}/{quote_plus(queue)}"
    if page_size is not None:
        query = f"page=1&use_regex=true&pagination=false&name={quote_plus(queue)}&page_size={page_size}"
        path = f"/api/queues/{vhost}?{query}"
    answer = api.client.get(path)
    if answer.status_code != 200:
        return answer.status_code, answer.text
    document = answer.json()
    assert document.get("page_count", 0) <= 1
    return 200, [read(queue) for queue in document["items"]] if page_size is not None else read(document)


def read(queue: dict[str, Any]) -> dict[str, float]:
    statistics = queue.get("message_stats", {})
    found = {name: queue.get(name, 0) for name in ("messages", "messages_ready", "messages_unacknowledged")}
    for name in ("publish", "deliver_get"):
        found[name] = statistics.get(f"{name}_details", {}).get("rate", 0)
    assert all(type(value) in (int, float) for value in found.values())
    return found


@pytest.fixture
def orders(api):
    api.done("PUT", "/queues/%2F/orders", {})
    for number in range(4):
        api.publish("orders", str(number))
    api.store.claim_controller.create("orders", {"ttl": 60, "grace": 0}, limit=1)
    return api


def test_a_queue_length_is_that_of_ready_and_unacknowledged_messages(orders):
    status, found = scaled_by(orders, "orders")

    assert status == 200
    assert (found["messages"], found["messages_ready"], found["messages_unacknowledged"]) == (4, 3, 1)


def test_a_delayed_message_holds_no_worker(orders):
    orders.store.message_controller.post("orders", [{"ttl": None, "body": "later", "delay": 600}], None)

    assert scaled_by(orders, "orders")[1]["messages"] == 4


def test_the_virtual_host_of_the_host_parameter_is_a_project(api):
    with api.channel("shop floor") as channel:
        channel.queue_declare("orders", durable=True)
        channel.basic_publish(channel.prepare_message("m"), "", "orders")

    assert scaled_by(api, "orders", "shop%20floor")[1]["messages"] == 1
    assert scaled_by(api, "orders")[0] == 404


def test_queues_that_match_a_pattern_are_one_page(orders):
    orders.done("PUT", "/queues/%2F/orders-old", {})
    orders.done("PUT", "/queues/%2F/other", {})

    status, found = scaled_by(orders, "^orders(-.*)?$", page_size=100)

    assert status == 200
    assert [queue["messages"] for queue in found] == [4, 0]
    assert scaled_by(orders, "^none", page_size=100) == (200, [])


def test_a_pattern_for_more_queues_than_a_page_says_so(orders):
    orders.done("PUT", "/queues/%2F/other", {})

    document = orders.get("/queues/%2F?page=1&use_regex=true&pagination=false&name=.&page_size=1")

    assert (document["page_count"], len(document["items"])) == (2, 1)


def test_the_rates_are_those_since_the_scaler_last_asked(orders):
    clock = ManualClock()
    orders.get("/whoami")
    orders.app.state.management.rates._clock = clock
    eventually(lambda: orders.queue("orders")["message_stats"]["deliver_get"] == 1, LIMIT)
    clock.advance(30)
    scaled_by(orders, "orders")
    for _ in range(60):
        orders.publish("orders")
    orders.messages("orders", 15, "ack_requeue_false")
    eventually(lambda: orders.queue("orders")["message_stats"]["deliver_get"] == 16, LIMIT)
    clock.advance(30)

    found = scaled_by(orders, "orders")[1]

    assert (found["publish"], found["deliver_get"]) == (2.0, 0.5)


def test_the_samples_of_the_pages_give_the_first_rate(orders):
    orders.app.state.site.sampler.sampler.wait(timeout=LIMIT)
    scaled_by(orders, "orders")

    assert (None, "orders") in orders.app.state.management.rates._looks
    assert orders.app.state.management._sample > 0


def test_a_queue_that_is_not_there_is_an_error_and_no_empty_queue(api):
    assert scaled_by(api, "nosuch")[0] == 404


def test_user_and_password_stand_in_the_host_parameter(orders):
    orders.client.auth = None

    refused = scaled_by(orders, "orders")[0]
    url = f"http://keda:{quote_plus(TOKEN)}@testserver/api/queues/%2F/orders"

    assert refused == 401
    assert orders.client.get(url.replace("+", "%20")).status_code == 200
