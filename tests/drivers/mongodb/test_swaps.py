"""What is done goes with what is next: both are for good by one wait for the majority."""

from __future__ import annotations

import pytest

from kombu_pool import errors
from kombu_pool.drivers.mongodb.acknowledging import Acknowledgement
from tests.conformance.handles import bodies, ids
from tests.servers import mongodb

CLAIM = {"ttl": 60, "grace": 0}


@pytest.fixture
def uri():
    return mongodb.fresh_uri()


def pairs(held):
    return [(one, held.id) for one in ids(held)]


def swap(queue, held, limit=10):
    return queue.driver.claim_controller.swap(queue.name, held, CLAIM, queue.project, limit)


@pytest.mark.usefixtures("trusting")
def test_a_swap_of_batches_is_three_commands(queue, profiled):
    queue.post(*range(20))
    held = queue.claim()

    assert len(profiled(lambda: swap(queue, pairs(held)))) == 3
    assert queue.all() == [*range(10, 20)]


@pytest.mark.usefixtures("trusting")
def test_a_swap_for_nothing_waits_for_the_majority_by_itself(queue, profiled):
    queue.post("a", "b")
    held = queue.claim()

    done = profiled(lambda: swap(queue, pairs(held)))

    assert len(done) == 3
    assert done[0]["op"] == done[-1]["op"] == "remove"
    assert queue.all() == []


def test_an_acknowledgement_is_asked_for_again_where_another_primary_answers(queue, driver, round_trips):
    queue.post("a", "b")
    held = queue.claim()
    done = Acknowledgement(driver._store, queue.project, queue.name, pairs(held))

    assert done.delete(driver._store.now(), at_first=True) == []

    assert round_trips(lambda: done.seal(done._election)) == 0
    assert round_trips(lambda: done.seal("of another primary")) == 1
    assert round_trips(lambda: done.seal(None)) == 1


def test_a_batch_that_this_process_lent_is_acknowledged_by_one_command(queue, profiled):
    queue.post(*range(5))
    held = queue.claim()

    assert len(profiled(lambda: queue.delete_claimed(pairs(held)))) == 1


def test_what_was_released_and_is_another_claims_is_refused(queue, other):
    queue.post("a", "b")
    held = queue.claim()
    queue.end(held.id)
    assert bodies(other.claim()) == ["a", "b"]

    assert queue.delete_claimed(pairs(held)) == pairs(held)


def test_what_ran_out_and_is_another_claims_is_refused(queue, other, clock):
    queue.post("a", "b")
    held = queue.claim(ttl=60)
    clock.advance(61)
    assert bodies(other.claim()) == ["a", "b"]

    assert queue.delete_claimed(pairs(held)) == pairs(held)


def test_what_is_done_twice_is_refused_the_second_time(queue):
    queue.post("a", "b", "c")
    held = queue.claim()
    queue.delete_claimed(pairs(held)[:1])

    assert queue.delete_claimed(pairs(held)) == pairs(held)[:1]


def test_a_renewed_claim_is_relied_on_for_longer(queue, clock, profiled):
    queue.post("a", "b")
    held = queue.claim(ttl=60)
    clock.advance(50)
    queue.renew(held.id, ttl=60)
    clock.advance(50)

    assert len(profiled(lambda: queue.delete_claimed(pairs(held)))) == 1
    assert queue.all() == []


def test_a_claim_that_could_not_be_renewed_is_not_relied_on(queue, other, clock):
    queue.post("a", "b")
    ended, alive = queue.claim(limit=1, ttl=10), queue.claim(limit=1, ttl=60)
    clock.advance(11)
    other.delete_claimed(pairs(other.claim()))
    with pytest.raises(errors.ClaimDoesNotExist):
        queue.renew(ended.id)

    assert queue.delete_claimed(pairs(ended) + pairs(alive)) == pairs(ended)
