"""Messages that are rejected, that expire, or that have to make room: what becomes of them, and when."""

from __future__ import annotations

import pytest

from kombu_pool import errors
from tests.conformance.handles import QueueHandle, bodies

WATCH = 20.0


@pytest.fixture
def graveyard(queues):
    return queues("graveyard")


@pytest.fixture
def mortal(queues, graveyard):
    """A queue all whose dead messages are buried."""
    return queues("mortal", _dead_letter_queue="graveyard", _dead_letter_expired=True)


def letters(queue):
    """Return (body, reason, count) of each free message."""
    return [
        (message["body"], message["dead_letter"]["reason"], message["dead_letter"]["count"])
        for message in queue.page(limit=0)[0]
    ]


# Rejected.


def test_what_is_rejected_is_dead_lettered(mortal, graveyard, clock):
    mortal.post("a", "b", priority=3)

    assert mortal.reject(mortal.claim(limit=1)) == []

    assert letters(graveyard) == [("a", "rejected", 1)]
    message = graveyard.first()
    assert (message["dead_letter"]["queue"], message["dead_letter"]["time"]) == ("mortal", clock.time())
    assert (message["claim_id"], message["claim_count"], message["priority"]) == (None, 0, 3)
    assert mortal.all() == ["b"]


def test_what_is_rejected_is_gone_where_nothing_takes_dead_letters(queues):
    queue = queues("queue")
    queue.post("a")

    assert queue.reject(queue.claim()) == []
    assert queue.all() == []


def test_what_is_rejected_is_gone_if_its_dead_letter_queue_is_nowhere(queues):
    queue = queues("queue", _dead_letter_queue="nowhere")
    queue.post("a")

    assert queue.reject(queue.claim()) == []
    assert queue.all() == []
    assert queue.driver.dead_letter_all() == 0


def test_only_the_holder_rejects(mortal, graveyard, clock):
    mortal.post("a")
    late = mortal.claim(ttl=10)
    clock.advance(10)
    held = mortal.claim()
    pairs = [(message["id"], late.id) for message in late.messages]

    assert mortal.reject(late) == pairs
    assert graveyard.all() == []
    assert mortal.claimed_by(held) == ["a"]


def test_rejecting_many_keeps_their_order(mortal, graveyard):
    mortal.post(*range(20))

    assert mortal.reject(mortal.claim(limit=20)) == []
    assert graveyard.free() == list(range(20))


def test_a_claim_ends_with_the_rejection_of_its_last_message(mortal):
    mortal.post("a")
    held = mortal.claim()
    mortal.reject(held)

    with pytest.raises(errors.ClaimDoesNotExist):
        mortal.claim_of(held.id)


def test_rejecting_in_an_absent_queue_refuses_all(absent):
    pairs = [("0123456789abcdef", "0123456789abcdef")]

    assert absent.driver.message_controller.reject("absent", pairs) == pairs


# Expired.


def test_what_expires_is_dead_lettered(mortal, graveyard, clock):
    mortal.post("a", ttl=10)
    mortal.post("b")
    clock.advance(10)

    assert mortal.all() == ["b"]
    assert mortal.stats()["total"] == 1
    assert mortal.driver.dead_letter_all() == 1

    assert letters(graveyard) == [("a", "expired", 0)]
    assert graveyard.first()["ttl"] == 0
    assert mortal.driver.dead_letter_all() == 0


def test_a_claim_buries_what_expired(mortal, graveyard, clock):
    mortal.post("a", ttl=10)
    mortal.post("b")
    clock.advance(10)

    assert bodies(mortal.claim()) == ["b"]
    assert graveyard.free() == ["a"]


def test_an_empty_claim_buries_what_expired(mortal, graveyard, clock):
    mortal.post("a", ttl=10)
    clock.advance(10)

    assert mortal.claim() == (None, [])
    assert graveyard.free() == ["a"]


def test_what_expired_first_is_buried_first(mortal, graveyard, clock):
    mortal.post("a", "b", ttl=10)
    mortal.post("c", ttl=5)
    clock.advance(5)
    mortal.driver.dead_letter_all()
    clock.advance(5)
    mortal.driver.dead_letter_all()

    assert graveyard.free() == ["c", "a", "b"]


