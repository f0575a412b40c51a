"""Several processes with one store, parents and children among them."""

from __future__ import annotations

import os

import pytest

from kombu_pool import drivers, errors
from kombu_pool.testing import ClaimResult, QueueHandle, bodies, ids
from tests.support.limits import LIMIT, best_of, seconds_of
from tests.support.mongodb.children import result_of, start_child
from tests.support.servers import mongodb
from tests.support.servers.waiting import first_answer

CLAIM = {"ttl": 60, "grace": 0}

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")


@pytest.fixture
def driver(uri):
    """A driver with the server's time."""
    opened = drivers.open_data(uri)
    yield opened
    opened.close()


def test_parent_and_child_both_use_the_driver(queue):
    queue.post("a")

    assert result_of(start_child(lambda: queue.post("b") and queue.free())) == "['a', 'b']"

    queue.post("c")
    assert queue.free() == ["a", "b", "c"]


def test_parent_and_child_both_swap(queue):
    queue.post(*"abcdef")

    def ack_and_claim(held):
        given = [(one, held.id) for one in ids(held)], CLAIM, queue.project, 1
        refused, claim, messages = queue.driver.claim_controller.ack_and_claim(queue.name, *given)
        assert refused == []
        return ClaimResult(claim, messages)

    held = ack_and_claim(queue.claim(limit=1))
    assert result_of(start_child(lambda: bodies(ack_and_claim(ack_and_claim(queue.claim(limit=1)))))) == "['e']"

    assert bodies(ack_and_claim(held)) == ["f"]
    assert queue.all() == ["e", "f"]


def test_claims_of_two_processes_never_meet(uri, queue):
    queue.post(*range(300))

    def work():
        mine = QueueHandle(drivers.open_data(uri), queue.name, queue.project)
        done = []
        while (held := mine.claim(limit=7)).id:
            assert mine.delete_claimed([(one, held.id) for one in ids(held)]) == []
            done += bodies(held)
        return done

    children = [start_child(work) for _ in range(2)]
    done = [body for child in children for body in eval(result_of(child))]  # noqa: S307 - numbers of our own

    assert sorted(done) == [*range(300)]
    assert queue.all() == []


def test_a_watch_goes_on_in_a_child(queue, driver):
    watch = driver.watch([(queue.project, queue.name)])
    watch.wait(0.1)

    def work():
        queue.post("a")
        return watch.wait(LIMIT)

    assert result_of(start_child(work)) == "True"
    watch.close()


def test_a_server_that_is_away_is_told_within_its_limits():
    driver = drivers.open_data("mongodb://127.0.0.1:1/db?serverSelectionTimeoutMS=200")

    health = driver.health()

    assert health["storage_reachable"] is False
    assert not driver.is_alive()
    driver.close()


def test_a_server_that_comes_back_is_used_again():
    with mongodb.MongoServer() as server:
        driver = drivers.open_data(f"{server.uri('db')}?serverSelectionTimeoutMS={int(1000 * LIMIT)}")
        queue = QueueHandle(driver, "q", None)
        queue.create()
        queue.post("a")
        server.restart()

        queue.post("b")

        assert queue.free() == ["a", "b"]
        driver.close()


def test_a_server_that_falls_silent_is_told_in_time():
    with mongodb.MongoServer() as server:
        driver = drivers.open_data(f"{server.uri('db')}?serverSelectionTimeoutMS=2000&socketTimeoutMS=2000")
        queue = QueueHandle(driver, "q", None)
        queue.create()
        queue.post("a")

        def post_in_vain():
            with pytest.raises(errors.ConnectionError):
                queue.post("b")

        server.pause()
        assert best_of(lambda: seconds_of(post_in_vain), 10) < 10
        server.resume()
        held = first_answer(queue.claim)
        assert bodies(held)[0] == "a"
        driver.close()


def test_the_loss_of_a_primary_loses_nothing():
    with mongodb.ReplicaSet(members=3) as replicas:
        driver = drivers.open_data(replicas.uri("db"))
        queue = QueueHandle(driver, "q", None)
        queue.create()
        queue.post("done", "a", "b")
        done = queue.claim(limit=1)
        _, claim, messages = driver.claim_controller.ack_and_claim("q", [(ids(done)[0], done.id)], CLAIM, None, 1)
        held = ClaimResult(claim, messages)
        replicas.kill_primary()

        posted = first_answer(lambda: queue.post("c"))

        assert len(posted) == 1
        assert queue.free() == ["b", "c"]
        assert queue.claimed_by(held) == ["a"]
        driver.close()
