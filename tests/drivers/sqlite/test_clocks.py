from __future__ import annotations

import pytest

from kombu_pool import drivers
from kombu_pool.clock import SYSTEM_CLOCK
from kombu_pool.errors import ClaimDoesNotExist
from kombu_pool.model import ACTIVE, EXPIRED, Expiry
from kombu_pool.storage.dead_letters import RESERVATION_TTL
from kombu_pool.testing import QueueHandle, bodies
from tests.support.sqlite.lives import OWNER, again, expiring, reserve_dead_letter, state

HOUR = 3600.0
steps = pytest.mark.parametrize("step", [HOUR, -HOUR])


# The wall clock is set.


@steps
def test_a_claim_goes_on_and_ends_in_its_time(queue, clock, step):
    queue.post("a")
    held = queue.claim(ttl=60)
    clock.step(step)

    assert queue.claim().messages == []
    assert queue.claimed_by(held) == ["a"]
    assert queue.claim_of(held.id)[0]["age"] == 0
    queue.driver.gc()
    assert queue.stats()["claimed"] == 1

    clock.advance(59)
    assert queue.claim().messages == []
    clock.advance(1)
    assert queue.free() == ["a"]
    with pytest.raises(ClaimDoesNotExist):
        queue.claim_of(held.id)


@steps
def test_a_renewed_claim_ends_in_its_time(queue, clock, step):
    queue.post("a", "b")
    held = [queue.claim(1, ttl=60), queue.claim(1, ttl=60)]
    clock.step(step)
    clock.advance(30)
    queue.renew(held[0].id, ttl=60)
    assert queue.renew_all([held[1].id], ttl=60) == []

    clock.step(-step)
    clock.advance(59)
    assert queue.free() == []
    clock.advance(1)
    assert queue.free() == ["a", "b"]


@steps
@pytest.mark.parametrize("settle", ["delete", "delete_all", "delete_claimed", "reject"])
def test_a_message_with_a_ttl_outlives_its_claim(queue, clock, step, settle):
    queue.post("a", ttl=10)
    held = queue.claim(ttl=60, grace=30)
    (message,) = held.messages
    clock.step(step)

    queue.driver.gc()
    assert queue.claimed_by(held) == ["a"]
    assert queue.all() == ["a"]
    assert queue.get(message["id"])["body"] == "a"
    assert queue.stats()["claimed"] == 1
    if settle == "delete":
        queue.delete(message["id"], held.id)
    elif settle == "delete_all":
        queue.delete_all([message["id"]], claim_ids=[held.id])
    elif settle == "delete_claimed":
        assert queue.delete_claimed([(message["id"], held.id)]) == []
    else:
        assert queue.reject(held) == []
    assert queue.all() == []


@steps
def test_a_claim_that_is_renewed_after_the_step_leaves_its_message_for_the_grace(queue, clock, step):
    queue.post("a", ttl=10)
    held = queue.claim(ttl=60, grace=30)
    clock.step(step)
    clock.advance(20)
    queue.renew(held.id, ttl=60, grace=30)
    clock.advance(60)

    assert queue.free() == ["a"]


def test_the_message_of_a_live_claim_is_not_dead_though_its_ttl_is_over(open_data, clock):
    driver = open_data()
    dead, queue = QueueHandle(driver, "dead", None), QueueHandle(driver, "q", None)
    dead.create()
    queue.create(_dead_letter_queue="dead", _dead_letter_expired=True)
    queue.post("a", ttl=100)
    held = queue.claim(ttl=60)
    clock.step(HOUR)

    assert driver.dead_letter_all() == 0
    assert queue.claimed_by(held) == ["a"]

    clock.advance(60)
    assert driver.dead_letter_all() == 1
    assert dead.free() == ["a"]


def test_expired_messages_are_collected_around_claimed_ones(queue, clock):
    queue.post(*range(30), ttl=10)
    held = queue.claim(10, ttl=60)
    clock.step(HOUR)

    assert queue.driver.gc() == 20
    assert len(queue.claimed_by(held)) == 10
    assert queue.driver.gc() == 0


def test_claimed_messages_whose_ttl_is_over_keep_no_others_from_being_collected(open_data, clock):
    driver = open_data()
    made = [QueueHandle(driver, f"q{number}", None) for number in range(25)]
    for queue in made:
        queue.create()
        queue.post("a", ttl=10)
        queue.claim(ttl=60)
    made[-1].post("b", ttl=10)
    clock.step(HOUR)

    assert driver.gc() == 1


def test_reading_a_queue_of_such_messages_writes_nothing(queue, clock):
    queue.post("a", ttl=10)
    queue.claim(ttl=60)
    clock.step(HOUR)
    begun = []
    queue.driver._database.connection.set_trace_callback(begun.append)

    assert queue.claim().messages == []
    assert queue.count() == 0
    assert "BEGIN IMMEDIATE" not in begun


def test_ttl_and_delay_are_those_of_the_wall_clock(queue, clock):
    queue.post("expires", ttl=100)
    (delayed,) = queue.post("eta", delay=100)
    clock.step(-HOUR)
    clock.advance(200)
    assert queue.all() == ["expires", "eta"]
    assert queue.free() == ["expires"]

    clock.step(HOUR)
    assert queue.free() == ["eta"]
    assert queue.get(delayed)["body"] == "eta"


def test_a_subscription_is_of_the_wall_clock(queue, clock):
    subscriptions = queue.driver.subscription_controller
    made = subscriptions.create("q", "http://subscriber", 100, {})
    clock.step(HOUR)

    assert not subscriptions.exists("q", made)