def test_a_message_lives_as_long_as_it_is_claimed(mortal, graveyard, clock):
    mortal.post("a", ttl=10)
    held = mortal.claim(ttl=60, grace=5)
    clock.advance(59)

    assert mortal.driver.dead_letter_all() == 0
    assert mortal.claimed_by(held) == ["a"]
    clock.advance(6)
    assert mortal.driver.dead_letter_all() == 1
    assert letters(graveyard) == [("a", "expired", 1)]


def test_expired_dead_letters_get_the_ttl_for_dead_letters(queues, graveyard, clock):
    queue = queues(
        "brief", _dead_letter_queue="graveyard", _dead_letter_expired=True, _dead_letter_queue_messages_ttl=50
    )
    queue.post("a", ttl=10)
    clock.advance(10)
    queue.driver.dead_letter_all()

    assert graveyard.first()["ttl"] == 50
    clock.advance(50)
    assert graveyard.all() == []


def test_what_expires_goes_for_good_unless_the_queue_says_otherwise(queues, graveyard, clock):
    queue = queues("queue", _dead_letter_queue="graveyard")
    queue.post("a", ttl=10)
    clock.advance(10)

    assert queue.driver.dead_letter_all() == 0
    assert graveyard.all() == []


def test_what_expired_before_the_queue_said_so_is_not_brought_back(queues, graveyard, clock):
    queue = queues("queue")
    queue.post("a", ttl=10)
    clock.advance(10)
    queue.claim()
    metadata = {"_dead_letter_queue": "graveyard", "_dead_letter_expired": True}
    queue.driver.queue_controller.set_metadata("queue", metadata)

    assert queue.driver.dead_letter_all() == 0
    assert graveyard.all() == []


def test_a_queue_may_begin_to_bury_what_expires(queues, graveyard, clock):
    queue = queues("queue")
    queue.post("a", ttl=10)
    metadata = {"_dead_letter_queue": "graveyard", "_dead_letter_expired": True}
    queue.driver.queue_controller.set_metadata("queue", metadata)
    clock.advance(10)

    assert queue.driver.dead_letter_all() == 1
    assert graveyard.free() == ["a"]


def test_collecting_loses_no_dead_letter(mortal, graveyard, clock):
    mortal.post(*range(5), ttl=10)
    clock.advance(10)

    mortal.driver.gc()
    mortal.driver.dead_letter_all()

    assert sorted(graveyard.free()) == list(range(5))


def test_thousands_that_expired_are_all_buried(mortal, graveyard, clock):
    mortal.post(*range(3000), ttl=10)
    clock.advance(10)

    assert sum(mortal.driver.dead_letter_all() for _ in range(4)) == 3000
    assert graveyard.count() == 3000


def test_a_ring_of_queues_is_walked_once_a_round(queues, clock):
    queues("wait", _dead_letter_queue="work", _dead_letter_expired=True)
    work = queues("work", _dead_letter_queue="wait", _dead_letter_expired=True)
    work.post("a")
    work.reject(work.claim())
    wait = QueueHandle(work.driver, "wait", None)

    assert letters(wait) == [("a", "rejected", 1)]
    wait.reject(wait.claim())
    assert letters(work) == [("a", "rejected", 1)]


def test_a_deleted_queue_buries_nothing(mortal, graveyard, clock):
    mortal.post("a", ttl=10)
    clock.advance(10)
    mortal.drop()

    assert mortal.driver.dead_letter_all() == 0
    assert graveyard.all() == []


def test_projects_keep_their_dead_letters_apart(queues, graveyard, clock):
    theirs = queues("graveyard", "project")
    queue = queues("mortal", "project", _dead_letter_queue="graveyard", _dead_letter_expired=True)
    queue.post("a", ttl=10)
    clock.advance(10)

    assert queue.driver.dead_letter_all() == 1
    assert (theirs.free(), graveyard.free()) == (["a"], [])


