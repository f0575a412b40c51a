"""What a store tells of many queues at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.model import QueueCounts
from kombu_pool.storage.inspection import MessageInspection

if TYPE_CHECKING:
    from kombu_pool.storage import ControlDriver
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue
    from kombu_pool.testing.handles import QueueHandle


def counts(*queues: QueueHandle, limit: int = 1000) -> list[QueueCounts | None]:
    scopes = [(queue.project, queue.name) for queue in queues]
    return list(queues[0].driver.message_controller.count_many(scopes, limit))


def rounded(queue: QueueHandle) -> QueueCounts:
    """Return the counts of a queue that is not empty, with an age in whole seconds."""
    (found,) = counts(queue)
    assert found is not None
    assert found.oldest_age is not None
    return found._replace(oldest_age=round(found.oldest_age, 1))


def test_messages_are_counted_by_state(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", "b", "c")
    queue.post("later", delay=60)
    queue.claim(limit=1)
    clock.advance(5)

    assert rounded(queue) == QueueCounts(2, 1, 1, 5, is_exact=True)


def test_an_empty_queue_has_no_oldest_message_and_an_absent_one_no_counts(
    queue: QueueHandle, absent: QueueHandle
) -> None:
    assert counts(absent, queue) == [None, QueueCounts(0, 0, 0, None, is_exact=True)]


def test_many_queues_are_counted_at_once(queues: MakeQueue) -> None:
    named = [queues(f"q{number}", project) for number in range(60) for project in (None, "p")]
    for number, queue in enumerate(named):
        queue.post(*range(number % 3))

    assert [each and each.free for each in counts(*named)] == [number % 3 for number in range(120)]


def test_no_queue_is_counted(queue: QueueHandle) -> None:
    assert list(queue.driver.message_controller.count_many([])) == []


def test_time_moves_messages_from_state_to_state(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("claimed", "expiring", ttl=100)
    queue.post("delayed", delay=30)
    queue.claim(limit=1, ttl=30)
    clock.advance(31)

    assert rounded(queue) == QueueCounts(3, 0, 0, 31, is_exact=True)
    clock.advance(70)
    assert rounded(queue) == QueueCounts(1, 0, 0, 101, is_exact=True)


def test_the_oldest_free_message_is_found_behind_those_of_a_higher_priority(
    queue: QueueHandle, clock: ManualClock
) -> None:
    queue.post("old")
    clock.advance(60)
    queue.post("between", priority=5)
    queue.post("quick", priority=9)
    clock.advance(1)

    assert rounded(queue).oldest_age == 61


def test_a_count_may_stop_at_its_limit_and_says_so(queue: QueueHandle) -> None:
    queue.post(*range(30))
    queue.post(*range(30), delay=60)

    (found,) = counts(queue, limit=10)

    assert found is not None
    assert (found.free, found.delayed) in {(30, 30), (10, 10)}
    assert found.is_exact is (found.free == 30)


def test_delayed_messages_have_a_time_at_which_they_are_due(queue: QueueHandle, clock: ManualClock) -> None:
    now, messages = clock.time(), queue.driver.message_controller
    last, first = queue.post("last", delay=300)[0], queue.post("first", delay=30)[0]
    queue.post("free")

    found = list(messages.due_times(queue.name, queue.project, 10))

    assert [message_id for message_id, _ in found] == [first, last]
    is_default = type(messages).due_times is MessageInspection.due_times
    assert [due if due is None else round(due - now) for _, due in found] == ([None] * 2 if is_default else [30, 300])
    assert list(messages.due_times("absent", queue.project)) == []


def test_live_consumers_are_listed_and_counted(control: ControlDriver, clock: ManualClock) -> None:
    consumers = control.consumers_controller
    consumers.add_holder("q", "short", 10)
    consumers.add_holder("q", "long", 60)
    consumers.add_holder("q", "owner", 60, consuming=False)
    consumers.add_holder("r", "long", 60)
    consumers.add_holder("q", "another", 60, project="p")

    assert sorted(consumers.consumers("q")) == ["long", "short"]
    assert list(consumers.count_many([(None, "q"), (None, "none"), (None, "r"), ("p", "q")])) == [2, 0, 1, 1]
    assert list(consumers.count_many([])) == []
    clock.advance(11)
    assert list(consumers.consumers("q")) == ["long"]
