"""Unique messages: one of each id in a queue, and what becomes of a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool.errors import InvalidMessage, QueueIsFull
from kombu_pool.model import DROP, EXTEND, REPLACE, UNFINISHED, WAITING, IdempotencyKey, PresentId, Uniqueness
from kombu_pool.testing.handles import bodies, dead_letters, ids

if TYPE_CHECKING:
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue
    from kombu_pool.testing.handles import QueueHandle

SCOPES = [WAITING, UNFINISHED, 30]


def post(
    queue: QueueHandle,
    body: Any,
    scope: str | float = UNFINISHED,
    conflict: str = DROP,
    name: str = "u",
    **options: Any,
) -> str:
    """Post a unique message; return its id, or that of the present one."""
    (message_id,) = queue.post(body, unique=Uniqueness(name, scope, conflict), **options)
    return message_id


def is_stored(message_id: str) -> bool:
    return not isinstance(message_id, PresentId)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_second_message_is_dropped_and_the_first_is_named(queue: QueueHandle, scope: str | float) -> None:
    first = post(queue, "a", scope, key="task-a")
    second = post(queue, "b", scope, key="task-b")
    other = post(queue, "c", scope, name="other")

    assert is_stored(first)
    assert is_stored(other)
    assert isinstance(second, PresentId)
    assert (second, second.key) == (first, "task-a")
    assert queue.free() == ["a", "c"]
    assert bodies(queue.find("task-b")) == []


def test_an_id_is_held_in_one_queue(queues: MakeQueue) -> None:
    for queue in (queues("a"), queues("b"), queues("a", project="p")):
        assert is_stored(post(queue, "a"))


def test_a_message_without_an_id_is_not_unique(queue: QueueHandle) -> None:
    queue.post("a", "a", unique=None)
    post(queue, "a", name="k")
    queue.post("a", key="k")

    assert queue.free() == ["a"] * 4


@pytest.mark.parametrize(
    "unique", [("", WAITING, DROP), ("x" * 256, WAITING, DROP), ("u", "ever", DROP), ("u", -1, DROP), ("u", 0, DROP)]
)
def test_invalid_uniqueness_is_refused(queue: QueueHandle, unique: Any) -> None:
    with pytest.raises(InvalidMessage):
        queue.post("a", unique=unique)
    with pytest.raises(InvalidMessage):
        queue.post("a", unique=("u", WAITING, "keep"))

    assert queue.count() == 0


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "a\x00b\nc:d", "~"])
def test_any_other_text_is_an_id(queue: QueueHandle, name: str) -> None:
    assert is_stored(post(queue, "a", name=name))
    assert not is_stored(post(queue, "b", name=name))
    assert is_stored(post(queue, "c", name=name[:-1] + "-"))


def test_what_is_claimed_holds_its_id_only_until_it_is_finished(queue: QueueHandle) -> None:
    post(queue, "unfinished", UNFINISHED, name="u")
    post(queue, "waiting", WAITING, name="w")
    held = queue.claim()

    assert not is_stored(post(queue, "b", UNFINISHED, name="u"))
    assert not is_stored(post(queue, "b", WAITING, name="u"))
    assert is_stored(post(queue, "c", WAITING, name="w"))
    queue.delete_claimed([(message_id, held.id) for message_id in ids(held)])

    assert is_stored(post(queue, "d", UNFINISHED, name="u"))
    assert not is_stored(post(queue, "e", WAITING, name="w"))
    assert queue.free() == ["c", "d"]


def test_the_message_of_a_dead_process_keeps_its_id(queue: QueueHandle, clock: ManualClock) -> None:
    for scope in (WAITING, UNFINISHED):
        post(queue, scope, scope, name=scope)
    queue.claim(ttl=10)
    clock.advance(10)

    assert not is_stored(post(queue, "b", WAITING, name=WAITING))
    assert not is_stored(post(queue, "b", UNFINISHED, name=UNFINISHED))
    assert queue.free() == [WAITING, UNFINISHED]
    held = queue.claim()
    queue.release(held.id, ids(held))
    assert not is_stored(post(queue, "b", WAITING, name=WAITING))


@pytest.mark.parametrize("way", ["end", "release"])
def test_a_message_whose_id_was_taken_while_it_was_claimed_does_not_hold_it_again(
    queue: QueueHandle, clock: ManualClock, way: str
) -> None:
    post(queue, "a", WAITING)
    held = queue.claim(ttl=10)
    assert is_stored(post(queue, "b", WAITING))
    assert bodies(queue.pop()) == ["b"]
    if way == "end":
        clock.advance(10)
    else:
        queue.release(held.id, ids(held))

    assert is_stored(post(queue, "c", WAITING))
    assert not is_stored(post(queue, "d", WAITING))
    assert queue.free() == ["a", "c"]


@pytest.mark.parametrize("scope", [WAITING, UNFINISHED])
@pytest.mark.parametrize("way", ["ack", "reject", "expiry", "purge", "delete", "cancel", "pop", "drop", "bulk", "dead"])
def test_every_way_out_frees_the_id(queues: MakeQueue, clock: ManualClock, scope: str | float, way: str) -> None:
    metadata: dict[str, Any] = {"_dead_letter_queue": "dlq", "_dead_letter_expired": True} if way == "dead" else {}
    queue = queues("q", None, **metadata)
    dlq = queues("dlq")
    first = post(queue, "a", scope, key="k", ttl=10 if way in ("expiry", "dead") else None)
    if way in ("ack", "reject"):
        held = queue.claim()
        queue.delete_claimed([(first, held.id)]) if way == "ack" else queue.reject(held)
    elif way in ("expiry", "dead"):
        clock.advance(10)
    elif way == "purge":
        queue.purge()
    elif way == "delete":
        queue.delete(first)
    elif way == "bulk":
        queue.delete_all([first])
    elif way == "cancel":
        queue.cancel("k")
    elif way == "pop":
        queue.pop()
    else:
        queue.drop()
        queue.create()

    assert is_stored(post(queue, "b", scope))

    assert queue.free() == ["b"]
    if way == "dead":
        queue.claim()
        assert [body for body, _, _ in dead_letters(dlq)] == ["a"]


def test_making_room_frees_the_id(queues: MakeQueue) -> None:
    queue = queues("short", _max_length=1)
    post(queue, "a")
    queue.post("b")

    assert is_stored(post(queue, "c"))


def test_a_full_queue_refuses_no_duplicate(queues: MakeQueue) -> None:
    queue = queues("full", _max_length=1, _overflow="reject-publish")
    post(queue, "a")

    assert not is_stored(post(queue, "b"))
    with pytest.raises(QueueIsFull):
        post(queue, "c", name="other")
    assert queue.free() == ["a"]
    queue.claim()
    assert is_stored(post(queue, "d", name="other"))


@pytest.mark.parametrize("limit", [{"_max_length": 1}, {"_max_length_bytes": 300}], ids=["length", "bytes"])
def test_a_full_queue_takes_a_message_that_replaces_one(queues: MakeQueue, limit: dict[str, Any]) -> None:
    queue = queues("full", None, **limit, _overflow="reject-publish")
    first, again, third = (letter * 200 for letter in "abc")
    post(queue, first, WAITING)

    assert is_stored(post(queue, again, WAITING, REPLACE))
    with pytest.raises(QueueIsFull):
        queue.post_raw(
            [
                {"ttl": None, "body": third, "unique": Uniqueness("u", WAITING, REPLACE)},
                {"ttl": None, "body": third},
            ]
        )
    assert queue.free() == [again]


def test_what_is_replaced_makes_no_room_while_it_is_delayed(queues: MakeQueue) -> None:
    queue = queues("full", _max_length=1, _overflow="reject-publish")
    queue.post("a")
    post(queue, "later", WAITING, delay=60)

    with pytest.raises(QueueIsFull):
        post(queue, "now", WAITING, REPLACE)
    assert is_stored(post(queue, "later still", WAITING, REPLACE, delay=90))


def test_seconds_count_from_the_post_whatever_becomes_of_the_message(queue: QueueHandle, clock: ManualClock) -> None:
    first = post(queue, "a", 30, key="task-a")
    queue.pop()
    clock.advance(29)
    again = post(queue, "b", 30)
    assert isinstance(again, PresentId)
    assert (again, again.key) == (first, "task-a")
    clock.advance(2)

    assert is_stored(post(queue, "c", 30))
    assert queue.free() == ["c"]


def test_a_message_replaces_one_that_waits(queue: QueueHandle, clock: ManualClock) -> None:
    post(queue, "a", WAITING, key="a", delay=60)
    queue.post("between")

    assert is_stored(post(queue, "b", WAITING, REPLACE, key="b"))
    assert queue.free() == ["between", "b"]
    assert queue.find("a") == []
    assert is_stored(post(queue, "c", WAITING, REPLACE, delay=60))
    clock.advance(59)
    assert is_stored(post(queue, "d", WAITING, REPLACE, delay=60))
    clock.advance(59)
    assert queue.free() == ["between"]
    clock.advance(1)
    assert queue.free() == ["between", "d"]


def test_what_is_claimed_or_gone_is_not_replaced(queue: QueueHandle) -> None:
    post(queue, "claimed", UNFINISHED, name="claimed")
    queue.claim()
    post(queue, "gone", 30, name="gone")
    queue.pop()

    assert not is_stored(post(queue, "b", UNFINISHED, REPLACE, name="claimed"))
    assert not is_stored(post(queue, "b", 30, REPLACE, name="gone"))
    assert queue.all() == ["claimed"]


def test_a_message_extends_the_delay_of_one_that_waits(queue: QueueHandle, clock: ManualClock) -> None:
    first = post(queue, "a", WAITING, delay=60)
    clock.advance(30)

    assert post(queue, "b", WAITING, EXTEND, delay=60) == first
    clock.advance(59)
    assert queue.free() == []
    clock.advance(1)
    assert queue.free() == ["a"]
    assert not is_stored(post(queue, "c", WAITING, EXTEND, delay=10))
    assert queue.free() == []
    assert not is_stored(post(queue, "d", WAITING, EXTEND))
    clock.advance(10)
    assert queue.free() == ["a"]
    assert bodies(queue.claim()) == ["a"]


def test_an_extended_message_is_due_before_a_later_one_of_the_same_post(queue: QueueHandle, clock: ManualClock) -> None:
    post(queue, "a", WAITING)
    queue.post_raw(
        [
            {"ttl": None, "body": "b", "delay": 5, "unique": Uniqueness("u", WAITING, EXTEND)},
            {"ttl": None, "body": "c", "delay": 100},
        ]
    )
    assert queue.free() == []

    clock.advance(5)

    assert queue.free() == ["a"]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_refused_post_extends_nothing(queues: MakeQueue, scope: str | float) -> None:
    queue = queues("full", _max_length=1, _overflow="reject-publish")
    post(queue, "a", scope)

    with pytest.raises(QueueIsFull):
        queue.post_raw(
            [
                {"ttl": None, "body": "b", "delay": 60, "unique": Uniqueness("u", scope, EXTEND)},
                {"ttl": None, "body": "c"},
                {"ttl": None, "body": "d"},
            ]
        )

    assert queue.free() == ["a"]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_message_with_the_same_key_takes_the_id_over_from_a_claimed_one(
    queue: QueueHandle, scope: str | float
) -> None:
    post(queue, "task", scope, key="k")
    assert not is_stored(post(queue, "twice", scope, key="k"))
    held = queue.claim()

    assert is_stored(post(queue, "retry", scope, key="k"))

    assert not is_stored(post(queue, "again", scope, key="k"))
    assert not is_stored(post(queue, "other", scope, key="k2"))
    queue.delete_claimed([(ids(held)[0], held.id)])
    assert not is_stored(post(queue, "other", scope, key="k2"))
    assert queue.free() == ["retry"]
    queue.pop()
    assert is_stored(post(queue, "last", scope, key="k2")) == isinstance(scope, str)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_changed_message_holds_its_id(queue: QueueHandle, clock: ManualClock, scope: str | float) -> None:
    post(queue, "a", scope, key="k")
    queue.change("k", priority=7)
    assert post(queue, "b", scope) == ids(queue.find("k"))[0]
    queue.change("k", priority=3, due=clock.time() + 60)

    assert post(queue, "b", scope) == ids(queue.find("k"))[0]
    assert is_stored(post(queue, "c", scope, REPLACE))
    assert queue.free() == ["c"]
    assert queue.find("k") == []


def test_an_extension_extends_the_seconds_too(queue: QueueHandle, clock: ManualClock) -> None:
    post(queue, "a", 30)
    queue.pop()
    clock.advance(20)
    assert not is_stored(post(queue, "b", 30, EXTEND))
    clock.advance(20)
    assert not is_stored(post(queue, "c", 30))
    clock.advance(11)

    assert is_stored(post(queue, "d", 30))


def test_the_messages_of_one_post_displace_each_other(queue: QueueHandle) -> None:
    first, second, other, third = queue.post_raw(
        [
            {"ttl": None, "body": body, "key": body, "unique": unique}
            for body, unique in (
                ("a", Uniqueness("u", WAITING)),
                ("b", Uniqueness("u", WAITING)),
                ("c", None),
                ("d", Uniqueness("r", WAITING, REPLACE)),
            )
        ]
    )
    last = queue.post_raw(
        [{"ttl": None, "body": body, "unique": Uniqueness("r", WAITING, REPLACE)} for body in ("e", "f")]
    )

    assert isinstance(second, PresentId)
    assert (second, second.key) == (first, "a")
    assert is_stored(other)
    assert is_stored(third)
    assert [is_stored(one) for one in last] == [False, True]
    assert queue.free() == ["a", "c", "f"]


def test_a_post_made_again_stores_once_and_returns_the_same(queue: QueueHandle) -> None:
    key = IdempotencyKey(b"producer", 1)
    one = queue.post("a", unique=Uniqueness("u", UNFINISHED), idempotency_key=key)

    assert queue.post("a", unique=Uniqueness("u", UNFINISHED), idempotency_key=key) == one
    assert queue.free() == ["a"]
    queue.pop()
    assert queue.post("a", unique=Uniqueness("u", UNFINISHED), idempotency_key=key) == one
    assert queue.free() == []


def test_many_ids_leave_nothing_behind(queue: QueueHandle, clock: ManualClock) -> None:
    for number in range(200):
        post(queue, number, (WAITING, UNFINISHED, 5)[number % 3], name=f"u{number}")
    assert len(queue.pop(limit=300)) == 200
    clock.advance(6)
    for _ in range(3):
        queue.driver.gc()

    assert all(is_stored(post(queue, number, name=f"u{number}")) for number in range(200))
