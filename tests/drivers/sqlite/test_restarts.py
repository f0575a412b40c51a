from __future__ import annotations

import pytest

from kombu_pool import drivers
from kombu_pool.errors import ClaimDoesNotExist, MessageDoesNotExist
from kombu_pool.model import ACTIVE, EXPIRED, Expiry
from kombu_pool.testing import ManualClock, QueueHandle, bodies
from tests.support.sqlite.lives import OWNER, again, expiring, reserve_dead_letter, state

HOUR = 3600.0


@pytest.mark.parametrize("away", [1, HOUR, -HOUR])
def test_after_a_restart_all_claims_have_ended(queue, open_data, clock, away):
    queue.post("a", "b")
    held = queue.claim(1, ttl=600)
    queue.claim(1, ttl=600)
    clock.restart("next", away)

    restarted = again(queue, open_data)
    with pytest.raises(ClaimDoesNotExist):
        restarted.claim_of(held.id)
    assert restarted.stats()["free"] == 2
    claim = restarted.claim()
    assert bodies(claim) == ["a", "b"]
    assert [message["claim_count"] for message in claim.messages] == [2, 2]

    clock.advance(59)
    assert again(queue, open_data).claim().messages == []


def test_only_the_first_of_a_boot_ends_claims(queue, open_data, clock):
    queue.post("a")
    clock.restart("next")
    held = again(queue, open_data).claim()

    assert again(queue, open_data).claimed_by(held) == ["a"]


def test_a_claim_of_a_moment_that_this_boot_has_not_reached_is_not_live(queue, open_data, clock):
    clock.advance(10 * HOUR)
    queue.post("a")
    held = queue.claim(ttl=60)
    clock.restart("next")
    watching = again(queue, open_data)

    assert watching.claim_by_id([held.messages[0]["id"]]).id is not None


def test_what_is_refused_and_rejected_after_a_restart(queue, open_data, clock):
    queue.post("a")
    held = queue.claim(ttl=600)
    clock.restart("next")
    restarted, pair = again(queue, open_data), (held.messages[0]["id"], held.id)

    assert restarted.delete_claimed([pair]) == [pair]
    assert restarted.reject(held) == [pair]
    assert restarted.renew_all([held.id]) == [held.id]
    assert restarted.free() == ["a"]


def test_a_watch_of_the_next_boot_is_told_at_once(queue, open_data, clock):
    queue.post("a")
    queue.claim(ttl=600)
    clock.restart("next")
    watch = again(queue, open_data).driver.watch([(None, "q")])

    assert watch.wait(30)
    watch.close()


def test_messages_and_delays_outlive_a_restart_by_the_wall_clock(queue, open_data, clock):
    queue.post("expires", ttl=100)
    queue.post("eta", delay=100)
    clock.restart("next", 99)
    restarted = again(queue, open_data)
    assert restarted.free() == ["expires"]
    clock.advance(1)
    assert restarted.free() == ["eta"]


def test_a_claimed_message_that_expired_while_the_machine_was_off_is_gone(queue, open_data, clock):
    (message_id,) = queue.post("a", ttl=100)
    queue.claim(ttl=60)
    clock.restart("next", HOUR)

    with pytest.raises(MessageDoesNotExist):
        again(queue, open_data).get(message_id)


def test_a_reservation_ends_with_its_boot(queue, open_data, clock):
    reserve_dead_letter(queue, clock)
    clock.restart("next")
    driver = open_data()
    driver.dead_letter_hooks.publish = lambda *_: True

    assert driver.dead_letter_all() == 1


def test_after_a_restart_holders_are_gone_and_lifetimes_begin_again(control, open_control, clock):
    expiring(control, Expiry(100, from_now=True))
    clock.advance(90)
    control.consumers_controller.add_holder("consumed", "consumer", 60)
    control.consumers_controller.set_lifetime("consumed", 50)
    expiring(control, OWNER, "owned")
    expiring(control, Expiry(10), "never-used")
    clock.restart("next", HOUR)
    restarted = open_control()
    consumers = restarted.consumers_controller

    assert consumers.holders("") == []
    assert consumers.count("consumed") == 0
    assert consumers.renew(["consumer", "owner"], 60) == ["consumer", "owner"]
    assert consumers.expired_queues() == []
    assert restarted.catalogue_controller.find_until(None, "q")[1] == clock.time() + 100
    clock.advance(50)
    assert consumers.expired_queues() == [(None, "consumed")]
    clock.advance(10)
    assert consumers.expired_queues() == [(None, "consumed"), (None, "owned")]
    assert consumers.expire("owned")
    clock.advance(40)
    assert (state(restarted), state(restarted, "never-used")) == (EXPIRED, ACTIVE)


def test_a_copy_of_another_machine_is_of_another_boot(open_data, clock, path, tmp_path):
    driver = open_data()
    queue = QueueHandle(driver, "q", None)
    queue.create()
    queue.post("a")
    queue.claim(ttl=600)
    driver.close()
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())

    elsewhere = drivers.open_data(f"sqlite:///{copy}", clock=ManualClock(boot="elsewhere"))
    assert QueueHandle(elsewhere, "q", None).free() == ["a"]
    elsewhere.close()
