from __future__ import annotations

import pytest

from kombu_pool import drivers, errors
from kombu_pool.errors import QueueIsFull
from kombu_pool.model import IdempotencyKey
from kombu_pool.testing import ManualClock

CLAIM = {"ttl": 60, "grace": 0}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def timed(uri, clock):
    opened = drivers.open_data(uri, clock=clock)
    yield opened
    opened.close()


def post(driver, *bodies, queue="q", **options):
    driver.message_controller.post(queue, [{"ttl": None, "body": body, **options} for body in bodies], None)


def free(driver, queue="q"):
    return [message["body"] for message in next(driver.message_controller.list(queue, limit=0))]


def test_a_queue_that_became_much_too_long_is_shortened_by_one_post(driver):
    post(driver, *range(3000))
    driver.queue_controller.set_metadata("q", {"_max_length": 10})

    post(driver, "last")

    assert free(driver) == [*range(2991, 3000), "last"]
    assert driver._database.row("SELECT count(*) FROM message") == (10,)


def test_what_came_back_to_a_full_queue_counts_at_the_next_post(timed, clock):
    timed.queue_controller.create("q", {"_max_length": 2})
    post(timed, "a", "b")
    timed.claim_controller.create("q", CLAIM)
    post(timed, "c", "d")
    clock.advance(60)

    post(timed, "e")

    assert free(timed) == ["d", "e"]


def test_a_queue_that_refuses_never_drops_what_came_back(timed, clock):
    timed.queue_controller.create("q", {"_max_length": 1, "_overflow": "reject-publish"})
    post(timed, "a")
    timed.claim_controller.create("q", CLAIM)
    post(timed, "b")
    clock.advance(60)

    post(timed, "later", delay=60)

    assert free(timed) == ["a", "b"]
    with pytest.raises(QueueIsFull):
        post(timed, "c")


def test_what_makes_room_is_the_first_in_line_whatever_its_priority(timed):
    timed.queue_controller.create("q", {"_max_length": 2})
    post(timed, "low")
    post(timed, "high", priority=9)
    post(timed, "middle", priority=5)

    assert free(timed) == ["middle", "low"]


def test_letters_make_room_for_each_other(timed):
    timed.queue_controller.create("dead-letters", {"_max_length": 2})
    timed.queue_controller.create("q", {"_dead_letter_queue": "dead-letters"})
    post(timed, *range(5))
    claim, messages = timed.claim_controller.create("q", CLAIM)

    timed.message_controller.reject("q", [(message["id"], claim) for message in messages])

    assert free(timed, "dead-letters") == [3, 4]


def test_a_queue_that_buries_in_itself_comes_to_an_end(timed):
    timed.queue_controller.create("q", {"_max_length": 2, "_dead_letter_queue": "q"})

    post(timed, *range(5))

    assert timed.dead_letter_all() == 0
    assert sorted(free(timed)) == list(range(5))


def test_a_post_that_failed_when_it_had_to_make_room_is_known_when_it_is_made_again(driver, uri, monkeypatch):
    post(driver, *range(3000))
    driver.queue_controller.set_metadata("q", {"_max_length": 10})
    first = IdempotencyKey(b"me", 1)
    monkeypatch.setattr(driver.message_controller, "_make_more_room", _fail)
    with pytest.raises(errors.ConnectionError):
        driver.message_controller.post("q", [{"ttl": None, "body": "last"}], None, idempotency_key=first)
    assert [message["body"] for message in driver.message_controller.pop("q", 5000)][-1] == "last"
    driver.close()

    again = drivers.open_data(uri)
    again.message_controller.post("q", [{"ttl": None, "body": "last"}], None, idempotency_key=first)

    assert free(again) == []
    again.close()


def _fail(*_):
    raise errors.ConnectionError("locked by another process")
