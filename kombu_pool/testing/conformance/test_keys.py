"""Messages found, cancelled and changed by their key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool.errors import InvalidMessage
from kombu_pool.testing.handles import UNKNOWN_ID, bodies, dead_letters, ids

if TYPE_CHECKING:
    from kombu_pool.model import FoundMessage
    from kombu_pool.storage import DataDriver
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue
    from kombu_pool.testing.handles import QueueHandle

LONGEST = "é" * 127 + "x"


def states(messages: list[FoundMessage]) -> list[tuple[Any, str]]:
    """Return the body and the state of each message."""
    return [(message["body"], message["state"]) for message in messages]


def test_a_key_finds_its_messages_in_every_state(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("claimed", key="k", priority=9)
    queue.post("free", key="k")
    queue.post("later", key="k", delay=60)
    queue.post("other", key="other")
    queue.post("none")
    queue.claim(1)

    found = queue.find("k")

    assert sorted(states(found)) == [("claimed", "claimed"), ("free", "free"), ("later", "delayed")]
    assert {message["body"]: message["claim_count"] for message in found} == {"claimed": 1, "free": 0, "later": 0}
    assert {message["body"]: message.get("priority", 0) for message in found} == {"claimed": 9, "free": 0, "later": 0}
    assert {message["queue"] for message in found} == {queue.name}
    due = [message["due"] for message in found if message["state"] == "delayed"]
    assert due == [pytest.approx(clock.time() + 60, abs=1)]


def test_a_message_shows_its_key(queue: QueueHandle) -> None:
    (message_id,) = queue.post("a", key="k")

    assert queue.get(message_id)["key"] == "k"
    assert queue.first()["key"] == "k"
    held = queue.claim()
    assert held.messages[0]["key"] == "k"
    assert queue.claim_of(held.id)[1][0]["key"] == "k"


def test_a_message_without_a_key_shows_none(queue: QueueHandle) -> None:
    queue.post("a")
    queue.post("b", key="")
    queue.post("c", key=None)

    assert not any("key" in message for message in queue.claim().messages)


@pytest.mark.parametrize("key", ["x" * 256, "é" * 128, 5, 0, False, b"k", b"", "\ud800"])
def test_a_key_that_cannot_be_stored_is_refused(queue: QueueHandle, key: Any) -> None:
    with pytest.raises(InvalidMessage, match="key"):
        queue.post("a", key=key)

    assert queue.count() == 0
    assert queue.find(key) == []


@pytest.mark.parametrize("key", ["k", LONGEST, "a\x00b", "*[?]%_'\"", "k" * 255])
def test_any_other_text_is_a_key(queue: QueueHandle, key: str) -> None:
    queue.post("a", key=key)
    queue.post("b", key=key[:-1] + "-")
    queue.post("c", key=key[:1] + "\x00")

    assert bodies(queue.find(key)) == ["a"]
    assert bodies(queue.cancel(key).messages) == ["a"]
    assert queue.free() == ["b", "c"]


def test_a_key_is_found_among_many_and_in_order(queue: QueueHandle) -> None:
    for number in range(5):
        queue.post_raw([{"ttl": None, "body": (number, each), "key": f"k{each}"} for each in range(40)])

    assert [tuple(body) for body in bodies(queue.find("k7"))] == [(number, 7) for number in range(5)]


def test_a_search_without_a_queue_finds_the_messages_of_all(driver: DataDriver, queues: MakeQueue) -> None:
    for name in ("a", "b", "c"):
        queues(name).post(name, key="k")
    queues("other", project="p").post("hidden", key="k")

    found = driver.message_controller.find("k")

    assert sorted((message["queue"], message["body"]) for message in found.messages) == [
        (name, name) for name in ("a", "b", "c")
    ]
    assert bodies(driver.message_controller.find("k", project="p").messages) == ["hidden"]
    assert found.unreachable == {}


def test_an_absent_queue_has_no_messages_of_a_key(absent: QueueHandle) -> None:
    assert absent.find("k") == []
    assert absent.cancel("k").messages == []
    assert absent.change("k", priority=1).messages == []


def test_what_ended_is_not_found(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("expires", key="k", ttl=10)
    queue.post("deleted", key="k")
    queue.post("acked", key="k")
    first, second, third = ids(queue.find("k"))
    queue.delete(second)
    held = queue.claim_by_id([third])
    queue.delete_claimed([(third, held.id)])
    assert ids(queue.find("k")) == [first]
    clock.advance(10)

    assert queue.find("k") == []
    queue.post("purged", key="k")
    queue.purge()
    assert queue.find("k") == []
    queue.post("popped", key="k")
    queue.pop()
    assert queue.find("k") == []


def test_a_deleted_queue_forgets_its_keys(queue: QueueHandle) -> None:
    queue.post("a", key="k")
    queue.drop()
    queue.create()

    assert queue.find("k") == []


def test_a_purge_keeps_the_keys_of_claimed_messages(queue: QueueHandle) -> None:
    queue.post("claimed", "free", key="k")
    held = queue.claim(1)
    queue.purge()

    assert states(queue.find("k")) == [("claimed", "claimed")]
    queue.release(held.id, ids(held))
    assert bodies(queue.cancel("k").messages) == ["claimed"]
    assert queue.find("k") == []


def test_cancelling_deletes_all_that_wait(queue: QueueHandle) -> None:
    queue.post("free", key="k")
    queue.post("later", key="k", delay=60)
    queue.post("other", key="other")

    result = queue.cancel("k")

    assert sorted(states(result.messages)) == [("free", "free"), ("later", "delayed")]
    assert result.claimed == []
    assert queue.all() == ["other"]
    assert queue.cancel("k").messages == []


def test_cancelling_leaves_what_is_claimed(queue: QueueHandle) -> None:
    queue.post("claimed", "free", key="k")
    held = queue.claim(1)

    result = queue.cancel("k")

    assert bodies(result.messages) == ["free"]
    assert states(result.claimed) == [("claimed", "claimed")]
    assert queue.claimed_by(held) == ["claimed"]
    assert queue.delete_claimed([(ids(held)[0], held.id)]) == []


def test_a_message_of_an_ended_claim_waits_again_with_its_key(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", key="k")
    held = queue.claim(ttl=10)
    clock.advance(10)

    assert states(queue.find("k")) == [("a", "free")]
    assert queue.find("k")[0]["claim_count"] == 1
    assert bodies(queue.cancel("k").messages) == ["a"]
    assert queue.claim().messages == []
    assert queue.delete_claimed([(ids(held)[0], held.id)]) != []


def test_cancelling_without_a_queue_reaches_all(driver: DataDriver, queues: MakeQueue) -> None:
    made = [queues(name) for name in ("a", "b", "c")]
    for queue in made:
        queue.post(queue.name, key="k")
    made[0].claim()

    result = driver.message_controller.cancel("k")

    assert sorted(bodies(result.messages)) == ["b", "c"]
    assert bodies(result.claimed) == ["a"]
    assert [queue.all() for queue in made] == [["a"], [], []]


def test_a_dead_letter_keeps_its_key(origin: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    origin.post("rejected", key="k")
    origin.reject(origin.claim())
    origin.post("expired", key="k", ttl=10)
    clock.advance(10)
    origin.claim()

    assert origin.find("k") == []
    assert states(dlq.find("k")) == [("rejected", "free"), ("expired", "free")]
    dlq.redrive(reasons=["rejected"])
    assert states(origin.find("k")) == [("rejected", "free")]
    assert bodies(origin.cancel("k").messages) == ["rejected"]


def test_a_dead_letter_is_not_cancelled(origin: QueueHandle, dlq: QueueHandle) -> None:
    origin.post("dead", key="k")
    origin.reject(origin.claim())
    dlq.post("waits", key="k")

    result = dlq.cancel("k")

    assert (bodies(result.messages), bodies(result.dead_letters), result.claimed) == (["waits"], ["dead"], [])
    assert [(body, reason) for body, reason, _ in dead_letters(dlq)] == [("dead", "rejected")]
    assert bodies(dlq.cancel("k").dead_letters) == ["dead"]


def test_many_keys_are_cancelled_together(driver: DataDriver, queues: MakeQueue) -> None:
    for name in ("a", "b"):
        queues(name).post_raw([{"ttl": None, "body": each, "key": f"k{each}"} for each in range(3)])

    result = driver.message_controller.cancel_many(["k0", "unknown", "k2"])

    assert sorted(bodies(result.messages)) == [0, 0, 2, 2]
    assert driver.message_controller.cancel_many(["k0"]).messages == []
    assert driver.message_controller.cancel_many([]).messages == []


def test_what_made_room_is_not_found(queues: MakeQueue) -> None:
    queue = queues("short", _max_length=1)
    queue.post("a", key="k")
    queue.post("b", key="k")

    assert bodies(queue.find("k")) == ["b"]


def test_a_delayed_message_can_be_free_now(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", key="k", delay=3600)
    queue.post("b", key="other")

    result = queue.change("k", due=clock.time())

    assert states(result.messages) == [("a", "free")]
    assert queue.free() == ["a", "b"]
    assert bodies(queue.claim()) == ["a", "b"]


def test_a_message_can_be_due_later_or_sooner(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("delayed", key="k", delay=100)
    queue.post("free", key="k2")
    now = clock.time()

    later = queue.change("k", due=now + 300)
    delayed = queue.change("k2", due=now + 50)

    assert [message["due"] for message in (*later.messages, *delayed.messages)] == [
        pytest.approx(now + 300, abs=1),
        pytest.approx(now + 50, abs=1),
    ]
    assert queue.claim().messages == []
    clock.advance(101)
    assert bodies(queue.claim()) == ["free"]
    assert states(queue.change("k", due=clock.time() + 20).messages) == [("delayed", "delayed")]
    clock.advance(21)
    assert bodies(queue.claim()) == ["delayed"]


def test_a_message_that_is_delayed_again_keeps_its_claim_count(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", key="k")
    held = queue.claim(ttl=10)
    clock.advance(10)

    assert queue.change("k", due=clock.time() + 60).messages[0]["claim_count"] == 1

    assert queue.get(ids(held)[0])["claim_count"] == 1
    clock.advance(60)
    assert [message["claim_count"] for message in queue.claim().messages] == [2]


def test_a_changed_priority_changes_the_order(queue: QueueHandle) -> None:
    for name in ("a", "b", "c", "d"):
        queue.post(name, key=name)

    assert queue.change("c", priority=9).messages[0]["priority"] == 9
    assert queue.change("d", priority=5).messages[0]["priority"] == 5
    assert queue.free() == ["c", "d", "a", "b"]
    queue.change("c", priority=0)

    assert queue.free() == ["d", "a", "b", "c"]
    held = queue.claim()
    assert bodies(held) == ["d", "a", "b", "c"]
    assert [message.get("priority", 0) for message in held.messages] == [5, 0, 0, 0]
    assert [message["claim_count"] for message in held.messages] == [1] * 4
    assert queue.delete_claimed([(message_id, held.id) for message_id in ids(held)]) == []
    assert [queue.find(name) for name in ("a", "b", "c", "d")] == [[]] * 4


def test_a_delayed_message_can_change_its_priority(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", key="a")
    queue.post("b", key="b", delay=60)

    queue.change("b", priority=3)

    assert states(queue.find("b")) == [("b", "delayed")]
    clock.advance(60)
    assert queue.free() == ["b", "a"]


def test_the_expiry_moves_with_the_due_time(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("sooner", key="sooner", delay=100, ttl=150)
    queue.post("later", key="later", ttl=50)
    now = clock.time()

    queue.change("sooner", due=now)
    queue.change("later", due=now + 100)

    clock.advance(49)
    assert sorted(queue.all()) == ["later", "sooner"]
    clock.advance(2)
    assert queue.all() == ["later"]
    clock.advance(50)
    assert queue.free() == ["later"]
    clock.advance(50)
    assert queue.all() == []


def test_nothing_of_a_claimed_message_changes(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("claimed", "free", key="k")
    held = queue.claim(1)

    result = queue.change("k", due=clock.time() + 60, priority=3)

    assert states(result.claimed) == [("claimed", "claimed")]
    assert states(result.messages) == [("free", "delayed")]
    queue.release(held.id, ids(held))
    assert queue.free() == ["claimed"]
    assert "priority" not in queue.first()


@pytest.mark.parametrize(
    "change", [{}, {"priority": -1}, {"priority": 256}, {"priority": "1"}, {"due": -1}, {"due": "now"}, {"due": 1e11}]
)
def test_an_invalid_change_is_refused(queue: QueueHandle, change: dict[str, Any]) -> None:
    queue.post("a", key="k")

    with pytest.raises(InvalidMessage):
        queue.change("k", **change)

    assert states(queue.find("k")) == [("a", "free")]


def test_a_change_does_nothing_to_an_unknown_key(queue: QueueHandle) -> None:
    (message_id,) = queue.post("a", key="k")

    assert queue.change(UNKNOWN_ID, priority=3).messages == []
    assert queue.change(message_id, priority=3).messages == []
    assert queue.cancel(message_id).messages == []
    assert queue.free() == ["a"]
