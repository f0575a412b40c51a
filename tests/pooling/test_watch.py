from __future__ import annotations

import threading
import time

import pytest

from kombu_pool import errors
from kombu_pool.pooling import DataDriver, watch
from tests.support.limits import LIMIT
from tests.support.pooling.switchable_stores import post


@pytest.fixture(params=[("of-a",), ("of-a", "of-b")], ids=["one pool", "two pools"])
def queues(request):
    return [(None, name) for name in request.param]


@pytest.fixture
def watching(populated, queues):
    found = populated.watch(queues)
    yield found
    found.close()


def watchers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("kombu_pool watch")]


def drain(found):
    while found.wait(0.05):
        pass


def test_a_watch_wakes_for_a_message_posted_before_it_waits(populated, watching):
    drain(watching)
    post(populated, "of-a", 1)

    assert watching.wait(LIMIT)


def test_a_watch_wakes_for_a_message_posted_while_it_waits(populated, watching, queues):
    drain(watching)
    for _, queue in queues * 3:
        timer = threading.Timer(0.05, post, (populated, queue, 1))
        timer.start()

        assert watching.wait(LIMIT)
        timer.join()
        drain(watching)


def test_a_watch_of_which_nothing_happens_waits_its_time(watching):
    while True:  # spurious wake-ups are allowed, but must end
        start = time.monotonic()
        if not watching.wait(0.2):
            break

    assert time.monotonic() - start >= 0.2


def test_a_watch_can_be_interrupted_before_and_while_it_waits(watching):
    drain(watching)
    watching.interrupt()
    assert watching.wait(LIMIT)
    drain(watching)

    timer = threading.Timer(0.05, watching.interrupt)
    timer.start()

    assert watching.wait(LIMIT)
    timer.join()


def test_a_watch_that_is_closed_waits_no_more(watching):
    watching.close()
    watching.close()

    assert watching.wait(LIMIT) is False


def test_a_queue_that_is_declared_later_is_watched_from_then_on(populated):
    found = populated.watch([(None, "of-a"), (None, "later")])
    drain(found)

    def declare():
        populated.queue_controller.create("later")
        post(populated, "later", 1)

    timer = threading.Timer(0.05, declare)
    timer.start()

    assert found.wait(LIMIT)
    timer.join()
    drain(found)
    post(populated, "later", 2)
    assert found.wait(LIMIT)
    found.close()


def test_a_queue_that_another_process_declares_later_is_watched_from_then_on(populated, control, clock, monkeypatch):
    monkeypatch.setattr(watch, "_UNASSIGNED_INTERVAL", 0.05)
    found = populated.watch([(None, "later")])
    drain(found)
    other = DataDriver(None, None, control, clock=clock)
    other.queue_controller.create("later")
    post(other, "later", 1)

    assert found.wait(LIMIT)
    found.close()


def test_a_queue_that_moved_to_another_pool_is_watched_there(populated, control, clock, watching):
    populated.queue_controller.delete("of-a")
    control.catalogue_controller.insert(None, "of-a", "b")
    populated.queue_controller.create("of-a")
    drain(watching)

    post(populated, "of-a", 1)

    assert watching.wait(LIMIT)


def test_the_outage_of_the_only_pool_ends_the_wait(populated, stores):
    found = populated.watch([(None, "of-a")])
    drain(found)
    stores.switch_off("a")

    for _ in range(3):
        with pytest.raises(errors.PoolUnavailable):
            found.wait(LIMIT)
    stores.switch_on("a")

    assert found.wait(LIMIT), "a message may have arrived during the outage"
    drain(found)
    post(populated, "of-a", 1)
    assert found.wait(LIMIT)
    found.close()


def test_the_outage_of_one_of_two_pools_leaves_the_other_watched(populated, stores, monkeypatch):
    monkeypatch.setattr(watch, "_RETRY_INTERVAL", 0.05)
    monkeypatch.setattr(watch, "_WAIT_TIMEOUT", 0.05)
    found = populated.watch([(None, "of-a"), (None, "of-b")])
    stores.switch_off("a")
    drain(found)

    post(populated, "of-b", 1)
    assert found.wait(LIMIT)
    drain(found)
    stores.switch_on("a")

    assert found.wait(LIMIT), "a message may have arrived during the outage"
    drain(found)
    post(populated, "of-a", 1)
    assert found.wait(LIMIT)
    found.close()


def test_a_pool_that_is_down_from_the_start_is_watched_once_it_is_back(populated, stores, monkeypatch):
    monkeypatch.setattr(watch, "_RETRY_INTERVAL", 0.05)
    stores.switch_off("a")
    found = populated.watch([(None, "of-a"), (None, "of-b")])
    drain(found)
    stores.switch_on("a")

    assert found.wait(LIMIT)
    found.close()


def test_the_only_pool_may_be_down_from_the_start(populated, stores, control, clock):
    stores.switch_off("a")

    with pytest.raises(errors.PoolUnavailable):
        DataDriver(None, None, control, clock=clock).watch([(None, "of-a")])


def test_a_pool_known_to_be_down_is_opened_by_its_own_scout(populated, stores, control, clock, monkeypatch):
    monkeypatch.setattr(watch, "_RETRY_INTERVAL", 0.05)
    stores.switch_off("a")
    driver = DataDriver(None, None, control, clock=clock)
    with pytest.raises(errors.PoolUnavailable):
        post(driver, "of-a", 1)
    found = driver.watch([(None, "of-a"), (None, "of-b")])
    drain(found)
    stores.switch_on("a")

    assert found.wait(LIMIT)
    drain(found)
    post(populated, "of-a", 1)
    assert found.wait(LIMIT)
    found.close()


def test_a_watch_of_no_queues_waits_its_time(populated):
    found = populated.watch([])

    assert found.wait(0.05) is False
    found.close()


def test_threads_end_with_their_watch(populated):
    found = populated.watch([(None, "of-a"), (None, "of-b")])
    found.wait(0.05)
    during = watchers()

    found.close()

    assert len(during) == 2
    assert not watchers()


def test_an_outage_of_the_control_store_leaves_the_pools_watched(populated, watching, clock, monkeypatch):
    def refused(*_, **__):
        raise errors.ConnectionError("refused")

    post(populated, "of-a", 1)
    drain(watching)
    monkeypatch.setattr(populated.control.catalogue_controller, "get", refused)
    populated.catalog.version = object()
    clock.advance(60)
    drain(watching)

    post(populated, "of-a", 1)

    assert watching.wait(LIMIT)


def test_a_queue_whose_pool_is_gone_keeps_no_other_from_being_watched(populated, control, clock):
    row = control.pools_controller.get("b")
    control.pools_controller.drop_all()
    control.pools_controller.create("b", 100, row["uri"])
    clock.advance(60)
    found = populated.watch([(None, "of-a"), (None, "of-b")])
    drain(found)

    post(populated, "of-b", 1)

    assert found.wait(LIMIT)
    found.close()
