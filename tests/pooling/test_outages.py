from __future__ import annotations

import itertools
import logging

import pytest

from kombu_pool import errors
from kombu_pool.pooling import DataDriver
from tests.support.pooling.switchable_stores import bodies, post


@pytest.mark.parametrize(
    "call",
    [
        lambda driver: post(driver, "of-a", 1),
        lambda driver: driver.message_controller.list("of-a"),
        lambda driver: driver.message_controller.get("of-a", "1"),
        lambda driver: driver.message_controller.first("of-a"),
        lambda driver: driver.message_controller.bulk_get("of-a", ["1"]),
        lambda driver: driver.message_controller.delete("of-a", "1"),
        lambda driver: driver.message_controller.bulk_delete("of-a", ["1"]),
        lambda driver: driver.message_controller.pop("of-a", 1),
        lambda driver: driver.message_controller.delete_claimed("of-a", []),
        lambda driver: driver.message_controller.purge("of-a"),
        lambda driver: driver.message_controller.count("of-a"),
        lambda driver: driver.claim_controller.create("of-a", {"ttl": 60, "grace": 60}),
        lambda driver: driver.claim_controller.get("of-a", "c"),
        lambda driver: driver.claim_controller.update("of-a", "c", {"ttl": 60, "grace": 60}),
        lambda driver: driver.claim_controller.delete("of-a", "c"),
        lambda driver: driver.claim_controller.release("of-a", "c", []),
        lambda driver: driver.subscription_controller.list("of-a"),
        lambda driver: driver.subscription_controller.get("of-a", "1"),
        lambda driver: driver.subscription_controller.get_with_subscriber("of-a", "s"),
        lambda driver: driver.subscription_controller.create("of-a", "s", 60, {}),
        lambda driver: driver.subscription_controller.update("of-a", "1", ttl=60),
        lambda driver: driver.subscription_controller.exists("of-a", "1"),
        lambda driver: driver.subscription_controller.delete("of-a", "1"),
        lambda driver: driver.subscription_controller.confirm("of-a", "1"),
        lambda driver: driver.queue_controller.stats("of-a"),
        lambda driver: driver.queue_controller.set_metadata("of-a", {}),
        lambda driver: driver.queue_controller.pause("of-a"),
        lambda driver: driver.queue_controller.resume("of-a"),
    ],
)
def test_only_the_queues_of_a_pool_that_is_down_suffer(populated, stores, call):
    stores.switch_off("a", "connection refused")

    with pytest.raises(errors.PoolUnavailable) as raised:
        call(populated)

    assert raised.value.pool == "a"
    assert raised.value.reason == "connection refused"
    assert type(raised.value.__cause__) is errors.ConnectionError
    post(populated, "of-b", 1)
    assert bodies(populated, "of-b") == [1]
    assert populated.queue_controller.exists("of-a")


def test_a_known_queue_is_declared_and_deleted_without_an_answer_of_its_pool(populated, stores):
    post(populated, "of-a", 1)
    stores.switch_off("a")

    assert populated.queue_controller.create("of-a") is False
    populated.queue_controller.delete("of-a")

    assert not populated.queue_controller.exists("of-a")
    with pytest.raises(errors.QueueDoesNotExist):
        post(populated, "of-a", 2)
    with pytest.raises(errors.PoolUnavailable):
        populated.queue_controller.create("of-a")
    stores.switch_on("a")
    populated.queue_controller.end_deletions()
    assert not stores.leaf("a").queue_controller.exists("of-a")
    assert list(populated.control.catalogue_controller.deletions()) == []
    assert populated.queue_controller.create("of-a") is True
    assert bodies(populated, "of-a") == []


def test_a_pool_that_is_down_from_the_start_is_unavailable_too(populated, stores, control, clock):
    stores.switch_off("a")
    driver = DataDriver(None, None, control, clock=clock)

    with pytest.raises(errors.PoolUnavailable, match="Pool 'a'"):
        post(driver, "of-a", 1)

    post(driver, "of-b", 1)
    stores.switch_on("a")
    post(driver, "of-a", 1)


