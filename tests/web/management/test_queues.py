"""Queues through the API: as a client of RabbitMQ lists, declares, purges and deletes them."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.support.limits import LIMIT
from tests.support.transport.traffic import eventually


def test_a_declared_queue_is_that_of_a_client(api):
    arguments = {"x-max-priority": 5, "x-message-ttl": 60_000, "x-dead-letter-exchange": ""}
    wanted = {"durable": True, "auto_delete": False, "arguments": arguments}

    assert api.send("PUT", "/queues/%2F/orders", wanted).status_code == 201
    assert api.send("PUT", "/queues/%2F/orders", wanted).status_code == 204
    with api.channel() as channel:
        assert channel.queue_declare("orders", durable=True, arguments=arguments).message_count == 0
    found = api.queue("orders")

    assert {key: found[key] for key in ("name", "vhost", "durable", "auto_delete", "exclusive", "arguments")} == {
        "name": "orders",
        "vhost": "/",
        "durable": True,
        "auto_delete": False,
        "exclusive": False,
        "arguments": arguments,
    }
    assert (found["type"], found["state"], found["node"], found["consumers"]) == ("classic", "running", "default", 0)


@pytest.mark.parametrize("name", ["a b", "a/b", "%2F", "a+b", "ü~", "queue", "contents", "a?b#c", "."])
def test_a_name_may_hold_any_character(api, name):
    path = f"/queues/%2F/{quote(name, safe='').replace('.', '%2E')}"
    api.done("PUT", path, {})

    assert api.get(path)["name"] == name
    assert [each["name"] for each in api.get("/queues")] == [name]
    assert api.done("DELETE", path) == 204
    assert api.get("/queues") == []


def test_the_states_of_messages_are_counted(any_api):
    api = any_api
    api.done("PUT", "/queues/%2F/orders", {})
    for number in range(5):
        api.publish("orders", str(number))
    api.store.message_controller.post("orders", [{"ttl": None, "body": "later", "delay": 600}], None)
    api.store.claim_controller.create("orders", {"ttl": 60, "grace": 0}, limit=2)

    found = api.queue("orders")

    counts = ("messages", "messages_ready", "messages_unacknowledged", "messages_delayed")
    assert [found[name] for name in counts] == [5, 3, 2, 1]
    assert found["messages_exact"]
    assert found["head_message_timestamp"] > 0
    assert [api.get("/overview")["queue_totals"][name] for name in counts] == [5, 3, 2, 1]
    assert [api.get("/vhosts/%2F")[name] for name in counts] == [5, 3, 2, 1]


def test_counters_are_those_of_all_processes(api):
    api.done("PUT", "/queues/%2F/orders", {})
    for _ in range(3):
        api.publish("orders")
    api.messages("orders", 2, "ack_requeue_false")

    def counted():
        found = api.queue("orders")["message_stats"]
        return [found[name] for name in ("publish", "deliver_get", "ack", "redeliver")]

    eventually(lambda: counted() == [3, 2, 2, 0], LIMIT)
    assert counted() == [3, 2, 2, 0]
    assert api.queue("orders")["message_stats"]["publish_details"].keys() == {"rate"}
    assert api.get("/overview")["message_stats"]["publish"] == 3


def test_consumers_their_connections_and_channels_are_listed(api):
    api.done("PUT", "/queues/%2F/orders", {})
    with api.channel() as channel:
        channel.basic_consume("orders", callback=print, consumer_tag="tag-1")
        (consumer,) = api.get("/consumers")
        (connection,), (channel_object,) = api.get("/connections"), api.get("/channels")
        found = api.queue("orders")
        totals = api.get("/overview")["object_totals"]

        assert consumer["queue"] == {"name": "orders", "vhost": "/"}
        assert consumer["consumer_tag"] == "tag-1"
        assert consumer["channel_details"]["connection_name"] == connection["name"]
        assert consumer["channel_details"]["name"] == channel_object["name"]
        assert (found["consumers"], found["consumer_details"]) == (1, [consumer])
        assert totals == {"queues": 1, "exchanges": 5, "consumers": 1, "connections": 1, "channels": 1}
        status, error, reason = api.refused("DELETE", "/queues/%2F/orders?if-unused=true")
        assert (status, error, reason) == (400, "bad_request", "queue 'orders' in use")

    assert api.get("/consumers") == api.get("/connections") == api.get("/channels") == []


def test_a_queue_is_deleted_if_it_is_empty(api):
    api.done("PUT", "/queues/%2F/orders", {})
    api.store.message_controller.post("orders", [{"ttl": None, "body": "later", "delay": 600}], None)

    refused = api.refused("DELETE", "/queues/%2F/orders?if-empty=true")
    api.done("DELETE", "/queues/%2F/orders/contents")
    api.done("DELETE", "/queues/%2F/orders?if-empty=true&if-unused=true")

    assert refused == (400, "bad_request", "queue 'orders' not empty")
    assert api.refused("GET", "/queues/%2F/orders")[0] == 404


def test_a_purge_leaves_what_a_consumer_holds(api):
    api.done("PUT", "/queues/%2F/orders", {})
    for number in range(3):
        api.publish("orders", str(number))
    api.store.claim_controller.create("orders", {"ttl": 60, "grace": 0}, limit=1)

    assert api.done("DELETE", "/queues/%2F/orders/contents") == 204
    assert [api.queue("orders")[name] for name in ("messages_ready", "messages_unacknowledged")] == [0, 1]


def test_a_virtual_host_is_a_project(api):
    with api.channel("shop") as channel:
        channel.queue_declare("orders", durable=True, auto_delete=False)
        channel.basic_publish(channel.prepare_message("m"), "", "orders")
    api.done("PUT", "/queues/%2F/main", {})
    api.done("PUT", "/queues/shop/second", {})

    eventually(lambda: len(api.get("/vhosts")) == 2, LIMIT)
    assert [each["name"] for each in api.get("/vhosts")] == ["/", "shop"]
    assert [(each["vhost"], each["name"]) for each in api.get("/queues")] == [
        ("/", "main"),
        ("shop", "orders"),
        ("shop", "second"),
    ]
    assert [each["name"] for each in api.get("/queues/%2F")] == ["main"]
    assert api.queue("orders", "shop")["messages"] == 1
    assert [each["name"] for each in api.get("/queues?page=1&sort=name&sort_reverse=true")["items"]] == [
        "second",
        "orders",
        "main",
    ]
    assert api.store.queue_controller.exists("second", "shop")


@pytest.mark.parametrize("path", ["/queues", "/exchanges", "/bindings", "/consumers", "/vhosts", "/queues/nosuch/x"])
def test_an_unknown_virtual_host_is_not_found(api, path):
    status, error, reason = api.refused("GET", path if path.endswith("x") else f"{path}/nosuch")

    assert (status, error) == (404, "Object Not Found")
    assert "'nosuch'" in reason
    assert api.refused("PUT", "/queues/nosuch/orders", {})[0] == 404


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{bad", "not_json"),
        (b"[]", "not_json"),
        (b"\xff", "not_json"),
        (b"[" * 100_000, "not_json"),
        ({"durable": "maybe"}, ["not_boolean", "maybe"]),
        ({"durable": None}, ["not_boolean", None]),
        ({"auto_delete": 1}, ["not_boolean", 1]),
        ({"arguments": [1]}, "arguments must be an object, not [1]"),
        ({"arguments": {"x-message-ttl": -5}}, "x-message-ttl of queue 'bad' must be a number of milliseconds"),
        ({"arguments": {"x-max-length": "5"}}, "x-max-length of queue 'bad' must be a whole number"),
        ({"exclusive": True}, "would be deleted at once"),
        ({"node": "rabbit@host"}, "give x-pool-flavor"),
        ({"arguments": {"x-pool-flavor": "nosuch"}}, "nosuch"),
        ({"durible": True}, "a queue has no durible"),
    ],
)
def test_an_impossible_queue_is_refused_and_not_made(api, body, reason):
    status, error, given = api.refused("PUT", "/queues/%2F/bad", body)

    assert (status, error) == (404 if "nosuch" in str(body) else 400, error)
    assert reason == given or (isinstance(given, str) and reason in given)
    assert api.get("/queues") == []


def test_another_declaration_of_a_queue_is_refused(api):
    api.done("PUT", "/queues/%2F/orders", {"durable": "true", "arguments": {"x-max-priority": 5}})

    status, error, reason = api.refused("PUT", "/queues/%2F/orders", {"durable": True})

    assert (status, error) == (400, "bad_request")
    assert reason.startswith("inequivalent arg 'x-max-priority' for queue 'orders'")


def test_reserved_names_are_refused_with_the_status_of_rabbitmq(api):
    assert api.refused("PUT", "/queues/%2F/amq.mine", {})[:2] == (401, "not_authorised")
    assert api.refused("PUT", "/exchanges/%2F/amq.mine", {})[:2] == (401, "not_authorised")
    assert api.refused("DELETE", "/exchanges/%2F/amq.topic")[:2] == (401, "not_authorised")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/queues/%2F/nosuch", 404),
        ("DELETE", "/queues/%2F/nosuch", 404),
        ("DELETE", "/queues/%2F/nosuch/contents", 404),
        ("GET", "/nosuch", 404),
        ("GET", "/", 404),
        ("GET", "/nodes/nosuch", 404),
        ("GET", "/queues/%2F/%FF", 400),
        ("DELETE", "/queues/%2F/nosuch?if-empty=maybe", 400),
        ("POST", "/queues/%2F/nosuch", 405),
        ("GET", "/queues/%2F/nosuch/contents", 405),
        ("PUT", "/vhosts/new", 405),
    ],
)
def test_what_is_not_there_or_not_possible_has_the_form_of_an_error(api, method, path, status):
    assert api.refused(method, path)[0] == status


def test_a_queue_of_another_connection_is_refused(api):
    with api.channel() as channel:
        channel.queue_declare("mine", exclusive=True)
        found = api.queue("mine")
        refusals = [
            api.refused("DELETE", "/queues/%2F/mine/contents"),
            api.refused(
                "POST", "/queues/%2F/mine/get", {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}
            ),
        ]

    assert found["exclusive"]
    assert {refusal[0] for refusal in refusals} == {400}
    assert all(refusal[2].startswith("405 RESOURCE_LOCKED") for refusal in refusals)


@pytest.mark.parametrize("project", ["/", ""])
def test_a_project_that_no_path_names_is_not_shown_as_the_default_one(api, project):
    for scope in (None, project, "shop"):
        api.store.queue_controller.create("orders", None, scope)
        api.store.message_controller.post("orders", [{"ttl": None, "body": b"x"}], None, scope)
    api.store.catalog.counters.send()

    assert sorted(queue["vhost"] for queue in api.get("/queues")) == ["/", "shop"]
    assert [vhost["name"] for vhost in api.get("/vhosts")] == ["/", "shop"]
    api.done("DELETE", "/queues/%2F/orders")
    assert api.store.queue_controller.exists("orders", project)
