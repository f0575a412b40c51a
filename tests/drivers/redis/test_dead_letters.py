"""Dead messages wait in the store; one process at a time dead-letters them, and a crash loses none."""

from __future__ import annotations

import json
import signal
from collections import Counter

import pytest

from kombu_pool import errors
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.storage.dead_letters import RESERVATION_TTL
from kombu_pool.testing import ManualClock, QueueHandle, bodies, ids
from tests.support.limits import LIMIT
from tests.support.servers.proxy import Proxy
from tests.support.servers.redis_server import Server
from tests.support.transport.child_programs import Programs

EXCHANGE = {"_dead_letter_exchange": "exchange"}
HOME = {"_dead_letter_queue": "dead"}


@pytest.fixture
def programs():
    programs = Programs("tests.support.redis.child_programs")
    yield programs
    programs.kill()


@pytest.fixture
def clock():
    return ManualClock()


def post_and_reject(queue, *bodies):
    """Post and reject messages."""
    queue.post(*bodies)
    queue.reject(queue.claim(limit=len(bodies)))


def publish_to(seen):
    return lambda project, exchange, key, message: seen.append(message["body"]) or True


def scripts_in(lines):
    """Return the names of the scripts that ran."""
    known = (
        "post",
        "post_bounded",
        "claim",
        "ack",
        "ack_and_claim",
        "reject",
        "take_dead",
        "move_dead",
        "queues_with_dead",
    )
    names = {script(name).sha: name for name in known}
    return [names[line.command[1]] for line in lines if not line.by_script]


# Crashes.


def test_a_process_that_is_killed_while_it_buries_loses_nothing(uri, open_queue, clock, programs):
    queue = open_queue(uri, metadata=EXCHANGE, clock=clock)
    post_and_reject(queue, "a", "b")
    victim = programs.start("dead_letter", uri=uri, answers=1)
    assert [json.loads(victim.line()), json.loads(victim.line())] == ["a", "b"]
    seen = []
    queue.driver.dead_letter_hooks.publish = publish_to(seen)

    victim.signal(signal.SIGKILL)

    assert queue.driver.dead_letter_all() == 0
    clock.advance(RESERVATION_TTL)
    assert queue.driver.dead_letter_all() == 1
    assert seen == ["b"]


def test_what_was_stored_there_and_not_removed_here_is_buried_again(uri, open_queue, clock):
    queue = open_queue(uri, metadata=EXCHANGE, clock=clock)
    post_and_reject(queue, "a", "b")
    seen = []

    def crash(*dead_letter):
        publish_to(seen)(*dead_letter)
        raise KeyboardInterrupt

    queue.driver.dead_letter_hooks.publish = crash
    with pytest.raises(KeyboardInterrupt):
        queue.driver.dead_letter_all()
    queue.driver.dead_letter_hooks.publish = publish_to(seen)
    clock.advance(RESERVATION_TTL)

    assert queue.driver.dead_letter_all() == 2
    assert seen == ["a", "a", "b"]


def test_a_move_whose_answer_is_lost_is_not_made_twice(open_queue, clock):
    with Server() as server, Proxy(server.port) as proxy:
        dead = open_queue(server.uri(), "dead", clock=clock)
        queue = open_queue(proxy.uri, metadata=HOME, clock=clock)
        post_and_reject(queue, "warm up")
        proxy.lose_answer_to(script("move_dead").sha)

        post_and_reject(queue, "a")

        clock.advance(RESERVATION_TTL)
        assert queue.driver.dead_letter_all() == 0
        assert dead.free() == ["warm up", "a"]


def test_what_is_taken_and_never_heard_of_is_buried_after_a_while(open_queue, clock):
    with Server() as server, Proxy(server.port) as proxy:
        dead = open_queue(server.uri(), "dead", clock=clock)
        queue = open_queue(proxy.uri, metadata=HOME, clock=clock)
        post_and_reject(queue, "warm up")
        proxy.lose_answer_to(script("take_dead").sha)

        post_and_reject(queue, "a")

        assert queue.driver.dead_letter_all() == 0
        clock.advance(RESERVATION_TTL)
        assert queue.driver.dead_letter_all() == 1
        assert dead.free() == ["warm up", "a"]


# Two processes.


@pytest.mark.parametrize("metadata", [EXCHANGE, HOME])
def test_two_processes_bury_each_message_once(uri, open_queue, open_driver, clock, programs, metadata):
    dead = open_queue(uri, "dead", clock=clock)
    queue = open_queue(uri, metadata={**metadata, "_dead_letter_expired": True}, clock=clock)
    queue.post(*range(2000), ttl=10)
    clock.advance(10)
    processes = [programs.start("dead_letter", uri=uri, answers=10**6, later=10) for _ in range(2)]

    for process in processes:
        process.tell()
    seen = Counter(body for process in processes for body in lines_of(process))

    if metadata is HOME:
        seen = Counter(dead.free())
    assert seen == Counter(range(2000))
    assert queue.driver.dead_letter_all() == 0


def lines_of(program):
    lines = []
    while (line := program.line()) != "done":
        lines.append(json.loads(line))
    return lines


# Unreachable targets.


def test_who_uses_a_queue_tries_again_only_after_a_while(uri, open_queue, clock):
    queue = open_queue(uri, metadata=EXCHANGE, clock=clock)
    tried = []

    def fail(project, exchange, key, message):
        tried.append(message["body"])
        raise errors.PoolUnavailable("pool", "down")

    queue.driver.dead_letter_hooks.publish = fail
    post_and_reject(queue, "a")
    post_and_reject(queue, "b")
    queue.claim()
    assert tried == ["a"]
    clock.advance(5)
    queue.claim()

    assert tried == ["a", "a", "b"]


