from __future__ import annotations

import json
import time

import pytest

from kombu_pool import drivers
from kombu_pool.clock import SYSTEM_CLOCK
from kombu_pool.drivers.sqlite import dead_letters
from kombu_pool.errors import PoolUnavailable
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import RESERVATION_TTL
from kombu_pool.testing import ManualClock
from tests.support.limits import LIMIT

CLAIM = {"ttl": 60, "grace": 0}
EXPIRING = {"_dead_letter_queue": "dead-letters", "_dead_letter_expired": True}
ROUTED = {"_dead_letter_exchange": "exchange", "_dead_letter_expired": True}


@pytest.fixture
def clock():
    """A clock that starts at the time of the machine."""
    started = ManualClock(time.time(), boot=SYSTEM_CLOCK.boot_id())
    started.passed = SYSTEM_CLOCK.elapsed()
    return started


@pytest.fixture
def timed(uri, clock):
    opened = drivers.open_data(uri, clock=clock)
    opened.queue_controller.create("dead-letters")
    yield opened
    opened.close()


def post(driver, *bodies, ttl=None, **options):
    return driver.message_controller.post("q", [{"ttl": ttl, "body": body, **options} for body in bodies], None)


def claim(driver, limit=10):
    """Claim; return the bodies."""
    return [message["body"] for message in driver.claim_controller.create("q", CLAIM, limit=limit)[1]]


def reject_all(driver):
    claim_id, messages = driver.claim_controller.create("q", CLAIM, limit=1000)
    return driver.message_controller.reject("q", [(message["id"], claim_id) for message in messages])


def moved(driver):
    return [message["body"] for message in next(driver.message_controller.list("dead-letters", limit=0))]


def published(driver, answer=True):
    """Install a publish hook; return the list of the bodies that it publishes."""
    seen = []
    driver.dead_letter_hooks.publish = lambda *letter: seen.append(letter[3]["body"]) or answer
    return seen


def dead(driver):
    return driver._database.row("SELECT count(*) FROM dead")[0]


# Processes that die meanwhile, or run at the same time.


def test_a_process_that_is_killed_while_it_publishes_loses_nothing(timed, clock, uri, run):
    timed.queue_controller.create("q", ROUTED)
    post(timed, "a", "b", ttl=1)
    clock.advance(1)
    timed.claim_controller.create("q", CLAIM)
    killed = run("publish_and_die", uri)
    assert json.loads(killed.stdout.readline()) == "a"
    killed.wait()
    seen = published(timed)

    assert timed.dead_letter_all() == 0, "the killed process may still be publishing"
    clock.now, clock.passed = time.time() + RESERVATION_TTL, SYSTEM_CLOCK.elapsed() + RESERVATION_TTL

    assert timed.dead_letter_all() == 2
    assert seen == ["a", "b"]


def test_a_publisher_that_breaks_loses_nothing(timed, clock):
    timed.queue_controller.create("q", ROUTED)
    post(timed, "a", ttl=1)
    clock.advance(1)
    timed.dead_letter_hooks.publish = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        timed.dead_letter_all()
    clock.advance(RESERVATION_TTL)
    seen = published(timed)

    assert timed.dead_letter_all() == 1
    assert seen == ["a"]


def test_while_one_process_asks_no_other_does(timed, uri, clock):
    timed.queue_controller.create("q", ROUTED)
    post(timed, *range(5), ttl=1)
    clock.advance(1)
    other = drivers.open_data(f"{uri}&busy_timeout=10", clock=clock)
    seen = published(other)
    answers = []
    timed.dead_letter_hooks.publish = lambda *letter: (
        answers.append((letter[3]["body"], other.dead_letter_all())) or True
    )

    assert timed.dead_letter_all() == 5

    assert answers == [(number, 0) for number in range(5)]
    assert seen == []
    other.close()