@steps
def test_a_watch_is_told_of_the_end_of_a_claim_by_the_time_that_passes(queue, clock, step):
    queue.post("a")
    watch = queue.driver.watch([(None, "q")])
    queue.claim(ttl=60)
    watch.wait(0)
    clock.step(step)
    assert not watch.wait(0.1)

    clock.advance(60)
    assert watch.wait(30)
    watch.close()


def test_a_watch_is_told_of_the_end_of_a_delay_by_the_wall_clock(queue, clock):
    watch = queue.driver.watch([(None, "q")])
    queue.post("a", delay=60)
    watch.wait(0)
    clock.step(60)

    assert watch.wait(30)
    watch.close()


@steps
def test_the_claims_of_a_dead_holder_end_after_a_step(queue, clock, step):
    queue.post("a")
    queue.claim(holder="one")
    clock.step(step)

    assert queue.end_claims("one") == 1
    clock.step(-step)
    assert queue.free() == ["a"]


@steps
def test_holders_live_on_and_their_queues_exist(control, clock, step):
    consumers = control.consumers_controller
    expiring(control, Expiry(10))
    consumers.add_holder("q", "consumer", 60)
    expiring(control, OWNER, "owned")
    clock.step(step)

    assert consumers.holders("") == ["consumer", "owner"]
    assert consumers.count("q") == 1
    assert consumers.expired_queues() == []
    assert [state(control, name) for name in ("q", "owned")] == [ACTIVE, ACTIVE]
    assert control.queue_controller.exists("q")

    clock.advance(60)
    assert consumers.holders("") == []
    assert consumers.expired_queues() == []
    clock.advance(10)
    assert consumers.expired_queues() == [(None, "q")]
    assert not control.queue_controller.exists("q")
    clock.advance(50)
    assert consumers.expired_queues() == [(None, "q"), (None, "owned")]


@steps
def test_an_expiring_queue_and_a_queue_in_creation_end_in_their_time(control, clock, step):
    expiring(control, Expiry(100, from_now=True))
    control.catalogue_controller.assign(None, "created", "pool", lease=60)
    clock.step(step)
    clock.advance(59)
    assert control.consumers_controller.expired_queues() == []
    clock.advance(1)
    assert control.consumers_controller.expired_queues() == [(None, "created")]
    clock.advance(40)
    assert state(control) == EXPIRED


def test_when_a_queue_expires_is_told_by_the_wall_clock(control, clock):
    expiring(control, Expiry(100, from_now=True))
    clock.advance(40)
    for step in (0, HOUR, -2 * HOUR):
        clock.step(step)
        assert control.catalogue_controller.find_until(None, "q")[1] == clock.time() + 60


@steps
def test_a_reservation_of_dead_letters_ends_in_its_time(queue, open_data, clock, step):
    reserve_dead_letter(queue, clock)
    queue.driver.dead_letter_hooks.publish = lambda *_: True
    clock.step(step)

    assert queue.driver.dead_letter_all() == 0
    clock.advance(RESERVATION_TTL)
    assert queue.driver.dead_letter_all() == 1


# The machine is suspended: time passes on both lines, and no process runs.


def test_what_ends_while_the_machine_is_suspended_has_ended(queue, control, clock):
    queue.post("a")
    held = queue.claim(ttl=60)
    expiring(control, OWNER)
    clock.advance(HOUR)

    assert queue.renew_all([held.id]) == [held.id]
    assert queue.free() == ["a"]
    assert control.consumers_controller.expired_queues() == [(None, "q")]


# The boot is unknown.


def test_the_health_tells_the_clock(open_data, clock):
    assert open_data().health()["clock"] == "boot"
    clock.boot = ""
    assert open_data().health()["clock"] == "wall"


def test_without_a_boot_the_wall_clock_counts(clock, open_data, open_control):
    clock.boot = ""
    queue, control = QueueHandle(open_data(), "q", None), open_control()
    queue.create()
    queue.post("a", ttl=10)
    held = queue.claim(ttl=60)
    expiring(control, OWNER)
    clock.passed = 0
    assert again(queue, open_data).claimed_by(held) == ["a"]
    assert control.consumers_controller.holders("own") == ["owner"]

    clock.step(59)
    assert queue.claimed_by(held) == ["a"]
    clock.step(1)
    with pytest.raises(ClaimDoesNotExist):
        queue.claim_of(held.id)
    assert control.consumers_controller.holders("own") == []
    clock.step(60)
    assert control.consumers_controller.expired_queues() == [(None, "q")]


def test_a_restart_to_an_unknown_boot_ends_claims_too(queue, open_data, clock):
    queue.post("a")
    queue.claim(ttl=600)
    clock.boot = ""
    held = again(queue, open_data).claim(ttl=600)
    assert bodies(held) == ["a"]
    clock.restart("next")

    assert bodies(again(queue, open_data).claim()) == ["a"]


def test_the_processes_of_this_machine_agree(uri):
    first, second = drivers.open_data(uri), drivers.open_data(f"{uri}&busy_timeout=10")
    queue, other = (QueueHandle(driver, "q", None) for driver in (first, second))
    queue.create()
    queue.post("a")
    held = queue.claim()

    assert other.claimed_by(held) == ["a"]
    assert second.health()["clock"] == ("boot" if SYSTEM_CLOCK.boot_id() else "wall")
    first.close()
    second.close()