def test_health_says_which_pool_is_down_since_when_and_why(populated, stores, clock):
    went_down = clock.time()
    stores.switch_off("a", "connection refused")
    with pytest.raises(errors.PoolUnavailable):
        post(populated, "of-a", 1)
    clock.advance(30)
    with pytest.raises(errors.PoolUnavailable):
        post(populated, "of-a", 1)

    health = populated.health()

    assert health["catalog_reachable"] is True
    assert health["storage_reachable"] is False
    assert health["pools"]["a"]["storage_reachable"] is False
    assert health["pools"]["a"]["since"] == went_down
    assert health["pools"]["a"]["reason"]
    assert health["pools"]["b"]["storage_reachable"] is True
    assert health["pools"]["b"]["since"] is None
    assert health["pools"]["b"]["reason"] is None


def test_health_finds_a_pool_that_went_down_unnoticed_and_one_that_came_back(populated, stores, clock):
    stores.switch_off("a")
    seen = populated.health()["pools"]["a"]["since"]
    clock.advance(5)
    still = populated.health()["pools"]["a"]["since"]
    stores.switch_on("a")

    assert seen == still == clock.time() - 5
    assert populated.health()["pools"]["a"]["since"] is None


def test_a_pool_that_answers_again_is_down_no_more(populated, stores):
    stores.switch_off("a")
    with pytest.raises(errors.PoolUnavailable):
        post(populated, "of-a", 1)
    stores.switch_on("a")

    post(populated, "of-a", 1)

    assert populated.catalog.open_pools.peek("a").outage is None


def test_an_answer_that_is_an_error_is_an_answer(populated, stores):
    stores.switch_off("a")
    with pytest.raises(errors.PoolUnavailable):
        post(populated, "of-a", 1)
    stores.switch_on("a")

    with pytest.raises(errors.MessageDoesNotExist):
        populated.message_controller.get("of-a", "1")

    assert populated.catalog.open_pools.peek("a").outage is None


def test_one_pool_that_is_down_keeps_no_other_from_being_collected(populated, stores, clock):
    populated.message_controller.post("of-b", [{"ttl": 60, "body": 1}], None)
    stores.switch_off("a")
    clock.advance(61)

    assert populated.gc() >= 1


def test_is_alive_asks_every_pool(populated, stores):
    before = populated.is_alive()
    stores.switch_off("b")

    assert before is True
    assert populated.is_alive() is False
    assert populated.health()["pools"]["b"]["since"] is not None


def test_no_pool_at_all_is_alive(empty):
    assert empty.is_alive() is True
    assert empty.health() == {"catalog_reachable": True, "storage_reachable": True, "pools": {}}


def test_a_pool_whose_driver_cannot_be_built_is_said_to_be_down(populated, control):
    control.pools_controller.update("a", options={"nonsense": 1})
    driver = DataDriver(None, None, control)

    health = driver.health()

    assert driver.is_alive() is False
    assert "nonsense" in health["pools"]["a"]["reason"]
    assert health["pools"]["b"]["storage_reachable"] is True


def test_a_catalogue_that_cannot_be_read_is_said_so(populated, monkeypatch):
    def refused(*_, **__):
        raise errors.ConnectionError("refused")

    monkeypatch.setattr(populated.control.pools_controller, "list", refused)

    health = populated.health()

    assert populated.is_alive() is False
    assert health["catalog_reachable"] is False
    assert set(health["pools"]) == {"a", "b"}


def test_a_pool_may_be_named_like_a_field_of_health(empty, stores):
    empty.control.pools_controller.create("catalog_reachable", 100, stores.uri("x"))

    assert empty.health()["catalog_reachable"] is True
    assert empty.health()["pools"]["catalog_reachable"]["storage_reachable"] is True


def test_a_reason_shows_no_password(populated, stores):
    stores.switch_off("a", "no route to redis://user:s3cret@host/0")

    with pytest.raises(errors.PoolUnavailable) as raised:
        post(populated, "of-a", 1)

    assert "s3cret" not in str(raised.value)
    assert "s3cret" not in str(populated.catalog.open_pools.peek("a").outage)


def logged(caplog, level=logging.WARNING):
    """Return the texts of the records about outages, of that level or a higher one."""
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