def test_processes_that_bury_at_once_bury_each_message_once_and_in_order(timed, clock, uri, run):
    timed.queue_controller.create("q", EXPIRING)
    post(timed, *range(2000), ttl=0.001)
    time.sleep(0.01)
    processes = [run("dead_letter_all", uri) for _ in range(2)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()

    counts = [json.loads(process.communicate(timeout=LIMIT)[0]) for process in processes]

    assert sum(counts) == 2000
    assert moved(timed) == list(range(2000))


# Messages that stay dead for some time.


def test_what_cannot_be_published_keeps_its_order(timed, clock):
    timed.queue_controller.create("q", ROUTED)
    post(timed, "a", "b", "c")
    refusals = [PoolUnavailable("pool", "down")]
    seen = []

    def publish(*letter):
        if len(seen) == 1 and refusals:
            raise refusals.pop()
        seen.append(letter[3]["body"])
        return True

    timed.dead_letter_hooks.publish = publish

    assert reject_all(timed) == []
    assert seen == ["a"]
    assert timed.dead_letter_all() == 2
    assert seen == ["a", "b", "c"]


def test_a_claim_does_not_ask_again_and_again_for_what_is_out_of_reach(timed, monkeypatch):
    timed.queue_controller.create("q", ROUTED)
    asked = []

    def publish(*letter):
        asked.append(letter[3]["body"])
        raise PoolUnavailable("pool", "down")

    timed.dead_letter_hooks.publish = publish
    post(timed, "a")
    with monkeypatch.context() as patch:
        patch.setattr(dead_letters.DeadLetters, "retry_after", 0)
        reject_all(timed)
        claim(timed)
    assert asked == ["a", "a"]
    claim(timed)

    for _ in range(5):
        claim(timed)

    assert asked == ["a", "a", "a"]


def test_a_store_that_fails_to_bury_has_stored_what_was_posted_all_the_same(timed, monkeypatch):
    timed.queue_controller.create("q", {"_max_length": 1, "_dead_letter_queue": "dead-letters"})
    post(timed, "a")

    def fail(*_):
        raise PoolUnavailable("pool", "down")

    with monkeypatch.context() as patch:
        patch.setattr(dead_letters, "store_dead_letter", fail)
        post(timed, "b")

    assert moved(timed) == []
    assert timed.dead_letter_all() == 1
    assert moved(timed) == ["a"]


def test_what_expires_while_another_store_is_asked_to_take_it_is_not_buried_too(timed, clock):
    metadata = {"_max_claim_count": 1, "_dead_letter_queue": "elsewhere", "_dead_letter_expired": True}
    timed.queue_controller.create("q", metadata)
    post(timed, "a", ttl=100)
    claim(timed)
    clock.advance(60)
    seen = []

    def forward(project, queue, message):
        clock.advance(40)
        seen.append((message["dead_letter"]["reason"], timed.dead_letter_all()))
        return True

    timed.dead_letter_hooks.forward = forward

    assert claim(timed) == []
    assert timed.dead_letter_all() == 0
    assert seen == [("max_claim_count", 0)]


def test_what_cannot_be_read_is_kept_though_its_dead_letter_queue_is_nowhere(timed, clock):
    timed.queue_controller.create("q", {**EXPIRING, "_dead_letter_queue": "nowhere"})
    post(timed, "unreadable", "readable", ttl=1)
    with timed._database.write, timed._database.lock, timed._database.begin_write() as connection:
        connection.execute("UPDATE message SET record = x'c1' WHERE id = (SELECT min(id) FROM message)")
    clock.advance(1)

    assert timed.dead_letter_all() == 2
    (message,) = next(timed.message_controller.list(UNREADABLE_QUEUE))
    assert message["body"]["record"] == b"\xc1"


# Messages that expire.


def test_what_expired_before_its_queue_said_so_is_not_brought_back_though_nobody_looked(timed, clock):
    timed.queue_controller.create("q")
    post(timed, "a", ttl=10)
    clock.advance(10)

    timed.queue_controller.set_metadata("q", EXPIRING)

    assert timed.dead_letter_all() == 0
    assert moved(timed) == []


def test_what_expired_before_its_queue_said_otherwise_is_buried_still(timed, clock):
    timed.queue_controller.create("q", EXPIRING)
    post(timed, "a", ttl=10)
    clock.advance(10)

    timed.queue_controller.set_metadata("q", {"_dead_letter_queue": "dead-letters"})

    assert timed.dead_letter_all() == 1
    assert moved(timed) == ["a"]


def test_letters_that_expire_in_their_queue_are_buried_in_turn(timed, clock):
    timed.queue_controller.create("q", {**EXPIRING, "_dead_letter_queue": "wait"})
    timed.queue_controller.create("wait", {**EXPIRING, "_default_message_ttl": 10})
    post(timed, "a", ttl=5)
    clock.advance(5)

    assert timed.dead_letter_all() == 1
    clock.advance(10)
    assert timed.dead_letter_all() == 1
    assert moved(timed) == ["a"]


def test_what_expires_between_a_look_and_the_lending_keeps_its_count(timed, clock):
    timed.queue_controller.create("q", EXPIRING)
    post(timed, "a", ttl=100)
    claim(timed)
    clock.advance(60)
    post(timed, "b")
    times = [clock.time()]
    timed._clock.time = lambda: times.pop() if times else clock.time() + 40

    assert claim(timed) == ["b"]
    timed.dead_letter_all()

    (letter,) = next(timed.message_controller.list("dead-letters"))
    assert letter["dead_letter"]["count"] == 1


# Costs.


def traced(driver, call):
    """Return the first words of the statements that a call executes."""
    seen = []
    with driver._database.lock:
        driver._database.connection.set_trace_callback(seen.append)
        call()
        driver._database.connection.set_trace_callback(None)
    return [" ".join(statement.split()[:3]) for statement in seen]


def test_a_message_of_an_ordinary_queue_costs_what_it_did(driver):
    held = []

    def claim_all():
        claim_id, messages = driver.claim_controller.create("q", CLAIM)
        held.extend((message["id"], claim_id) for message in messages)

    posting = traced(driver, lambda: post(driver, "a", ttl=100))
    claiming = traced(driver, claim_all)
    deleting = traced(driver, lambda: driver.message_controller.delete_claimed("q", held))

    assert posting == [
        "BEGIN IMMEDIATE",
        "SELECT id, metadata,",
        "INSERT INTO message(id,",
        "INSERT INTO free(queue,",
        "COMMIT",
    ]
    assert (claiming.count("BEGIN IMMEDIATE"), len(claiming)) == (1, 8)
    assert (deleting.count("BEGIN IMMEDIATE"), len(deleting)) == (1, 7)


def test_burying_nothing_takes_two_looks_however_many_queues_there_are(driver):
    for number in range(50):
        driver.queue_controller.create(f"expiring-{number}", EXPIRING)
        driver.message_controller.post(f"expiring-{number}", [{"ttl": 100, "body": number}] * 10, None)

    assert len(traced(driver, driver.dead_letter_all)) == 2


def test_what_this_process_cannot_publish_costs_claims_no_transaction(timed):
    timed.queue_controller.create("q", ROUTED)
    post(timed, "a")
    reject_all(timed)

    assert "BEGIN IMMEDIATE" not in traced(timed, lambda: claim(timed))
    assert dead(timed) == 1


def test_thousands_are_buried_in_many_transactions(timed, clock):
    timed.queue_controller.create("q", EXPIRING)
    post(timed, *range(2000), ttl=1)
    clock.advance(1)
    counts = []

    statements = traced(timed, lambda: counts.append(timed.dead_letter_all()))

    assert counts == [2000]
    assert statements.count("BEGIN IMMEDIATE") > 20


def test_a_claim_buries_some_and_leaves_the_rest(timed, clock):
    timed.queue_controller.create("q", EXPIRING)
    post(timed, *range(2000), ttl=1)
    clock.advance(1)

    claim(timed)

    assert 0 < len(moved(timed)) < 2000
    assert dead(timed) + len(moved(timed)) == 2000


def test_a_dead_letter_wakes_what_waits_for_it(timed, clock):
    timed.queue_controller.create("q", EXPIRING)
    post(timed, "a")
    watch = timed.watch([(None, "dead-letters")])
    watch.wait(0)

    reject_all(timed)

    assert watch._listener.receive()
    watch.close()