def test_an_unreadable_record_that_expired_is_buried_as_such(backend, mortal, graveyard, clock):
    backend.corrupt(mortal.name, *mortal.post("a", ttl=10))
    clock.advance(10)

    assert mortal.driver.dead_letter_all() == 1
    (message,) = graveyard.page()[0]
    assert message["body"]["record"] == b"\xc1"
    assert message["dead_letter"]["reason"] == "unreadable"


def test_a_watch_wakes_when_a_message_expires_that_is_to_be_buried(mortal, clock):
    mortal.post("a", ttl=10)
    mortal.claim(ttl=1)
    watch = mortal.driver.watch([(None, "mortal")])
    try:
        clock.advance(10)
        assert watch.wait(WATCH) is True
    finally:
        watch.close()


# Too many.


def test_the_first_in_line_make_room(queues):
    queue = queues("short", _max_length=3)
    queue.post("a", "b")
    queue.post("c", "d")

    assert queue.free() == ["b", "c", "d"]


def test_a_post_of_more_than_there_is_room_for_leaves_its_last(queues):
    queue = queues("short", _max_length=2)
    ids = queue.post(*range(5))

    assert len(set(ids)) == 5
    assert queue.free() == [3, 4]


def test_who_makes_room_is_dead_lettered(queues, graveyard):
    queue = queues("short", _max_length=1, _dead_letter_queue="graveyard")
    queue.post("a")
    queue.post("b", "c")

    assert queue.free() == ["c"]
    assert letters(graveyard) == [("a", "maxlen", 0), ("b", "maxlen", 0)]


def test_only_free_messages_take_room(queues):
    queue = queues("short", _max_length=2)
    queue.post("claimed")
    queue.claim()
    queue.post("delayed", delay=60)
    queue.post("a", "b")

    assert queue.free() == ["a", "b"]
    assert sorted(queue.all()) == ["a", "b", "claimed", "delayed"]


def test_bytes_are_counted_too(queues):
    queue = queues("small", _max_length_bytes=300)
    for number in range(5):
        queue.post(bytes([number]) * 100)

    assert 1 <= len(queue.free()) <= 3
    assert queue.free()[-1] == bytes([4]) * 100


def test_a_message_that_is_too_big_for_its_queue_does_not_stay(queues):
    queue = queues("small", _max_length_bytes=300)
    queue.post(b"x" * 400)

    assert queue.all() == []


def test_a_full_queue_may_refuse(queues):
    queue = queues("strict", _max_length=2, _overflow="reject-publish")
    queue.post("a")

    with pytest.raises(errors.QueueIsFull) as raised:
        queue.post("b", "c")

    assert (raised.value.queue, raised.value.project) == ("strict", None)
    assert queue.all() == ["a"]
    queue.post("b")
    queue.pop(1)
    queue.post("c")
    assert queue.free() == ["b", "c"]


def test_a_full_queue_may_refuse_by_its_bytes(queues):
    queue = queues("strict", _max_length_bytes=300, _overflow="reject-publish")
    queue.post(b"a" * 200)

    with pytest.raises(errors.QueueIsFull):
        queue.post(b"b" * 200)

    assert queue.count() == 1


def test_what_refuses_still_takes_what_is_delayed(queues):
    queue = queues("strict", _max_length=1, _overflow="reject-publish")
    queue.post("a")
    queue.post("later", delay=60)

    assert sorted(queue.all()) == ["a", "later"]


def test_the_length_of_today_counts(queues):
    queue = queues("short")
    queue.post(*range(5))
    queue.driver.queue_controller.set_metadata("short", {"_max_length": 2})
    queue.post(5)

    assert queue.free() == [4, 5]


# To another store, or to an exchange.


@pytest.fixture
def published(backend):
    """What was handed over for exchanges; the answer is ``backend.answer``."""
    seen = []
    backend.answer = True

    def publish(*letter):
        seen.append(letter)
        if isinstance(backend.answer, Exception):
            raise backend.answer
        return backend.answer

    backend.driver.dead_letter_hooks.publish = publish
    return seen


