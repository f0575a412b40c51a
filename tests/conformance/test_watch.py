from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue

import pytest

from tests.conformance.handles import QueueHandle

#: Longer than any store takes to say that something happened; waits end as soon as it does.
LIMIT = 20.0
#: A wait that nothing should end.
BRIEFLY = 0.02


@pytest.fixture
def watch(driver, queue):
    with watching(driver, queue) as opened:
        yield opened


@contextmanager
def watching(driver, *queues):
    opened = driver.watch([(queue.project, queue.name) for queue in queues])
    try:
        quiet(opened)
        yield opened
    finally:
        opened.close()


def quiet(watch):
    """Wait until the watch has nothing more to say: it may return True for nothing, but not for ever."""
    for _ in range(20):
        if not watch.wait(BRIEFLY):
            return
    pytest.fail("a watch that nothing happens to keeps saying that something did")


@contextmanager
def soon(action):
    """Do something in another thread, while this one waits."""
    thread = threading.Timer(0.05, action)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_an_idle_watch_ends_with_its_timeout(watch):
    before = time.monotonic()

    assert watch.wait(0.1) is False
    assert 0.09 < time.monotonic() - before < LIMIT


def test_a_timeout_of_zero_does_not_wait(watch):
    assert watch.wait(0) is False


def test_a_post_before_the_wait_is_not_missed(watch, queue):
    queue.post("a")

    assert watch.wait(LIMIT) is True


def test_a_post_during_the_wait_ends_it(watch, queue):
    with soon(lambda: queue.post("a")):
        assert watch.wait(LIMIT) is True


def test_a_post_through_another_driver_ends_it(watch, queue, backend):
    other = QueueHandle(backend.another(), queue.name, queue.project)

    with soon(lambda: other.post("a")):
        assert watch.wait(LIMIT) is True


def test_every_post_is_told(watch, queue):
    for number in range(3):
        queue.post(number)
        assert watch.wait(LIMIT) is True
        queue.pop()
        quiet(watch)


def test_a_claimed_message_is_no_news(watch, queue):
    queue.post("a")
    watch.wait(LIMIT)

    queue.claim()

    quiet(watch)


def test_the_end_of_a_delay_is_told(watch, queue, clock):
    queue.post("later", delay=60)
    quiet(watch)

    clock.advance(60)

    assert watch.wait(LIMIT) is True


def test_the_end_of_a_claim_is_told(watch, queue, clock):
    queue.post("a")
    queue.claim(ttl=60)
    quiet(watch)

    clock.advance(60)

    assert watch.wait(LIMIT) is True


def test_a_post_before_the_watch_began_is_told(driver, queue):
    queue.post("a")
    opened = driver.watch([(queue.project, queue.name)])

    assert opened.wait(LIMIT) is True
    opened.close()


def test_a_delay_that_ended_before_the_watch_began_is_told(driver, queue, clock):
    queue.post("later", delay=60)
    clock.advance(60)
    opened = driver.watch([(queue.project, queue.name)])

    assert opened.wait(LIMIT) is True
    opened.close()


def test_time_that_passes_during_the_wait_is_told(watch, queue, clock):
    queue.post("later", delay=60)
    quiet(watch)

    with soon(lambda: clock.advance(60)):
        assert watch.wait(LIMIT) is True


def test_a_deleted_claim_is_told(watch, queue):
    queue.post("a")
    held = queue.claim()
    quiet(watch)

    queue.end(held.id)

    assert watch.wait(LIMIT) is True


def test_a_released_message_is_told(watch, queue):
    queue.post("a", "b")
    held = queue.claim()
    quiet(watch)

    queue.release(held.id, [held.messages[0]["id"]])

    assert watch.wait(LIMIT) is True


def test_a_dead_letter_is_told(queues, driver, clock):
    graveyard = queues("graveyard")
    queue = queues("queue", _max_claim_count=1, _dead_letter_queue="graveyard")
    queue.post("a")
    queue.claim(ttl=10)
    clock.advance(10)
    with watching(driver, graveyard) as watch:
        queue.claim()

        assert watch.wait(LIMIT) is True


def test_any_of_the_queues_ends_the_wait(driver, queues):
    watched = [queues(f"queue {number}", "p" if number % 2 else None) for number in range(6)]
    with watching(driver, *watched) as watch:
        for queue in watched:
            queue.post("a")
            assert watch.wait(LIMIT) is True
            queue.pop()
            quiet(watch)


def test_another_queue_does_not(watch, queues):
    queues("other").post("a")
    queues("queue", "other project").post("a")

    quiet(watch)


def test_a_queue_may_be_created_after_its_watch(driver, queues):
    with watching(driver, QueueHandle(driver, "late", None)) as watch:
        queues("late").post("a")

        assert watch.wait(LIMIT) is True


def test_a_queue_may_be_created_during_the_wait(driver, queues):
    with watching(driver, QueueHandle(driver, "late", None)) as watch, soon(lambda: queues("late").post("a")):
        assert watch.wait(LIMIT) is True


def test_a_queue_created_again_is_still_watched(watch, queue):
    queue.drop()
    queue.create()
    quiet(watch)

    queue.post("a")

    assert watch.wait(LIMIT) is True


def test_a_watch_of_nothing_can_be_waited_on(driver):
    with watching(driver) as watch:
        assert watch.wait(BRIEFLY) is False


def test_interrupt_ends_the_next_wait(watch):
    watch.interrupt()

    assert watch.wait(LIMIT) is True
    quiet(watch)


def test_interrupt_ends_the_current_wait(watch):
    with soon(watch.interrupt):
        assert watch.wait(LIMIT) is True


def test_an_interrupt_ends_the_wait_at_whatever_moment_it_comes(watch):
    times, said = 100, SimpleQueue()
    waiting = threading.Thread(target=lambda: [said.put(watch.wait(LIMIT)) for _ in range(times)], daemon=True)
    waiting.start()

    for number in range(times):
        time.sleep(number % 20 / 10_000)
        watch.interrupt()
        with ExitStack() as opened:
            # These get the numbers of whatever the interrupt has closed.
            for end in [end for _ in range(4) for end in socket.socketpair()]:
                opened.enter_context(end)
            assert said.get(timeout=LIMIT / 4) is True
    waiting.join(LIMIT)


def test_closing_is_idempotent(driver, queue):
    watch = driver.watch([(None, queue.name)])

    watch.close()
    watch.close()


def test_two_watches_are_both_told(driver, queue):
    with watching(driver, queue) as first, watching(driver, queue) as second:
        queue.post("a")

        assert first.wait(LIMIT) is True
        assert second.wait(LIMIT) is True


def test_an_idle_wait_costs_next_to_no_cpu(watch, queue):
    queue.post("later", delay=600)
    quiet(watch)
    before = time.process_time()

    watch.wait(0.5)

    assert time.process_time() - before < 0.1
