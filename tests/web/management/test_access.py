"""The API behind the page's token: for clients of RabbitMQ it is the password of any user."""

from __future__ import annotations

import logging

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from kombu_pool.web.management import getting
from tests.support.limits import best_of, seconds_of
from tests.support.web.addresses import TOKEN


@pytest.mark.parametrize("auth", [None, ("guest", "guest"), (TOKEN, ""), ("", "")])
def test_a_wrong_password_is_asked_for_again(api, auth):
    api.client.auth = auth

    answer = api.client.get("/api/queues")

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert answer.json().keys() == {"error", "reason"}


def test_any_user_has_the_token_as_password(api):
    assert api.get("/whoami") == {"name": "guest", "tags": ["administrator"]}

    api.client.auth = None
    bearer = api.client.get("/api/whoami", headers={"authorization": f"Bearer {TOKEN}"})

    assert bearer.json()["name"] == "bearer"


def test_a_read_only_api_changes_nothing(open_api):
    api = open_api(read_only=True)
    api.store.queue_controller.create("orders")
    api.store.message_controller.post("orders", [{"ttl": None, "body": "m"}], None)

    refusals = [
        api.refused("PUT", "/queues/%2F/new", {})[0],
        api.refused("DELETE", "/queues/%2F/orders")[0],
        api.refused("DELETE", "/queues/%2F/orders/contents")[0],
        api.refused("POST", "/queues/%2F/orders/get", {"count": 1})[0],
        api.refused("POST", "/exchanges/%2F/amq.default/publish", {})[0],
    ]

    assert refusals == [403] * 5
    assert api.queue("orders")["messages"] == 1
    assert api.get("/whoami")["tags"] == ["monitoring"]


def test_every_action_is_in_the_audit_log(api, caplog):
    caplog.set_level(logging.INFO, "kombu_pool.audit")

    api.done("PUT", "/queues/%2F/orders", {})
    api.refused("DELETE", "/queues/%2F/nosuch")
    api.get("/queues")

    done, refused = caplog.messages
    assert "'/api/queues/%2F/orders': 'done', by 'basic:guest'" in done
    assert done.startswith("PUT")
    assert "no queue 'nosuch' in vhost '/'" in refused


def test_the_head_of_an_answer_and_its_path_under_a_prefix(api):
    api.done("PUT", "/queues/%2F/orders", {})
    outer = TestClient(Starlette(routes=[Mount("/pool", api.app)]))
    outer.auth = ("guest", TOKEN)

    assert api.client.head("/api/queues/%2F/orders").status_code == 200
    assert outer.get("/pool/api/queues/%2F/orders").json()["name"] == "orders"
    assert outer.get("/pool/api/nosuch").status_code == 404


def test_a_thousand_queues_are_listed_at_once(api):
    with api.channel() as channel:
        for number in range(1000):
            channel.queue_declare(f"q{number:03}", durable=True)

    assert len(api.get("/queues/%2F")) == 1000
    # Under 0.1 s on an idle machine.
    assert best_of(lambda: seconds_of(lambda: api.get("/queues/%2F")), 0.2) < 1.0


def test_an_action_that_fails_unexpectedly_is_in_the_audit_log(api, caplog, monkeypatch):
    caplog.set_level(logging.INFO, "kombu_pool.audit")
    monkeypatch.setattr(getting, "require", lambda _: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        api.messages("orders")

    assert "/api/queues/%2F/orders/get" in caplog.text
    assert "failed: ZeroDivisionError" in caplog.text
