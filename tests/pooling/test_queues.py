from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kombu_pool import errors
from kombu_pool.drivers.memory.queues import QueueController
from kombu_pool.pooling import DataDriver, queue_lives
from tests.support.limits import LIMIT
from tests.support.pooling.switchable_stores import bodies, post


def pool_queues(stores, name):
    return stores.leaf(name).queue_controller


def test_the_control_store_and_the_pool_both_know_the_queue(pooled, stores):
    assert pooled.queue_controller.create("q", {"_flavor": "fast", "x": 1}) is True

    assert pooled.control.queue_controller.get("q") == {"_flavor": "fast", "x": 1}
    assert pool_queues(stores, "f").get("q") == {"_flavor": "fast", "x": 1}


def test_a_queue_is_created_once_and_keeps_its_metadata(pooled):
    assert pooled.queue_controller.create("q", {"x": 1}) is True

    assert pooled.queue_controller.create("q", {"x": 2}) is False
    assert pooled.queue_controller.get("q") == {"x": 1}


def test_a_queue_whose_record_was_lost_is_created_again_with_its_messages(populated):
    post(populated, "of-a", 1)
    populated.control.queue_controller.delete("of-a")

    assert populated.queue_controller.create("of-a", {"x": 1}) is True
    assert populated.queue_controller.create("of-a", {"x": 2}) is False
    assert populated.queue_controller.get("of-a") == {"x": 1}
    assert bodies(populated, "of-a") == [1]


def test_new_metadata_reaches_both_planes(populated, stores):
    populated.queue_controller.set_metadata("of-a", {"x": 1})

    assert populated.queue_controller.get_metadata("of-a") == {"x": 1}
    assert pool_queues(stores, "a").get("of-a") == {"x": 1}


def test_metadata_of_a_missing_queue_leaves_no_row(pooled):
    with pytest.raises(errors.QueueDoesNotExist):
        pooled.queue_controller.set_metadata("q", {"_flavor": "fast"})

    assert not pooled.control.catalogue_controller.exists(None, "q")


def test_the_control_store_lists_the_queues_of_all_pools(populated):
    pages = populated.queue_controller.list(detailed=True)

    assert [queue["name"] for queue in next(pages)] == ["of-a", "of-b"]
    assert next(pages) == "of-b"
    assert populated.queue_controller.calculate_resource_count() == 2


def test_a_deleted_queue_is_gone_from_everywhere(populated, stores):
    post(populated, "of-a", 1)

    populated.queue_controller.delete("of-a")
    populated.queue_controller.delete("of-a")

    assert not populated.queue_controller.exists("of-a")
    assert not populated.control.catalogue_controller.exists(None, "of-a")
    assert not pool_queues(stores, "a").exists("of-a")


def test_a_queue_created_again_is_empty(populated):
    post(populated, "of-a", 1)
    populated.queue_controller.delete("of-a")

    populated.queue_controller.create("of-a")

    assert bodies(populated, "of-a") == []


@pytest.mark.parametrize("crash_at", ["pool", "control", "catalogue"])
def test_a_delete_that_crashed_is_finished_by_the_next(populated, stores, monkeypatch, crash_at):
    post(populated, "of-a", 1)
    target, method = {
        "pool": (populated.catalog.lookup("of-a").queue_controller, "delete_many"),
        "control": (populated.control.catalogue_controller, "begin_deletion"),
        "catalogue": (populated.control.catalogue_controller, "delete"),
    }[crash_at]
    with monkeypatch.context() as patched:
        patched.setattr(target, method, crash)
        with pytest.raises(KeyboardInterrupt):
            populated.queue_controller.delete("of-a")

    populated.queue_controller.delete("of-a")

    assert not populated.queue_controller.exists("of-a")
    assert not populated.control.catalogue_controller.exists(None, "of-a")
    assert not pool_queues(stores, "a").exists("of-a")


def test_a_create_that_crashed_before_the_pool_is_finished_by_the_next(pooled, monkeypatch):
    pooled.catalog.register("q")

    assert pooled.queue_controller.create("q") is True
    post(pooled, "q", 1)
    assert bodies(pooled, "q") == [1]


