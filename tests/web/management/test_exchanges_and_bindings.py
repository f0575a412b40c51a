"""Exchanges and bindings through the API."""

from __future__ import annotations

from urllib.parse import quote

import pytest


def names(objects):
    return [each["name"] for each in objects]


@pytest.fixture
def bound(api):
    api.done("PUT", "/queues/%2F/a%20b", {})
    api.done("PUT", "/exchanges/%2F/events", {"type": "topic"})
    return api


BETWEEN = "/bindings/%2F/e/events/q/a%20b"


def test_exchanges_are_declared_shown_and_deleted(api):
    wanted = {"type": "fanout", "durable": "true", "auto_delete": False, "internal": "false", "arguments": {"a": 1}}

    assert api.send("PUT", "/exchanges/%2F/news", wanted).status_code == 201
    assert api.send("PUT", "/exchanges/%2F/news", wanted).status_code == 204
    with api.channel() as channel:
        channel.exchange_declare("news", "fanout", durable=True)
    assert api.get("/exchanges/%2F/news") == {
        "name": "news",
        "vhost": "/",
        "type": "fanout",
        "durable": True,
        "auto_delete": False,
        "internal": False,
        "arguments": {"a": 1},
        "policy": None,
        "incoming": [],
        "outgoing": [],
    }
    assert names(api.get("/exchanges/%2F")) == ["", "amq.direct", "amq.fanout", "amq.headers", "amq.topic", "news"]
    assert api.get("/exchanges/%2F/amq.default")["name"] == ""
    assert api.done("DELETE", "/exchanges/%2F/news") == 204
    assert api.refused("DELETE", "/exchanges/%2F/news")[:2] == (404, "Object Not Found")


def test_bindings_are_made_found_by_their_key_and_removed(bound):
    api, key = bound, "k 1/~é"
    first = api.send("POST", BETWEEN, {"routing_key": key})
    api.done("POST", BETWEEN, {"routing_key": "k", "arguments": {"a": 1}})
    api.done("POST", BETWEEN, b"")

    plain, with_arguments, odd = api.get(BETWEEN)

    assert first.status_code == 201
    assert first.headers["location"] == f"a+b/{quote(odd['properties_key'], safe='')}"
    assert plain == {
        "source": "events",
        "vhost": "/",
        "destination": "a b",
        "destination_type": "queue",
        "routing_key": "",
        "arguments": {},
        "properties_key": "~",
    }
    assert with_arguments["properties_key"].startswith("k~")
    assert (odd["routing_key"], odd["properties_key"]) == (key, "k+1%2F%7E%C3%A9")
    for binding in (plain, with_arguments, odd):
        path = f"{BETWEEN}/{quote(binding['properties_key'], safe='')}"
        assert api.get(path) == binding
        assert api.done("DELETE", path) == 204
        assert api.refused("DELETE", path)[:2] == (404, "Object Not Found")
    assert api.get(BETWEEN) == []


def test_a_binding_is_listed_at_both_of_its_ends(bound):
    api = bound
    api.done("PUT", "/exchanges/%2F/copies", {"type": "fanout"})
    api.done("POST", BETWEEN, {"routing_key": "a.#"})
    api.done("POST", "/bindings/%2F/e/events/e/copies", {"routing_key": "b"})

    of_queue, (to_queue, to_exchange) = api.get("/queues/%2F/a%20b/bindings"), api.get("/bindings/%2F")[1:]

    assert [each["source"] for each in of_queue] == ["", "events"]
    assert (to_queue, to_exchange["destination_type"]) == (of_queue[1], "exchange")
    assert api.get("/exchanges/%2F/events/bindings/source") == [to_queue, to_exchange]
    assert api.get("/exchanges/%2F/copies/bindings/destination") == [to_exchange]
    assert api.get("/exchanges/%2F/amq.default/bindings/source") == [of_queue[0]]
    assert api.get("/bindings/%2F/e/events/e/copies/b") == to_exchange
    assert api.refused("DELETE", "/exchanges/%2F/events?if-unused=true")[:2] == (400, "bad_request")
    api.done("DELETE", "/bindings/%2F/e/events/e/copies/b")
    api.done("DELETE", f"{BETWEEN}/a.%23")
    api.done("DELETE", "/exchanges/%2F/events?if-unused=true")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/bindings/%2F/e/nosuch/q/a%20b", {}, 404),
        ("/bindings/%2F/e/events/q/nosuch", {}, 404),
        ("/bindings/%2F/e/events/e/nosuch", {}, 404),
        ("/bindings/%2F/e/events/x/a%20b", {}, 404),
        ("/bindings/nosuch/e/events/q/a%20b", {}, 404),
        ("/bindings/%2F/e/amq.default/q/a%20b", {}, 400),
        (BETWEEN, b"{bad", 400),
        (BETWEEN, {"routing_key": 5}, 400),
        (BETWEEN, {"arguments": [1]}, 400),
        (BETWEEN, {"routingkey": "k"}, 400),
    ],
)
def test_an_impossible_binding_is_refused(bound, path, body, status):
    assert bound.refused("POST", path, body)[0] == status
    assert len(bound.get("/bindings")) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"type": "silly"}, "unknown exchange type 'silly': there are direct, fanout, headers, topic"),
        ({"type": "topic", "internal": True}, "there are no internal exchanges"),
        ({"type": "topic", "durable": "maybe"}, ["not_boolean", "maybe"]),
        ({"kind": "topic"}, "an exchange has no kind"),
        (b"{", "not_json"),
    ],
)
def test_an_impossible_exchange_is_refused(api, body, reason):
    status, error, given = api.refused("PUT", "/exchanges/%2F/bad", body)

    assert (status, error) == (400, "bad_request")
    assert given == reason or given.startswith(reason)
    assert "bad" not in names(api.get("/exchanges"))


def test_an_exchange_keeps_its_type(api):
    api.done("PUT", "/exchanges/%2F/events", {"type": "topic"})

    assert api.refused("PUT", "/exchanges/%2F/events", {"type": "direct"}) == (
        400,
        "bad_request",
        "exchange 'events' is of type 'topic', not 'direct'",
    )


def test_the_binding_of_the_default_exchange_stays(bound):
    assert bound.refused("DELETE", "/bindings/%2F/e/amq.default/q/a%20b/a+b")[0] == 400
