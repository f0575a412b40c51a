"""Messages: bodies, order, ttl, delay, and reading and deleting them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool import errors
from kombu_pool.testing.handles import UNKNOWN_ID, bodies, ids

if TYPE_CHECKING:
    from kombu_pool.storage import DataDriver
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue
    from kombu_pool.testing.handles import QueueHandle

BODIES: list[Any] = [
    None,
    {},
    [],
    "",
    "text",
    "ünï 🐇 \x00 \u2028",
    0,
    -1,
    1.5,
    True,
    False,
    2**63 - 1,
    2**64 - 1,
    -(2**63),
    b"",
    b"\x00\xff\xfe",
    bytes(range(256)) * 5000,
    {"nested": {"bytes": b"\x00", "list": [1, None, {"deeper": [b"y", "z"]}]}, "": "empty key"},
    [[[[[[]]]]]],
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body)[:20])
def test_a_body_comes_back_as_it_was_posted(queue: QueueHandle, body: Any) -> None:
    (message_id,) = queue.post(body)

    assert queue.get(message_id)["body"] == body
    assert type(queue.get(message_id)["body"]) is type(body)
    assert bodies(queue.claim()) == [body]


def test_a_message_without_body_has_an_empty_one(queue: QueueHandle) -> None:
    (message_id,) = queue.post_raw([{"ttl": 60}])

    assert queue.get(message_id)["body"] == {}


def test_a_message_shows_these_keys_and_no_others(queue: QueueHandle) -> None:
    (message_id,) = queue.post("a", ttl=60)

    message = queue.get(message_id)

    message.pop("checksum", None)
    assert message == {"id": message_id, "age": 0, "ttl": 60, "body": "a", "claim_id": None, "claim_count": 0}


def test_a_priority_above_zero_is_shown(queue: QueueHandle) -> None:
    (message_id,) = queue.post("a", priority=7)

    assert queue.get(message_id)["priority"] == 7


def test_a_body_is_not_shared_with_the_caller(queue: QueueHandle) -> None:
    body = {"list": [1]}
    (message_id,) = queue.post(body)
    body["list"].append(2)
    queue.get(message_id)["body"]["list"].append(3)

    assert queue.get(message_id)["body"] == {"list": [1]}


def test_the_callers_messages_are_left_as_they_are(queue: QueueHandle) -> None:
    message = {"ttl": 60, "body": {"a": 1}}

    queue.post_raw([message])

    assert message == {"ttl": 60, "body": {"a": 1}}


def test_ids_come_back_in_the_order_given(queue: QueueHandle) -> None:
    posted = queue.post(*range(20))

    assert all(isinstance(message_id, str) for message_id in posted)
    assert [queue.get(message_id)["body"] for message_id in posted] == [*range(20)]


def test_a_generator_of_messages_will_do(queue: QueueHandle) -> None:
    posted = queue.post_raw({"ttl": 60, "body": number} for number in range(3))

    assert len(posted) == 3
    assert queue.free() == [0, 1, 2]


def test_posting_nothing_does_nothing(queue: QueueHandle) -> None:
    assert queue.post() == []
    assert queue.stats()["total"] == 0


@pytest.mark.parametrize("client", [None, "text", uuid.uuid4(), 17])
def test_anybody_may_post(queue: QueueHandle, client: Any) -> None:
    queue.post("a", client=client)

    assert queue.free() == ["a"]


def test_posting_to_an_absent_queue_raises(absent: QueueHandle) -> None:
    with pytest.raises(errors.QueueDoesNotExist):
        absent.post("a")

    assert not absent.driver.queue_controller.exists("absent")


def test_five_thousand_messages_go_in_one_post_and_one_claim(queue: QueueHandle) -> None:
    posted = queue.post(*range(5000))

    held = queue.claim(limit=5000)

    assert len(set(posted)) == 5000
    assert ids(held) == posted
    assert queue.count() == 0


def test_messages_come_first_in_first_out(queue: QueueHandle) -> None:
    queue.post("a", "b")
    queue.post("c")

    assert bodies(queue.claim()) == ["a", "b", "c"]


def test_a_higher_priority_goes_first(queue: QueueHandle) -> None:
    queue.post("low", priority=0)
    queue.post("highest", priority=255)
    queue.post("middle 1", "middle 2", priority=9)
    queue.post("none")

    assert queue.free() == ["highest", "middle 1", "middle 2", "low", "none"]
    assert bodies(queue.claim(limit=2)) == ["highest", "middle 1"]


def test_age_counts_whole_seconds(queue: QueueHandle, clock: ManualClock) -> None:
    (message_id,) = queue.post("a")
    clock.advance(2.75)

    assert queue.get(message_id)["age"] == 2


@pytest.mark.parametrize("ttl", [None, 0])
def test_a_message_without_ttl_never_expires(queue: QueueHandle, clock: ManualClock, ttl: Any) -> None:
    (message_id,) = queue.post("a", ttl=ttl)
    clock.advance(10 * 365 * 86400)

    assert queue.get(message_id)["ttl"] == 0
    assert bodies(queue.claim()) == ["a"]


def test_an_expired_message_is_not_seen(queue: QueueHandle, clock: ManualClock) -> None:
    (message_id,) = queue.post("a", ttl=60)
    clock.advance(60)

    assert queue.all() == []
    assert queue.get_all([message_id]) == []
    assert queue.claim().messages == []
    assert queue.pop() == []
    assert queue.count() == 0
    assert queue.purge() == 0
    with pytest.raises(errors.MessageDoesNotExist):
        queue.get(message_id)
    with pytest.raises(errors.QueueIsEmpty):
        queue.first()


def test_a_message_lives_until_its_ttl_is_over(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", ttl=60)
    clock.advance(59.5)

    assert queue.free() == ["a"]


def test_the_queue_limits_the_ttl_of_its_messages(queues: MakeQueue, clock: ManualClock) -> None:
    queue = queues("limited", _default_message_ttl=100)
    posted = [*queue.post("none"), *queue.post("long", ttl=500), *queue.post("short", ttl=20)]

    assert [queue.get(message_id)["ttl"] for message_id in posted] == [100, 100, 20]
    clock.advance(100)
    assert queue.all() == []


def test_a_delayed_message_is_not_free_before_its_time(queue: QueueHandle, clock: ManualClock) -> None:
    (message_id,) = queue.post("later", delay=30)

    assert queue.free() == []
    assert queue.claim().messages == []
    assert queue.count() == 0
    assert queue.get(message_id)["body"] == "later"
    assert bodies(queue.get_all([message_id])) == ["later"]
    clock.advance(30)
    assert bodies(queue.claim()) == ["later"]


def test_a_delay_of_zero_is_none(queue: QueueHandle) -> None:
    queue.post("now", delay=0)

    assert queue.free() == ["now"]


def test_a_message_that_was_delayed_stands_where_it_was_posted(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("first", delay=10)
    queue.post("second")
    clock.advance(10)

    assert bodies(queue.claim()) == ["first", "second"]


def test_the_ttl_counts_during_the_delay(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", ttl=20, delay=30)
    clock.advance(30)

    assert queue.all() == []


def test_the_queue_delays_messages_that_name_no_delay(queues: MakeQueue, clock: ManualClock) -> None:
    queue = queues("delaying", _default_message_delay=10)
    queue.post("by the queue")
    queue.post("at once", delay=0)
    queue.post("its own", delay=20)

    assert queue.free() == ["at once"]
    clock.advance(10)
    assert queue.free() == ["by the queue", "at once"]
    clock.advance(10)
    assert queue.free() == ["by the queue", "at once", "its own"]


def test_get_of_an_unknown_message_raises(queue: QueueHandle) -> None:
    with pytest.raises(errors.MessageDoesNotExist) as raised:
        queue.get(UNKNOWN_ID)

    assert (raised.value.message_id, raised.value.queue) == (UNKNOWN_ID, queue.name)


def test_get_from_an_absent_queue_raises(absent: QueueHandle) -> None:
    with pytest.raises(errors.QueueDoesNotExist):
        absent.get(UNKNOWN_ID)


def test_get_shows_a_claimed_message(queue: QueueHandle) -> None:
    (message_id,) = queue.post("a")
    held = queue.claim()

    message = queue.get(message_id)

    assert (message["claim_id"], message["claim_count"]) == (held.id, 1)


def test_bulk_get_passes_over_what_is_not_there(queue: QueueHandle) -> None:
    posted = queue.post("a", "b")
    queue.delete(posted[0])

    assert bodies(queue.get_all([*posted, UNKNOWN_ID, "", "no id 🐇"])) == ["b"]
    assert queue.get_all([]) == []


def test_bulk_get_from_an_absent_queue_gives_nothing(absent: QueueHandle) -> None:
    assert absent.get_all([UNKNOWN_ID]) == []


def test_bulk_get_gives_one_message_after_the_other(queue: QueueHandle, absent: QueueHandle) -> None:
    posted = queue.post("a", "b")
    messages = queue.driver.message_controller.bulk_get(queue.name, posted)

    assert [next(messages)["body"], next(messages)["body"]] == ["a", "b"]
    for empty in (messages, absent.driver.message_controller.bulk_get(absent.name, posted)):
        with pytest.raises(StopIteration):
            next(empty)


def test_first_is_the_first_free_message_in_order(queue: QueueHandle) -> None:
    queue.post("claimed", priority=9)
    queue.claim()
    queue.post("delayed", priority=9, delay=60)
    queue.post("a", "b")
    queue.post("c", priority=1)

    assert queue.first()["body"] == "c"
    assert queue.first(1)["body"] == "c"
    assert queue.first(-1)["body"] == "b"


@pytest.mark.parametrize("sort", [0, 2, -2, None])
def test_first_sorts_either_way_only(queue: QueueHandle, sort: Any) -> None:
    with pytest.raises(ValueError, match="sort"):
        queue.first(sort)


def test_first_of_an_empty_queue_raises(queue: QueueHandle) -> None:
    with pytest.raises(errors.QueueIsEmpty) as raised:
        queue.first()

    assert raised.value.queue == queue.name
    assert not isinstance(raised.value, errors.DoesNotExist)


def test_first_of_an_absent_queue_raises(absent: QueueHandle) -> None:
    with pytest.raises(errors.QueueDoesNotExist):
        absent.first()


def test_pop_gives_messages_in_order_and_deletes_them(queue: QueueHandle) -> None:
    queue.post("a", "b", "c")
    queue.post("urgent", priority=1)

    assert bodies(queue.pop(2)) == ["urgent", "a"]
    assert queue.all() == ["b", "c"]


def test_pop_counts_as_a_lending(queue: QueueHandle) -> None:
    queue.post("a")

    assert queue.pop()[0]["claim_count"] == 1


def test_pop_leaves_claimed_and_delayed_messages(queue: QueueHandle) -> None:
    queue.post("claimed")
    queue.claim()
    queue.post("delayed", delay=60)

    assert queue.pop() == []
    assert queue.all() == ["claimed", "delayed"]


def test_pop_from_an_empty_or_absent_queue_gives_nothing(queue: QueueHandle, absent: QueueHandle) -> None:
    assert queue.pop() == []
    assert absent.pop() == []


def test_purge_deletes_all_that_is_not_claimed(queue: QueueHandle) -> None:
    queue.post("claimed")
    queue.claim()
    queue.post("a", "b")
    queue.post("delayed", delay=60)

    assert queue.purge() == 3
    assert queue.all() == ["claimed"]
    assert queue.purge() == 0


def test_purge_of_an_absent_queue_deletes_nothing(absent: QueueHandle) -> None:
    assert absent.purge() == 0


def test_count_counts_the_free_messages(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", "b", "c")
    queue.post("delayed", delay=30)
    queue.post("short", ttl=30)
    queue.claim(limit=1, ttl=30)

    assert queue.count() == 3
    clock.advance(30)
    assert queue.count() == 4


def test_count_of_an_absent_queue_is_zero(absent: QueueHandle) -> None:
    assert absent.count() == 0


def test_gc_gives_back_what_has_expired(queue: QueueHandle, driver: DataDriver, clock: ManualClock) -> None:
    queue.post("a", "b", "c", ttl=60)
    queue.post("d")
    clock.advance(61)

    assert driver.gc() >= 3
    assert driver.gc() == 0
    assert queue.all() == ["d"]
