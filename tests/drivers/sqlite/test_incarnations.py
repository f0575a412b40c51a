"""What another process does to a queue between the transactions of one call, and what the checks cost."""

from __future__ import annotations

import json
import shutil
import time
from functools import partial

import pytest

from kombu_pool import drivers
from kombu_pool.errors import IncarnationConflict, QueueDoesNotExist
from kombu_pool.testing import ManualClock

CLAIM = {"ttl": 60, "grace": 0}
MESSAGE = {"ttl": None, "body": "body"}
PRODUCERS, INCARNATIONS = 2, 5


class TrippedClock(ManualClock):
    """A clock that calls ``trip`` when the wall time is read for the ``reads``-th time from now."""

    def __init__(self):
        super().__init__(time.time())
        self.reads, self.trip = 0, None

    def time(self):
        self.reads -= 1
        if not self.reads:
            self.trip()
        return super().time()


@pytest.fixture
def clock():
    return TrippedClock()


@pytest.fixture
def born(uri, clock):
    """Open a driver with the queue "b", which bears the incarnation "one"."""
    opened = drivers.open_data(uri, clock=clock)
    opened.queue_controller.create("b", incarnation="one")
    yield opened
    opened.close()


def post(driver, count=1, **options):
    return driver.message_controller.post("b", [MESSAGE] * count, None, **options)


def statements_of(driver, call):
    """Return the number of the statements that a call executes, and its result."""
    seen = []
    driver._database.connection.set_trace_callback(seen.append)
    result = call()
    driver._database.connection.set_trace_callback(None)
    return len(seen), result


def test_posts_and_claims_with_an_incarnation_execute_no_further_statement(born):
    counts = {}
    for given in (None, "one"):
        claim, ack_and_claim = (
            partial(verb, metadata=CLAIM, incarnation=given)
            for verb in (born.claim_controller.create, born.claim_controller.ack_and_claim)
        )
        posting, _ = statements_of(born, partial(post, born, incarnation=given))
        claiming, (claim_id, messages) = statements_of(born, partial(claim, "b"))
        acking, _ = statements_of(born, partial(ack_and_claim, "b", [(messages[0]["id"], claim_id)]))
        counts[given] = (posting, claiming, acking)

    assert counts[None] == counts["one"]


def test_the_acks_before_the_deletion_of_the_queue_are_told(born, clock):
    post(born, 2)
    claim, messages = born.claim_controller.create("b", CLAIM, limit=1)
    held = [(messages[0]["id"], claim), ("1", claim)]
    clock.reads, clock.trip = 1, lambda: born.queue_controller.delete("b")

    refused, claim, messages = born.claim_controller.ack_and_claim("b", held, CLAIM, incarnation="one")

    assert not born.queue_controller.exists("b")
    assert (list(refused), claim, messages) == ([("1", held[0][1])], None, [])


def test_a_claim_whose_queue_is_replaced_while_another_store_is_asked_claims_nothing(born):
    born.queue_controller.set_metadata("b", {"_max_claim_count": 1, "_dead_letter_queue": "elsewhere"})
    post(born)
    claim, _ = born.claim_controller.create("b", CLAIM)
    born.claim_controller.delete("b", claim)
    post(born)
    taken = []

    def forward(project, queue, message):
        born.queue_controller.create("b", {}, incarnation="two", replaces="one")
        taken.append(message["body"])
        return True

    born.dead_letter_hooks.forward = forward

    assert born.claim_controller.create("b", CLAIM, incarnation="one") == (None, [])

    assert taken == ["body"]
    assert born.message_controller.count("b") == 1, "the other message is free, and the dead letter is gone"
    with pytest.raises(QueueDoesNotExist):
        born.claim_controller.create("b", CLAIM, incarnation="one")


def test_a_queue_that_appears_before_the_transaction_of_its_creation_is_seen(uri):
    drivers_of_both = [drivers.open_data(uri) for _ in range(2)]
    first, second = (driver.queue_controller for driver in drivers_of_both)
    find, second._find = second._find, lambda *scope: first.create("q", incarnation="one") and None

    with pytest.raises(IncarnationConflict):
        second.create("q", incarnation="two")

    second._find = find
    assert first.create("q", incarnation="one") is False
    for driver in drivers_of_both:
        driver.close()


def test_subscriptions_of_another_incarnation_and_of_an_absent_queue(born):
    subscriptions = born.subscription_controller
    for queue in ("b", "absent"):
        subscriptions.create(queue, "http://subscriber", 60, {})
        born.queue_controller.delete(queue, incarnation="two")

    assert len(next(subscriptions.list("b"))) == 1
    assert next(subscriptions.list("absent")) == []


def test_messages_that_expired_before_the_replacement_follow_the_old_metadata(born, clock):
    born.queue_controller.create("dead-letters")
    born.queue_controller.set_metadata("b", {"_dead_letter_queue": "dead-letters", "_dead_letter_expired": True})
    born.message_controller.post("b", [{"ttl": 1, "body": "body"}], None)
    clock.advance(1)

    born.queue_controller.create("b", {"_dead_letter_queue": "dead-letters"}, incarnation="two", replaces="one")
    born.dead_letter_all()

    assert born.message_controller.count("dead-letters") == 1


def test_a_copy_of_the_file_gives_other_incarnations(path, uri):
    control = drivers.open_control(uri)
    control.pools_controller.create("a", 1, "memory://a")
    control.close()
    copied = path.with_name("copy.db")
    shutil.copy(path, copied)

    incarnations = set()
    for place in (path, copied):
        opened = drivers.open_control(f"sqlite:///{place}")
        incarnations.add(opened.catalogue_controller.assign(None, "q", "a")[0].incarnation)
        opened.close()

    assert len(incarnations) == 2


def test_no_process_posts_into_another_life_of_its_queue(driver, uri, run):
    queues = driver.queue_controller
    producers = [run("post_to_incarnations", uri, INCARNATIONS, 3) for _ in range(PRODUCERS)]
    for producer in producers:
        producer.stdout.readline()

    lives, found, until = 0, [], time.monotonic() + 2
    while time.monotonic() < until:
        lives += 1
        incarnation = lives % INCARNATIONS
        assert queues.create("lives", incarnation=str(incarnation))
        time.sleep(0.01)
        _, messages = driver.claim_controller.create("lives", CLAIM, limit=1000, incarnation=str(incarnation))
        found += [(incarnation, message["body"]) for message in messages]
        queues.delete("lives", incarnation=str(incarnation))

    stored = sum(json.loads(producer.communicate(timeout=30)[0]) for producer in producers)
    assert {life for life, body in found if life != body} == set()
    assert stored >= len(found) > 0
    assert not queues.exists("lives")
