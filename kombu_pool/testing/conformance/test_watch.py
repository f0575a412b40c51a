"""Watches of queues."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

from kombu_pool.testing.handles import QueueHandle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kombu_pool.storage import DataDriver, Watch
    from kombu_pool.testing.backend import Backend
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue

#: Seconds within which every store wakes a watch; a wait ends as soon as it does.
LIMIT = 60.0
#: Timeout, in seconds, of a wait that nothing should end.
BRIEFLY = 0.02


@pytest.fixture
def watch(driver: DataDriver, queue: QueueHandle) -> Iterator[Watch]:
    with watching(driver, queue) as opened:
        yield opened


@contextmanager
def watching(driver: DataDriver, *queues: QueueHandle) -> Iterator[Watch]:
    opened = driver.watch([(queue.project, queue.name) for queue in queues])
    try:
        drain(opened)
        yield opened
    finally:
        opened.close()


def drain(watch: Watch) -> None:
    """Wait until the watch times out: it may return True without a cause, but not for ever."""
    for _ in range(20):
        if not watch.wait(BRIEFLY):
            return
    pytest.fail("the watch of an idle queue keeps returning True")


@contextmanager
def soon(action: Callable[[], object]) -> Iterator[None]:
    """Call ``action`` in another thread after 50 ms, while this one waits."""
    thread = threading.Timer(0.05, action)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_an_idle_watch_ends_with_its_timeout(watch: Watch) -> None:
    before = time.monotonic()

    assert watch.wait(0.1) is False
    assert 0.09 < time.monotonic() - before < LIMIT


def test_a_timeout_of_zero_does_not_wait(watch: Watch) -> None:
    assert watch.wait(0) is False


def test_a_post_before_the_wait_is_not_missed(watch: Watch, queue: QueueHandle) -> None:
    queue.post("a")

    assert watch.wait(LIMIT) is True


def test_a_post_during_the_wait_ends_it(watch: Watch, queue: QueueHandle) -> None:
    with soon(lambda: queue.post("a")):
        assert watch.wait(LIMIT) is True


def test_a_post_through_another_driver_ends_it(watch: Watch, queue: QueueHandle, backend: Backend) -> None:
    other = QueueHandle(backend.another(), queue.name, queue.project)

    with soon(lambda: other.post("a")):
        assert watch.wait(LIMIT) is True


def test_a_queue_that_got_a_message_is_ready(driver: DataDriver, queues: MakeQueue) -> None:
    first, second = queues("first"), queues("second")
    with watching(driver, first, second) as watch:
        second.post("a")

        while watch.wait(LIMIT):
            if watch.ready is None or (second.project, second.name) in watch.ready:
                return
        pytest.fail("the watch does not name the queue that got a message")


def test_every_post_is_told(watch: Watch, queue: QueueHandle) -> None:
    for number in range(3):
        queue.post(number)
        assert watch.wait(LIMIT) is True
        queue.pop()
        drain(watch)


def test_a_claimed_message_is_no_news(watch: Watch, queue: QueueHandle) -> None:
    queue.post("a")
    watch.wait(LIMIT)

    queue.claim()

    drain(watch)


def test_the_end_of_a_delay_is_told(watch: Watch, queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("later", delay=60)
    drain(watch)

    clock.advance(60)

    assert watch.wait(LIMIT) is True


def test_the_end_of_a_claim_is_told(watch: Watch, queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a")
    queue.claim(ttl=60)
    drain(watch)

    clock.advance(60)

    assert watch.wait(LIMIT) is True


def test_a_post_before_the_watch_began_is_told(driver: DataDriver, queue: QueueHandle) -> None:
    queue.post("a")
    opened = driver.watch([(queue.project, queue.name)])

    assert opened.wait(LIMIT) is True
    opened.close()


def test_a_delay_that_ended_before_the_watch_began_is_told(
    driver: DataDriver, queue: QueueHandle, clock: ManualClock
) -> None:
    queue.post("later", delay=60)
    clock.advance(60)
    opened = driver.watch([(queue.project, queue.name)])

    assert opened.wait(LIMIT) is True
    opened.close()


def test_time_that_passes_during_the_wait_is_told(watch: Watch, queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("later", delay=60)
    drain(watch)

    with soon(lambda: clock.advance(60)):
        assert watch.wait(LIMIT) is True


def test_a_deleted_claim_is_told(watch: Watch, queue: QueueHandle) -> None:
    queue.post("a")
    held = queue.claim()
    drain(watch)

    queue.end(held.id)

    assert watch.wait(LIMIT) is True


def test_a_released_message_is_told(watch: Watch, queue: QueueHandle) -> None:
    queue.post("a", "b")
    held = queue.claim()
    drain(watch)

    queue.release(held.id, [held.messages[0]["id"]])

    assert watch.wait(LIMIT) is True


def test_a_dead_letter_is_told(queues: MakeQueue, driver: DataDriver, clock: ManualClock) -> None:
    dlq = queues("dlq")
    queue = queues("queue", _max_claim_count=1, _dead_letter_queue="dlq")
    queue.post("a")
    queue.claim(ttl=10)
    clock.advance(10)
    with watching(driver, dlq) as watch:
        queue.claim()

        assert watch.wait(LIMIT) is True


def test_any_of_the_queues_ends_the_wait(driver: DataDriver, queues: MakeQueue) -> None:
    watched = [queues(f"queue {number}", "p" if number % 2 else None) for number in range(6)]
    with watching(driver, *watched) as watch:
        for queue in watched:
            queue.post("a")
            assert watch.wait(LIMIT) is True
            queue.pop()
            drain(watch)


def test_another_queue_does_not(watch: Watch, queues: MakeQueue) -> None:
    queues("other").post("a")
    queues("queue", "other project").post("a")

    drain(watch)


def test_a_queue_may_be_created_after_its_watch(driver: DataDriver, queues: MakeQueue) -> None:
    with watching(driver, QueueHandle(driver, "late", None)) as watch:
        queues("late").post("a")

        assert watch.wait(LIMIT) is True


def test_a_queue_may_be_created_during_the_wait(driver: DataDriver, queues: MakeQueue) -> None:
    with watching(driver, QueueHandle(driver, "late", None)) as watch, soon(lambda: queues("late").post("a")):
        assert watch.wait(LIMIT) is True


def test_a_queue_created_again_is_still_watched(watch: Watch, queue: QueueHandle) -> None:
    queue.drop()
    queue.create()
    drain(watch)

    queue.post("a")

    assert watch.wait(LIMIT) is True


def test_a_watch_of_nothing_can_be_waited_on(driver: DataDriver) -> None:
    with watching(driver) as watch:
        assert watch.wait(BRIEFLY) is False


def test_interrupt_ends_the_next_wait(watch: Watch) -> None:
    watch.interrupt()

    assert watch.wait(LIMIT) is True
    drain(watch)


def test_interrupt_ends_the_current_wait(watch: Watch) -> None:
    with soon(watch.interrupt):
        assert watch.wait(LIMIT) is True


def test_an_interrupt_ends_the_wait_at_whatever_moment_it_comes(watch: Watch) -> None:
    times = 100
    returned: SimpleQueue[bool] = SimpleQueue()

    def wait_repeatedly() -> None:
        for _ in range(times):
            returned.put(watch.wait(LIMIT))

    waiting = threading.Thread(target=wait_repeatedly, daemon=True)
    waiting.start()

    for number in range(times):
        time.sleep(number % 20 / 10_000)
        watch.interrupt()
        with ExitStack() as opened:
            # These take the file descriptors that the interrupt closed, so that closing one twice would fail here.
            for end in [end for _ in range(4) for end in socket.socketpair()]:
                opened.enter_context(end)
            assert returned.get(timeout=LIMIT / 4) is True
    waiting.join(LIMIT)


def test_closing_is_idempotent(driver: DataDriver, queue: QueueHandle) -> None:
    watch = driver.watch([(None, queue.name)])

    watch.close()
    watch.close()


def test_two_watches_are_both_told(driver: DataDriver, queue: QueueHandle) -> None:
    with watching(driver, queue) as first, watching(driver, queue) as second:
        queue.post("a")

        assert first.wait(LIMIT) is True
        assert second.wait(LIMIT) is True


def test_an_idle_wait_costs_next_to_no_cpu(watch: Watch, queue: QueueHandle) -> None:
    queue.post("later", delay=600)
    drain(watch)

    def processor_time() -> float:
        before = time.process_time()
        watch.wait(0.5)
        return time.process_time() - before

    # Other threads of this process may be busy meanwhile.
    assert any(processor_time() < 0.1 for _ in range(5))


def test_a_deletion_wakes_every_watch_of_the_queue(queue: QueueHandle, backend: Backend) -> None:
    """Their consumers must learn that the queue is gone."""
    with watching(backend.another(), queue) as first, watching(backend.another(), queue) as second:
        with soon(queue.drop):
            woken = [in_thread(each.wait, LIMIT) for each in (first, second)]

            assert [each() for each in woken] == [True, True]
        drain(first)
        drain(second)


def test_a_deletion_before_the_wait_is_not_missed(watch: Watch, queue: QueueHandle) -> None:
    queue.drop()

    assert watch.wait(LIMIT) is True
    drain(watch)


def test_the_deletion_of_another_queue_wakes_no_watch(watch: Watch, queues: MakeQueue) -> None:
    other = queues("other")

    other.drop()

    drain(watch)


def test_a_queue_that_is_created_again_is_watched(watch: Watch, queue: QueueHandle) -> None:
    queue.drop()
    assert watch.wait(LIMIT) is True
    drain(watch)

    queue.create()
    queue.post("a")

    assert watch.wait(LIMIT) is True


def in_thread(wait: Callable[[float], bool], timeout: float) -> Callable[[], bool]:
    """Wait in another thread; return a function that returns the result."""
    results: SimpleQueue[bool] = SimpleQueue()
    threading.Thread(target=lambda: results.put(wait(timeout)), daemon=True).start()
    return lambda: results.get(timeout=LIMIT)
