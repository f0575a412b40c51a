"""Prometheus reads the metrics of a broker, whatever its queues are called and whichever of its pools answer."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from wsgiref.util import setup_testing_defaults

import pytest
from celery import Celery
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from kombu_pool.errors import ConfigurationError
from kombu_pool.metrics import Collector, make_wsgi_app
from kombu_pool.operator.broker import Broker
from kombu_pool.storage.counters import Counter
from tests.metrics.test_sample import sample_of
from tests.support.limits import LIMIT, best_of, seconds_of
from tests.support.servers.redis_server import Server
from tests.support.transport.traffic import eventually

ODD = ['quo"ted', "new\nline", "back\\slash", "Ünïcødé 🐇", "{curly} = 1", "tab\tend "]


@pytest.fixture
def collectors():
    made = []

    def make(*arguments, **options):
        made.append(Collector(*arguments, **options))
        return made[-1]

    yield make
    for collector in made:
        collector.close()


def scrape(collector, parser=parse):
    """Return the values by name and labels, as Prometheus's own parser reads them."""
    registry = CollectorRegistry()
    registry.register(collector)
    text = generate_latest(registry).decode()
    return {
        (
            sample.name,
            *(sample.labels[name] for name in ("vhost", "queue", "pool", "reason") if name in sample.labels),
        ): sample.value
        for family in parser(text)
        for sample in family.samples
    }


def get(app, path, accept=""):
    """Return the status, the type and the body of a request."""
    environ, seen = {"PATH_INFO": path, "HTTP_ACCEPT": accept}, []
    setup_testing_defaults(environ)
    body = b"".join(app(environ, lambda status, headers: seen.extend((status, dict(headers)))))
    return int(seen[0].split()[0]), seen[1]["Content-Type"], body.decode()


def test_the_metrics_of_a_queue_are_what_its_messages_are(opened, collectors, tmp_path):
    store = opened(f"sqlite:///{tmp_path}/c.db")
    store.queue_controller.create("dead", None, "shop")
    store.queue_controller.create("orders", {"_dead_letter_queue": "dead"}, "shop")
    messages = [{"ttl": None, "body": n} for n in range(5)]
    store.message_controller.post("orders", [*messages, {"ttl": None, "body": 5, "delay": 600}], None, "shop")
    claim, claimed = store.claim_controller.create("orders", {"ttl": 60, "grace": 0}, "shop", 3)
    store.message_controller.delete_claimed("orders", [(claimed[0]["id"], claim)], "shop")
    store.message_controller.reject("orders", [(claimed[1]["id"], claim)], "shop")
    store.dead_letter_all()
    store.send_counters()

    found = scrape(collectors(Broker(store, "shop")))

    of_queue = {key[0].removeprefix("kombu_pool_queue_"): value for key, value in found.items() if "orders" in key}
    assert of_queue.pop("oldest_age_seconds") < LIMIT
    assert of_queue == {
        "messages_ready": 2, "messages_unacked": 1, "messages_delayed": 1, "messages": 4, "consumers": 0, "paused": 0,
        "messages_published_total": 6, "messages_delivered_total": 3, "messages_redelivered_total": 0,
        "messages_acked_total": 1, "messages_rejected_total": 1, "claims_lost_total": 0,
    } | ({"messages_dead_lettered_total": 1} if "messages_dead_lettered_total" in of_queue else {})  # fmt: skip
    assert found["kombu_pool_queue_messages_ready", "shop", "dead", "default"] == 1
    assert found["kombu_pool_up",] == found["kombu_pool_pool_up", "default"] == 1
    assert found["kombu_pool_pool_bytes", "default"] > 0
    assert not [key for key in found if "kombu_pool.samples" in key]