@pytest.fixture
def routed(queues, published):
    """A queue whose dead letters go to an exchange."""
    return queues(
        "routed",
        "p",
        _dead_letter_exchange="exchange",
        _dead_letter_routing_key="key",
        _dead_letter_expired=True,
        _max_claim_count=1,
        _max_length=3,
    )


def test_a_dead_letter_may_be_published(routed, published, clock):
    routed.post({"a": b"\x00"}, ttl=100, priority=5)
    clock.advance(100)

    assert routed.driver.dead_letter_all() == 1

    ((project, exchange, routing_key, message),) = published
    assert (project, exchange, routing_key) == ("p", "exchange", "key")
    assert (message["body"], message["priority"], message["ttl"]) == ({"a": b"\x00"}, 5, None)
    assert message["dead_letter"] == {"queue": "routed", "reason": "expired", "time": clock.time(), "count": 0}
    assert routed.driver.dead_letter_all() == 0


def test_each_kind_of_dead_letter_is_published(routed, published, clock):
    routed.post("lent")
    routed.claim(ttl=10)
    clock.advance(10)
    routed.claim()
    routed.post("rejected")
    routed.reject(routed.claim())
    routed.post("overflowed", "b", "c", "d")
    routed.purge()
    routed.post("expired", ttl=10)
    clock.advance(10)
    routed.claim()

    assert [(letter[3]["body"], letter[3]["dead_letter"]["reason"]) for letter in published] == [
        ("lent", "max_claim_count"),
        ("rejected", "rejected"),
        ("overflowed", "maxlen"),
        ("expired", "expired"),
    ]


def test_a_dead_letter_without_a_routing_key_keeps_its_own(queues, published):
    queue = queues("plain", _dead_letter_exchange="")
    queue.post("a")
    queue.reject(queue.claim())

    assert [letter[:3] for letter in published] == [(None, "", None)]


def test_what_is_out_of_reach_is_tried_again(backend, routed, published, clock):
    backend.answer = errors.PoolUnavailable("pool", "down")
    routed.post("a", ttl=10)
    clock.advance(10)

    assert routed.driver.dead_letter_all() == 0
    assert routed.all() == []
    backend.answer = True
    assert routed.driver.dead_letter_all() == 1
    assert [letter[3]["body"] for letter in published] == ["a", "a"]


def test_what_nobody_takes_is_gone(backend, routed, published):
    backend.answer = False
    routed.post("a")

    assert routed.reject(routed.claim()) == []
    assert routed.driver.dead_letter_all() == 0
    assert routed.all() == []


def test_what_was_lent_too_often_is_lent_if_nobody_takes_it(backend, routed, published, clock):
    backend.answer = False
    routed.post("a")
    routed.claim(ttl=10)
    clock.advance(10)

    assert [message["claim_count"] for message in routed.claim().messages] == [2]


def test_nobody_to_publish_it_keeps_a_dead_letter_waiting(backend, queues, clock):
    queue = queues("routed", _dead_letter_exchange="exchange")
    queue.post("a")

    assert queue.reject(queue.claim()) == []
    assert queue.driver.dead_letter_all() == 0
    seen = []
    backend.driver.dead_letter_hooks.publish = lambda *letter: seen.append(letter) or True
    assert queue.driver.dead_letter_all() == 1
    assert seen[0][3]["body"] == "a"


def test_a_rejected_message_reaches_a_queue_of_another_pool(backend, queues):
    backend.place("here", 0)
    backend.place("there", 1)
    there = queues("there")
    here = queues("here", _dead_letter_queue="there")
    here.post("a", "b")
    here.reject(here.claim())

    assert letters(there) == [("a", "rejected", 1), ("b", "rejected", 1)]
    assert here.all() == []


def test_another_driver_buries_what_its_owner_left(backend, queues):
    queue = queues("routed", _dead_letter_exchange="exchange")
    queue.post("a")
    queue.reject(queue.claim())
    other = backend.another()
    seen = []
    other.dead_letter_hooks.publish = lambda *letter: seen.append(letter) or True

    assert other.dead_letter_all() == 1
    assert [letter[3]["body"] for letter in seen] == ["a"]
