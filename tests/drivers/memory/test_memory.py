from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from oslo_config import cfg

from kombu_pool import conf as settings
from kombu_pool import drivers, errors
from kombu_pool.drivers.memory import data_store
from kombu_pool.testing import ManualClock, QueueHandle, bodies
from tests.support.limits import LIMIT, best_of


@pytest.fixture
def name(request):
    return f"{request.node.name}-{os.getpid()}"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def queue(name, clock):
    return handle(name, clock)


def handle(name, clock=None, queue="queue", **metadata):
    opened = QueueHandle(drivers.open_data(f"memory://{name}", clock=clock), queue, None)
    opened.create(**metadata)
    return opened


def backlog(name):
    return data_store(name).queues[None, "queue"].backlog


def fork(action):
    """Run the action in a child process, which exits with 0 if the action returns something true."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if action() else 1
        finally:
            os._exit(code)
    return child


def exit_code(child, limit=LIMIT):
    """Return the exit code of a child; kill it after ``limit`` seconds."""
    until = time.monotonic() + limit
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.001)


def test_a_store_is_known_by_its_name(name):
    handle(name).post("a")

    assert handle(name).free() == ["a"]
    assert handle(f"{name}/").free() == ["a"]
    assert handle(f"{name}-other").free() == []
    assert handle(f"{name}/below").free() == []


def test_a_store_outlives_its_drivers(name):
    first = handle(name)
    first.post("a")
    first.driver.close()

    assert handle(name).free() == ["a"]


def test_the_drivers_of_one_store_have_one_identity(name):
    first, second = handle(name).driver, handle(name).driver
    control = drivers.open_control(f"memory://{name}")

    assert first.identity == second.identity == control.identity != ""
    assert handle(f"{name}-other").driver.identity != first.identity


def test_a_configured_limit_holds(name):
    conf = cfg.ConfigOpts()
    conf([])
    settings.register_opts(conf)
    conf.set_override("max_message_size", 10, group=settings.MEMORY_GROUP)
    queue = QueueHandle(drivers.open_data(f"memory://{name}", conf=conf), "queue", None)
    queue.create()

    with pytest.raises(errors.MessageTooLarge):
        queue.post("longer than ten bytes")


def test_a_forked_process_has_a_copy_of_its_own(name):
    queue = handle(name)
    queue.post("before")

    child = fork(lambda: queue.post("in the child") and queue.free() == ["before", "in the child"])

    assert exit_code(child) == 0
    assert queue.free() == ["before"]


def test_a_process_forked_while_threads_are_at_work_can_go_on(name):
    queue, stopped = handle(name), threading.Event()

    def work():
        while not stopped.is_set():
            queue.post("a")
            queue.pop(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert exit_code(fork(lambda: queue.post("b"))) == 0
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def test_two_stores_may_hand_dead_letters_to_each_other_at_once(name, clock):
    here = handle(f"{name}-1", clock, "queue", _max_claim_count=1, _dead_letter_queue="dead")
    there = handle(f"{name}-2", clock, "queue", _max_claim_count=1, _dead_letter_queue="dead")
    for source, target in ((here, there), (there, here)):
        source.driver.dead_letter_hooks.forward = lambda project, queue, message, to=target: bool(
            to.post_raw([message])
        )
        source.post(*range(200))
        source.claim(limit=200, ttl=10)
    clock.advance(10)

    threads = [threading.Thread(target=queue.claim, args=(1000,), daemon=True) for queue in (here, there)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert not any(thread.is_alive() for thread in threads)
    assert len(here.all() + there.all()) == 400


def test_a_letter_that_fails_on_its_way_is_lent(queue, name, clock):
    def fail(project, queue, message):
        raise errors.PoolUnavailable("other", "it is down")

    queue.driver.queue_controller.set_metadata("queue", {"_max_claim_count": 1, "_dead_letter_queue": "elsewhere"})
    queue.driver.dead_letter_hooks.forward = fail
    queue.post("a", "b")
    queue.claim(ttl=10)
    clock.advance(10)

    assert bodies(queue.claim(limit=1)) == ["a"]
    assert queue.free() == ["b"]


def test_a_dead_letter_that_is_being_published_is_left_by_other_processes(queue, clock):
    queue.driver.queue_controller.set_metadata("queue", {"_max_claim_count": 1, "_dead_letter_queue": "elsewhere"})
    seen = []
    queue.driver.dead_letter_hooks.forward = lambda *dead_letter: seen.append(queue.claim()) or True
    queue.post("a")
    queue.claim(ttl=10)
    clock.advance(10)

    assert queue.claim() == (None, [])
    assert seen == [(None, [])]
    assert queue.all() == []


def test_a_queue_deleted_while_a_letter_is_on_its_way_is_gone(queue, clock):
    queue.driver.queue_controller.set_metadata("queue", {"_max_claim_count": 1, "_dead_letter_queue": "elsewhere"})
    queue.driver.dead_letter_hooks.forward = lambda *dead_letter: queue.drop() or True
    queue.post("a", "b")
    queue.claim(ttl=10)
    clock.advance(10)

    assert queue.claim() == (None, [])


def test_what_is_over_does_not_pile_up(queue, name):
    for _ in range(2000):
        queue.post("a", ttl=3600)
        held = queue.claim(ttl=3600)
        queue.renew(held.id)
        queue.delete(held.messages[0]["id"], claim=held.id)
    for _ in range(2000):
        queue.delete(*queue.post("a", ttl=3600))

    assert len(backlog(name)._deadlines) < 200
    assert len(backlog(name)._line) < 200


def test_what_is_left_keeps_its_place_and_its_time(queue, clock):
    posted = {body: queue.post(body, priority=body % 7, ttl=1000 - body % 50)[0] for body in range(500)}
    left = [body for body in posted if body % 10 == 3]
    queue.delete_all(posted[body] for body in posted if body not in left)
    in_order = sorted(left, key=lambda body: (-(body % 7), body))

    assert bodies(queue.claim(limit=20, ttl=10)) == in_order[:20]
    clock.advance(10)
    assert queue.free() == in_order
    clock.advance(950)
    assert queue.free() == [body for body in in_order if 1000 - body % 50 > 960]
    assert bodies(queue.claim(limit=100)) == queue.all()


def test_lending_does_not_slow_down_with_the_backlog(queue):
    def claim_and_delete():
        began = time.thread_time()
        for _ in range(200):
            held = queue.claim(limit=1)
            queue.delete_claimed([(held.messages[0]["id"], held.id)])
        return time.thread_time() - began

    queue.post(*range(1000))
    bound = 10 * claim_and_delete() + 0.05
    queue.post(*range(100_000))

    assert best_of(claim_and_delete, bound) < bound


def test_a_closed_watch_is_forgotten(name, queue):
    watch = queue.driver.watch([(None, "queue")])

    watch.close()

    assert data_store(name)._watches == {}


def test_the_system_clock_ends_a_wait_in_time(name):
    queue = handle(name)
    queue.post("later", delay=0.1)
    watch = queue.driver.watch([(None, "queue")])
    began = time.monotonic()

    assert watch.wait(2 * LIMIT) is True
    assert 0.05 < time.monotonic() - began < LIMIT
    assert queue.free() == ["later"]
    watch.close()