def test_dead_letters_are_counted_by_the_reason_of_x_death(opened, collectors, tmp_path):
    store = opened(f"sqlite:///{tmp_path}/c.db")
    store.queue_controller.create("orders")
    incarnation = store.catalog.route("orders").incarnation
    increments = {Counter.dead_lettered(reason): n for n, reason in enumerate(("max_claim_count", "expired"), 1)}
    store.control.add_counters({(None, "orders", incarnation): increments})

    found = scrape(collectors(Broker(store, None)))

    name = "kombu_pool_queue_messages_dead_lettered_total"
    reasons = {key[-1]: value for key, value in found.items() if key[0] == name}
    assert reasons == {"delivery_limit": 1, "expired": 2}


@pytest.mark.parametrize(("parser", "accept"), [(parse, ""), (parse_openmetrics, "application/openmetrics-text")])
def test_odd_names_are_escaped(opened, collectors, tmp_path, parser, accept):
    store = opened(f"sqlite:///{tmp_path}/c.db")
    for name in ODD:
        store.queue_controller.create(name, None, ODD[0])

    status, _, text = get(make_wsgi_app(collectors(Broker(store, ODD[0]))), "/metrics", accept)

    names = {
        (sample.labels["vhost"], sample.labels["queue"])
        for family in parser(text)
        for sample in family.samples
        if sample.name == "kombu_pool_queue_messages_ready"
    }
    assert status == 200
    assert names == {(ODD[0], name) for name in ODD}


def test_a_pool_that_is_down_hides_no_other(opened, collectors, tmp_path):
    uri = f"sqlite:///{tmp_path}/c.db"
    with Server() as server:
        pools = [
            {"name": "down", "uri": server.uri(), "weight": 100, "flavor": "down"},
            {"name": "up", "uri": f"sqlite:///{tmp_path}/up.db", "weight": 100},
        ]
        store = opened(uri, pools=pools, flavors=[{"name": "down"}])
        store.queue_controller.create("of-up")
        store.queue_controller.create("of-down", {"_flavor": "down"})
        store.queue_controller.pause("of-down")
        server.pause()
        collector = collectors(Broker(store, None), interval=0.5)

        found = scrape(collector)
        server.resume()

    assert found["kombu_pool_pool_up", "down"] == 0
    assert found["kombu_pool_pool_up", "up"] == 1
    assert found["kombu_pool_queue_messages_ready", "/", "of-up", "up"] == 0
    assert ("kombu_pool_queue_messages_ready", "/", "of-down", "down") not in found
    # Not 0: it is paused, and nothing says so now.
    assert ("kombu_pool_queue_paused", "/", "of-down", "down") not in found
    assert found["kombu_pool_queue_consumers", "/", "of-down", "down"] == 0
    assert best_of(lambda: seconds_of(lambda: scrape(collector)), 1.0) < 1.0


def test_a_store_that_does_not_exist_is_not_created_and_found_when_it_is(opened, collectors, tmp_path):
    collector = collectors(f"pool+sqlite:///{tmp_path}/c.db")

    assert scrape(collector) == {("kombu_pool_up",): 0}
    assert list(tmp_path.iterdir()) == []
    opened(f"sqlite:///{tmp_path}/c.db").queue_controller.create("orders")

    eventually(lambda: scrape(collector)["kombu_pool_up",] == 1)
    assert scrape(collector)["kombu_pool_queue_messages_ready", "/", "orders", "default"] == 0


def test_an_application_of_celery_and_its_project_are_understood(opened, collectors, tmp_path):
    opened(f"sqlite:///{tmp_path}/c.db").queue_controller.create("orders", None, "shop")
    app = Celery("shop", broker=f"pool+sqlite:///{tmp_path}/c.db", set_as_current=False)
    app.conf.broker_transport_options = {"project": "shop"}

    assert scrape(collectors(app))["kombu_pool_queue_messages_ready", "shop", "orders", "default"] == 0