def test_a_create_that_crashed_before_the_control_store_is_finished_by_the_next(pooled, stores, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(pooled.control.catalogue_controller, "activate", crash)
        with pytest.raises(KeyboardInterrupt):
            pooled.queue_controller.create("q", {"_flavor": "fast", "attempt": 1})

    assert pooled.queue_controller.create("q", {"_flavor": "fast", "attempt": 2}) is True

    assert pooled.queue_controller.get("q") == {"_flavor": "fast", "attempt": 2}
    assert pool_queues(stores, "f").get("q") == {"_flavor": "fast", "attempt": 2}


def test_a_queue_that_its_pool_forgot_is_repaired_by_its_next_use(populated, stores):
    populated.queue_controller.set_metadata("of-a", {"x": 1})
    pool_queues(stores, "a").delete("of-a")
    # A declaration needs no answer of the pool.
    assert populated.queue_controller.create("of-a", {"x": 2}) is False

    assert populated.claim_controller.create("of-a", {"ttl": 60, "grace": 60}) == (None, [])

    assert pool_queues(stores, "a").get("of-a") == {"x": 1}
    pool_queues(stores, "a").delete("of-a")
    post(populated, "of-a", "again")
    assert pool_queues(stores, "a").get("of-a") == {"x": 1}
    assert bodies(populated, "of-a") == ["again"]


def test_a_queue_that_the_catalogue_forgot_is_repaired_by_its_declaration(populated):
    populated.control.catalogue_controller.drop_all()
    populated.catalog.deregister("of-a")

    assert populated.queue_controller.create("of-a") is False

    post(populated, "of-a", 1)
    assert bodies(populated, "of-a") == [1]


def test_metadata_reaches_a_pool_that_forgot_the_queue(populated, stores):
    pool_queues(stores, "a").delete("of-a")

    populated.queue_controller.set_metadata("of-a", {"x": 1})

    assert pool_queues(stores, "a").get("of-a") == {"x": 1}


def test_a_queue_of_a_pool_that_is_gone_can_be_deleted(populated, clock):
    populated.control.pools_controller.drop_all()
    clock.advance(60)

    populated.queue_controller.delete("of-a")

    assert not populated.queue_controller.exists("of-a")
    assert not populated.control.catalogue_controller.exists(None, "of-a")


def crash(*_, **__):
    raise KeyboardInterrupt


def test_a_named_incarnation_is_the_only_one_that_is_used(populated):
    incarnation = populated.catalog.route("of-a").incarnation
    post(populated, "of-a", 1)

    with pytest.raises(errors.QueueDoesNotExist):
        populated.message_controller.post("of-a", [{"ttl": 60, "body": 2}], None, incarnation="another")
    with pytest.raises(errors.QueueDoesNotExist):
        populated.claim_controller.create("of-a", {"ttl": 60, "grace": 60}, incarnation="another")
    with pytest.raises(errors.QueueDoesNotExist):
        populated.claim_controller.ack_and_claim("of-a", [], {"ttl": 60, "grace": 60}, incarnation="another")
    with pytest.raises(errors.ConfigurationError, match="incarnation"):
        populated.queue_controller.create("new", incarnation="mine")
    populated.queue_controller.delete("of-a", incarnation="another")
    assert bodies(populated, "of-a") == [1]

    populated.queue_controller.delete("of-a", incarnation=incarnation)

    assert not populated.queue_controller.exists("of-a")


def test_a_pool_that_is_down_is_asked_once_however_many_deletions_wait_for_it(populated, stores, monkeypatch):
    for number in range(5):
        populated.control.catalogue_controller.insert(None, f"q{number}", "a")
        populated.queue_controller.create(f"q{number}")
    stores.switch_off("a")
    for number in range(5):
        populated.queue_controller.delete(f"q{number}")
    lives, asked = populated.catalog.lives, []
    end = lives._end_deletions
    monkeypatch.setattr(lives, "_end_deletions", lambda *arguments: asked.append(arguments) or end(*arguments))

    populated.queue_controller.end_deletions()

    assert len(asked) == 1
    stores.switch_on("a")
    populated.queue_controller.end_deletions()
    assert list(populated.control.catalogue_controller.deletions()) == []


def test_processes_that_declare_a_queue_at_once_do_not_overtake_each_other_for_ever(pooled, clock, monkeypatch):
    genuine = QueueController.create

    def slow(self, *arguments, **options):
        time.sleep(random.uniform(3, 6) * queue_lives._CREATION_TIMEOUT)  # noqa: S311 - no secret
        return genuine(self, *arguments, **options)

    monkeypatch.setattr(QueueController, "create", slow)
    processes = [DataDriver(None, None, pooled.control, clock=clock) for _ in range(12)]
    with ThreadPoolExecutor(len(processes)) as threads:
        declared = [threads.submit(each.queue_controller.create, "contended") for each in processes]
        answers = [each.result(timeout=LIMIT) for each in declared]

    assert sorted(answers) == [False] * 11 + [True]