def test_order_survives_that_it_was_out_of_reach(uri, open_queue, clock):
    queue = open_queue(uri, metadata=EXCHANGE, clock=clock)
    post_and_reject(queue, "a", "b")
    post_and_reject(queue, "c")
    seen = []
    queue.driver.dead_letter_hooks.publish = publish_to(seen)

    assert queue.driver.dead_letter_all() == 3
    assert seen == ["a", "b", "c"]


def test_one_that_no_queue_takes_does_not_stop_those_behind_it(uri, open_queue, clock):
    queue = open_queue(uri, metadata=EXCHANGE, clock=clock)
    post_and_reject(queue, *range(5))
    seen = []

    def refuse_the_first(*dead_letter):
        if dead_letter[3]["body"] == 0:
            raise errors.MessageTooLarge(1, 1)
        return publish_to(seen)(*dead_letter)

    queue.driver.dead_letter_hooks.publish = refuse_the_first

    assert queue.driver.dead_letter_all() == 4
    assert seen == [1, 2, 3, 4]


def test_a_watch_sleeps_while_the_dead_are_out_of_reach(uri, open_queue, clock):
    queue = open_queue(uri, metadata=EXCHANGE, clock=clock)
    post_and_reject(queue, "a")
    watch = queue.driver.watch([(None, "q")])

    assert watch.wait(0.1) is False
    clock.advance(5)
    assert watch.wait(LIMIT) is True
    queue.claim()
    assert watch.wait(0.1) is False
    watch.close()


def test_a_watch_wakes_for_what_a_dead_process_left(uri, open_queue, clock):
    queue = open_queue(uri, metadata=EXCHANGE, clock=clock)
    post_and_reject(queue, "a")
    queue.driver.dead_letter_hooks.publish = lambda *dead_letter: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        queue.driver.dead_letter_all()
    watch = queue.driver.watch([(None, "q")])

    assert watch.wait(0.1) is False
    clock.advance(RESERVATION_TTL)
    assert watch.wait(LIMIT) is True
    watch.close()


# Costs.


def test_an_ordinary_queue_costs_what_it_did(uri, open_queue, commands):
    queue = open_queue(uri)
    use(queue)

    ran = commands(lambda: use(queue))

    assert scripts_in(ran) == ["post", "claim", "ack_and_claim", "ack"]
    # The number of keys of each, and of commands of all.
    assert [line.command[2] for line in ran if not line.by_script] == [b"8", b"12", b"12", b"10"]
    assert sum(line.by_script for line in ran) == 56


def use(queue):
    queue.post("a", "b")
    held = queue.claim(limit=1)
    ack_and_claim = queue.driver.claim_controller.ack_and_claim
    _, claim_id, messages = ack_and_claim(queue.name, [(ids(held)[0], held.id)], {"ttl": 60, "grace": 0}, limit=1)
    queue.delete_claimed([(messages[0]["id"], claim_id)])


def test_burying_costs_one_look_when_nothing_is_dead(uri, open_driver, clock, commands):
    driver = open_driver(uri, clock=clock)
    for number in range(50):
        driver.queue_controller.create(f"q{number}", {**HOME, "_dead_letter_expired": True})
        queue = QueueHandle(driver, f"q{number}", None)
        post_and_reject(queue, "a")
        queue.post("b", ttl=100)
    driver.dead_letter_all()

    ran = commands(driver.dead_letter_all)

    assert scripts_in(ran) == ["queues_with_dead"]
    assert sum(line.by_script for line in ran) == 1
    clock.advance(100)
    assert driver.dead_letter_all() == 50


def test_a_rejection_that_is_buried_here_takes_three_round_trips(uri, open_queue, commands):
    open_queue(uri, "dead")
    queue = open_queue(uri, metadata=HOME)
    post_and_reject(queue, "warm up")
    queue.post("a", "b")
    held = queue.claim()

    assert scripts_in(commands(lambda: queue.reject(held))) == ["reject", "take_dead", "move_dead"]


def test_big_letters_are_taken_few_at_a_time(open_queue, clock):
    with Server() as server:
        dead = open_queue(server.uri(), "dead", clock=clock)
        queue = open_queue(server.uri(), metadata=HOME, clock=clock)
        post_and_reject(queue, "warm up")
        queue.post(*[bytes(3_000_000)] * 5)
        held = queue.claim()
        before = calls_of(server)

        queue.reject(held)

        assert dead.count() == 6
        # reject, three times take_dead and move_dead, and count.
        assert calls_of(server) - before == 8


def calls_of(server):
    return server.client().info("commandstats")["cmdstat_evalsha"]["calls"]


def test_letters_to_another_queue_that_buries_what_expires_are_found_there(uri, open_queue, clock):
    last = open_queue(uri, "last", clock=clock)
    open_queue(uri, "dead", metadata={"_dead_letter_queue": "last", "_dead_letter_expired": True}, clock=clock)
    queue = open_queue(uri, metadata={**HOME, "_dead_letter_queue_messages_ttl": 5}, clock=clock)
    queue.driver.dead_letter_all()
    post_and_reject(queue, "a")
    clock.advance(5)

    assert queue.driver.dead_letter_all() == 1
    assert bodies(last.page()[0]) == ["a"]