def test_a_child_process_scrapes_with_a_sampler_of_its_own(opened, collectors, tmp_path):
    opened(f"sqlite:///{tmp_path}/c.db").queue_controller.create("orders")
    collector = collectors(f"pool+sqlite:///{tmp_path}/c.db", interval=0.1)
    scrape(collector)
    pid = os.fork()
    if not pid:
        found = scrape(collector)
        os._exit(0 if found["kombu_pool_up",] == 1 and collector.source._sampler._thread.is_alive() else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_many_first_scrapes_at_once_of_a_child_process_open_one_broker(opened, collectors, tmp_path):
    opened(f"sqlite:///{tmp_path}/c.db").queue_controller.create("orders")
    collector, together, brokers = collectors(f"pool+sqlite:///{tmp_path}/c.db"), threading.Barrier(8), []
    scrape(collector)
    pid = os.fork()
    if not pid:
        sys.setswitchinterval(1e-6)
        callers = [
            threading.Thread(target=lambda: brokers.append((together.wait(), collector.source.broker)[1]))
            for _ in range(8)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(LIMIT)
        os._exit(0 if len(brokers) == len(callers) and len({id(broker) for broker in brokers}) == 1 else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_old_samples_do_not_stand_for_the_present(opened, collectors, tmp_path, monkeypatch):
    collector = collectors(Broker(opened(f"sqlite:///{tmp_path}/c.db"), None))
    scrape(collector)
    latest = collector.source.latest(0)
    monkeypatch.setattr(collector.source, "latest", lambda timeout: latest._replace(age=21.0))

    assert scrape(collector) == {("kombu_pool_up",): 0, ("kombu_pool_sample_age_seconds",): 21}


def test_a_scrape_of_a_thousand_queues_takes_less_than_half_a_second(opened, collectors, tmp_path, monkeypatch):
    collector = collectors(Broker(opened(f"sqlite:///{tmp_path}/c.db"), None))
    latest = collector.source.latest(LIMIT)._replace(sample=sample_of(1000))
    monkeypatch.setattr(collector.source, "latest", lambda timeout: latest)
    registry = CollectorRegistry()
    registry.register(collector)

    begun = time.thread_time()
    generate_latest(registry)

    # Of the processor: on a busy machine it takes longer.
    assert time.thread_time() - begun < 0.5


def test_the_health_of_a_broker_has_the_state_of_each_pool(opened, collectors, tmp_path):
    app = make_wsgi_app(collectors(Broker(opened(f"sqlite:///{tmp_path}/c.db"), None)))
    eventually(lambda: get(app, "/metrics")[0] == 200)

    status, kind, body = get(app, "/healthz")

    assert (status, kind) == (200, "application/json")
    assert json.loads(body)["control_store"] == {"answers": True, "reason": None}
    assert json.loads(body)["pools"]["default"]["answers"] is True
    assert get(app, "/other")[0] == 404


def test_a_control_store_that_hangs_is_unhealthy_within_a_second(opened, collectors, tmp_path):
    with Server() as server:
        app = make_wsgi_app(collectors(Broker(opened(server.uri()), None)))
        assert get(app, "/healthz")[0] == 200
        server.pause()

        status, _, body = get(app, "/healthz")
        taken = best_of(lambda: seconds_of(lambda: get(app, "/healthz")), 1.0)
        server.resume()

    assert status == 503
    assert "no answer within" in json.loads(body)["control_store"]["reason"]
    assert taken < 1.0


def test_a_control_store_that_hangs_while_it_is_opened_is_unhealthy_within_a_second(collectors):
    with Server() as server:
        server.pause()
        app = make_wsgi_app(collectors(f"pool+{server.uri()}"))

        status, _, body = get(app, "/healthz")
        taken = best_of(lambda: seconds_of(lambda: get(app, "/healthz")), 1.0)
        server.resume()

    assert (status, json.loads(body)["pools"]) == (503, {})
    assert taken < 1.0


def test_a_broker_that_cannot_be_opened_is_unhealthy_and_its_password_hidden(collectors):
    status, _, body = get(make_wsgi_app(collectors("pool+redis://app:s3cret@127.0.0.1:1/0")), "/healthz")

    assert status == 503
    assert "s3cret" not in body
    assert "127.0.0.1:1" in body


def test_an_interval_that_is_too_short_is_refused_at_once():
    with pytest.raises(ConfigurationError, match=r"0\.1 s or more"):
        Collector("pool://", interval=0)