def test_an_outage_is_logged_once_when_it_begins_and_once_when_it_ends(populated, stores, control, clock, caplog):
    stores.switch_off("a", "no route to redis://user:s3cret@host/0\nat all.")
    for driver in (populated, DataDriver(None, None, control, clock=clock)):
        for _ in range(3):
            with pytest.raises(errors.PoolUnavailable):
                post(driver, "of-a", 1)
            driver.gc()
            driver.health()
    clock.advance(30)
    stores.switch_on("a")

    for _ in range(2):
        post(populated, "of-a", 1)

    assert logged(caplog) == [
        "Pool 'a' is unreachable (no route to redis://user:**@host/0 at all)",
        "Pool 'a' is reachable again after 30.0 s",
    ]


def test_the_next_outage_is_logged_again(populated, stores, caplog):
    for _ in range(2):
        stores.switch_off("a")
        with pytest.raises(errors.PoolUnavailable):
            post(populated, "of-a", 1)
        stores.switch_on("a")
        post(populated, "of-a", 1)

    assert [text.partition(" (")[0] for text in logged(caplog)] == [
        "Pool 'a' is unreachable",
        "Pool 'a' is reachable again after 0.0 s",
    ] * 2


def test_what_fails_because_the_driver_was_closed_is_no_outage(populated, stores, caplog):
    pool = populated.catalog.pool("of-a")
    populated.close()

    with pytest.raises(errors.PoolUnavailable), pool:
        raise errors.ConnectionError("this driver was closed")

    assert pool.outage is None
    assert logged(caplog) == []


def test_an_error_of_the_control_store_is_no_outage_of_a_pool(pooled, monkeypatch):
    def refused(*_, **__):
        raise errors.ConnectionError("control store")

    monkeypatch.setattr(pooled.control.catalogue_controller, "activate", refused)

    with pytest.raises(errors.ConnectionError, match=r"\Acontrol store\Z"):
        pooled.queue_controller.create("new")

    assert all(pool.outage is None for pool in pooled.catalog.open_pools.opened())


def test_garbage_is_collected_ever_more_seldom_in_a_pool_that_is_down(populated, stores, clock):
    post(populated, "of-a", 1)
    (driver,) = stores.opened_as("a")
    tries, genuine = [], driver.gc
    driver.gc = lambda: tries.append(clock.time()) or genuine()
    begun = clock.time()
    stores.switch_off("a")

    for _ in range(1000):
        populated.gc()
        clock.advance(0.01)

    pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert tries[0] == begun
    assert len(tries) < 20
    assert pauses[0] < 0.2
    assert all(0.7 < pause < 1.3 for pause in pauses[4:])
    stores.switch_on("a")
    clock.advance(1.3)
    populated.gc()
    assert populated.catalog.open_pools.peek("a").outage is None


def test_health_gives_the_reason_of_the_store(populated, stores, monkeypatch):
    post(populated, "of-a", 1)
    (driver,) = stores.opened_as("a")
    monkeypatch.setattr(driver, "health", lambda: {"storage_reachable": False, "error": "disk I/O error"})

    assert populated.health()["pools"]["a"]["reason"] == "disk I/O error"


@pytest.mark.parametrize("was_open", [True, False])
def test_the_claims_of_a_dead_process_end_in_the_pools_that_answer(populated, stores, clock, was_open):
    metadata = {"ttl": 60, "grace": 0, "holder": "dead"}
    for queue in ("of-a", "of-b"):
        post(populated, queue, 1)
        populated.claim_controller.create(queue, metadata)
    other = populated if was_open else DataDriver(None, None, populated.control, clock=clock)
    stores.switch_off("a")
    queues = [(None, "of-a"), (None, "of-b")]

    assert other.claim_controller.end_claims_of("dead", queues) == {(None, "of-b"): 1}
    stores.switch_on("a")
    clock.advance(2)

    assert other.claim_controller.end_claims_of("dead", queues) == {(None, "of-a"): 1, (None, "of-b"): 0}
    other.send_counters()
    assert {scope: counters["lost_claims"] for scope, counters in other.control.counters().items()} == dict.fromkeys(
        queues, 1
    )
    other.close()
