"""Defects of Zaqar that this contract excludes: each test names what should have happened there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu_pool import errors
from kombu_pool.testing.handles import QueueHandle, bodies, ids, page_of

if TYPE_CHECKING:
    from kombu_pool.storage import ControlDriver, DataDriver
    from kombu_pool.testing.backend import Backend
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue

# Claims.


def test_a_free_message_before_a_claimed_one_does_not_make_it_claimable(queue: QueueHandle) -> None:
    queue.post("m0", "m1", "m2")
    first = queue.claim(limit=2)
    held = queue.claim(limit=1)
    queue.end(first.id)

    again = queue.claim(limit=3)

    assert bodies(again) == ["m0", "m1"]
    assert queue.delete_claimed([(ids(held)[0], held.id)]) == []


def test_a_free_message_before_a_delayed_one_does_not_make_it_claimable(queue: QueueHandle) -> None:
    queue.post("free")
    queue.post("delayed", delay=100)
    queue.post("behind")

    assert bodies(queue.claim()) == ["free", "behind"]


def test_a_delay_holds_without_a_default_delay_of_the_queue(queue: QueueHandle) -> None:
    queue.post("delayed", delay=100)

    assert queue.claim() == (None, [])
    assert queue.pop() == []


def test_a_claim_that_finds_nothing_leaves_no_claim_behind(queue: QueueHandle) -> None:
    assert queue.claim().id is None


def test_a_claim_that_dead_letters_all_leaves_no_claim_behind(queues: MakeQueue, clock: ManualClock) -> None:
    queues("dlq")
    queue = queues("queue", _max_claim_count=1, _dead_letter_queue="dlq")
    queue.post("a")
    queue.claim(ttl=10)
    clock.advance(10)

    assert queue.claim() == (None, [])


def test_a_message_that_its_claim_prolonged_is_there_for_as_long_as_it_says(
    queue: QueueHandle, clock: ManualClock
) -> None:
    (message_id,) = queue.post("a", ttl=5)
    held = queue.claim(ttl=600, grace=60)
    clock.advance(599)

    queue.renew(held.id, ttl=600, grace=60)
    clock.advance(599)

    assert queue.get(message_id)["body"] == "a"
    queue.delete(message_id, claim=held.id)


def test_stats_work_after_a_claim_has_expired(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", "b")
    queue.claim(limit=1, ttl=10)
    clock.advance(11)

    stats = queue.stats()

    assert (stats["claimed"], stats["free"], stats["total"]) == (0, 2, 2)


def test_release_does_not_lengthen_the_life_of_a_message(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", ttl=10)
    clock.advance(3)
    held = queue.claim(ttl=1)
    queue.end(held.id)
    clock.advance(7)

    assert queue.all() == []


def test_renewal_does_not_lengthen_the_life_of_a_message_that_outlives_the_claim(
    queue: QueueHandle, clock: ManualClock
) -> None:
    (message_id,) = queue.post("a", ttl=100)
    held = queue.claim(ttl=10)
    clock.advance(5)
    queue.renew(held.id, ttl=10, grace=50)

    assert queue.get(message_id)["ttl"] == 100
    clock.advance(95)
    assert queue.all() == []


def test_renewal_does_not_forget_how_often_a_message_was_lent(queue: QueueHandle, clock: ManualClock) -> None:
    (message_id,) = queue.post("a")
    queue.claim(ttl=10)
    clock.advance(10)
    held = queue.claim(ttl=10)

    queue.renew(held.id)

    assert queue.get(message_id)["claim_count"] == 2


def test_an_expired_claim_does_not_delete(queue: QueueHandle, clock: ManualClock) -> None:
    (message_id,) = queue.post("a")
    held = queue.claim(ttl=10)
    clock.advance(10)

    with pytest.raises(errors.MessageNotClaimed):
        queue.delete(message_id, claim=held.id)


def test_counts_are_kept_without_a_dead_letter_queue(queue: QueueHandle) -> None:
    queue.post("a")
    queue.end(queue.claim().id)

    assert queue.claim().messages[0]["claim_count"] == 2


# Dead letters.


def test_a_dead_letter_is_not_claimed_any_more(queues: MakeQueue, clock: ManualClock) -> None:
    dlq = queues("dlq")
    queue = queues("queue", _max_claim_count=1, _dead_letter_queue="dlq")
    queue.post("a")
    queue.claim(ttl=10)
    clock.advance(10)
    queue.claim()

    assert bodies(dlq.claim()) == ["a"]


def test_a_dead_letter_lives_as_long_as_it_says(queues: MakeQueue, clock: ManualClock) -> None:
    dlq = queues("dlq")
    queue = queues("queue", _max_claim_count=1, _dead_letter_queue="dlq", _dead_letter_queue_messages_ttl=9999)
    queue.post("a", ttl=300)
    queue.claim(ttl=10)
    clock.advance(10)
    queue.claim()

    clock.advance(9998)
    assert dlq.first()["ttl"] == 9999
    clock.advance(1)
    assert dlq.all() == []


def test_dead_letters_of_queues_with_dots_find_their_way(queues: MakeQueue, clock: ManualClock) -> None:
    dlq = queues("dead.letters.of.all", "pro.ject")
    queue = queues("que.ue", "pro.ject", _max_claim_count=1, _dead_letter_queue="dead.letters.of.all")
    queue.post("a")
    queue.claim(ttl=10)
    clock.advance(10)
    queue.claim()

    assert dlq.free() == ["a"]


# Listing.


def test_listing_claimed_messages_needs_no_marker(queue: QueueHandle) -> None:
    queue.post("a")
    queue.claim()

    assert bodies(queue.page(include_claimed=True)[0]) == ["a"]


def test_paging_ends(queue: QueueHandle) -> None:
    queue.post("a", "b")
    marker, seen = None, []

    for _ in range(10):
        page, marker = queue.page(marker=marker, limit=1)
        seen += bodies(page)
        if not page:
            break

    assert seen == ["a", "b"]


def test_paging_through_queues_ends(driver: DataDriver) -> None:
    for name in ("a", "b"):
        driver.queue_controller.create(name)
    marker, seen = None, []

    for _ in range(10):
        page, marker = page_of(driver.queue_controller.list(marker=marker, limit=1))
        seen += [queue["name"] for queue in page]
        if not page:
            break

    assert seen == ["a", "b"]


def test_a_page_of_hidden_messages_does_not_end_the_list(queue: QueueHandle) -> None:
    queue.post(*range(20), client="me")
    queue.post("theirs", client="them")

    assert bodies(queue.page(limit=5, client_uuid="me")[0]) == ["theirs"]


def test_the_marker_may_be_asked_for_before_the_page_is_read(queue: QueueHandle, driver: DataDriver) -> None:
    queue.post("a", "b")
    listing = driver.message_controller.list(queue.name, limit=1)
    _, marker = next(listing), next(listing)

    assert bodies(queue.page(marker=marker)[0]) == ["b"]


def test_names_with_dots_are_listed_whole(driver: DataDriver) -> None:
    for name in ("a.b", "a.c"):
        driver.queue_controller.create(name)

    assert [queue["name"] for queue in page_of(driver.queue_controller.list())[0]] == ["a.b", "a.c"]


def test_a_name_to_look_for_is_no_pattern(driver: DataDriver) -> None:
    driver.queue_controller.create("a+b")
    driver.queue_controller.create("aab")

    assert [queue["name"] for queue in page_of(driver.queue_controller.list(name="a+b"))[0]] == ["a+b"]
    assert page_of(driver.queue_controller.list(name="("))[0] == []


# Reading and popping.


def test_expired_messages_are_not_counted(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", ttl=10)
    queue.post("b")
    clock.advance(10)

    assert queue.stats()["total"] == 1


def test_the_oldest_and_the_newest_show_no_body(queue: QueueHandle) -> None:
    queue.post("secret")

    assert set(queue.stats()["oldest"]) == {"id", "age", "created"}


def test_pop_keeps_the_order_and_the_delay(queue: QueueHandle) -> None:
    queue.post("a", "b", "c")
    queue.post("delayed", delay=60)

    assert bodies(queue.pop(2)) == ["a", "b"]
    assert bodies(queue.pop(2)) == ["c"]


def test_deleting_a_message_that_is_gone_under_a_claim_is_fine(queue: QueueHandle) -> None:
    first, _ = queue.post("a", "b")
    held = queue.claim()
    queue.delete_all([first])

    queue.delete(first, claim=held.id)

    assert queue.claimed_by(held) == ["b"]


# Collecting and deleting.


def test_gc_collects_all_there_is(queue: QueueHandle, driver: DataDriver, clock: ManualClock) -> None:
    queue.post(*range(350), ttl=10)
    clock.advance(11)

    while driver.gc():
        pass

    assert queue.all() == []
    assert queue.stats()["total"] == 0


def test_a_queue_created_again_finds_nothing_of_its_former_life(queue: QueueHandle, driver: DataDriver) -> None:
    queue.post("a", "b")
    held = queue.claim(limit=1)
    driver.subscription_controller.create(queue.name, "http://a", 60, {})
    queue.drop()
    queue.create()
    queue.post("new")

    assert queue.all() == ["new"]
    assert page_of(driver.subscription_controller.list(queue.name))[0] == []
    with pytest.raises(errors.ClaimDoesNotExist):
        queue.claim_of(held.id)


# Absent queues.


def test_an_absent_queue_answers_in_the_shape_of_an_empty_one(absent: QueueHandle) -> None:
    page, marker = absent.page()

    assert (page, marker or None) == ([], None)
    assert absent.pop() == []
    assert tuple(absent.claim()) == (None, [])
    assert absent.get_all([]) == []


def test_confirming_without_saying_so_confirms(queue: QueueHandle, driver: DataDriver) -> None:
    made = driver.subscription_controller.create(queue.name, "http://a", 60, {})
    assert made is not None

    driver.subscription_controller.confirm(queue.name, made)

    assert driver.subscription_controller.get(queue.name, made)["confirmed"] is True


def test_an_expired_subscription_can_be_asked_for(queue: QueueHandle, driver: DataDriver, clock: ManualClock) -> None:
    driver.subscription_controller.create(queue.name, "http://a", 10, {})
    clock.advance(11)

    with pytest.raises(errors.SubscriptionDoesNotExist):
        driver.subscription_controller.get_with_subscriber(queue.name, "http://a")


# The control plane.


def test_creating_a_queue_again_does_not_move_it(driver: DataDriver, queues: MakeQueue) -> None:
    queue = queues("queue", x=1)
    queue.post("a")

    for _ in range(30):
        driver.queue_controller.create("queue")
        driver.queue_controller.set_metadata("queue", {"x": 2})

    assert queue.free() == ["a"]


def test_a_second_project_may_use_the_name_of_a_flavor(control: ControlDriver) -> None:
    control.flavors_controller.create("fast", project="a")
    control.flavors_controller.create("fast", project="b")

    assert control.flavors_controller.exists("fast", project="a")


def test_pools_of_different_stores_stand_side_by_side(control: ControlDriver) -> None:
    control.pools_controller.create("a", 1, "memory://a")
    control.pools_controller.create("b", 1, "sqlite:////tmp/never-opened.db")

    assert [pool["name"] for pool in control.pools_controller.get_pools_by_flavor()] == ["a", "b"]


def test_deleting_a_pool_does_not_unmap_its_queues(control: ControlDriver) -> None:
    control.pools_controller.create("a", 1, "memory://a")
    control.catalogue_controller.insert(None, "q", "a")

    with pytest.raises(errors.PoolInUse):
        control.pools_controller.delete("a")

    assert control.catalogue_controller.exists(None, "q")


def test_a_cleared_flavor_is_none(control: ControlDriver) -> None:
    control.pools_controller.create("a", 1, "memory://a", "fast")

    control.pools_controller.update("a", flavor="")

    assert control.pools_controller.get("a")["flavor"] is None


def test_inserting_for_no_project_twice_is_one_entry(control: ControlDriver) -> None:
    for pool in ("a", "b"):
        control.pools_controller.create(pool, 1, f"memory://{pool}")
        control.catalogue_controller.insert(None, "q", pool)

    assert list(control.catalogue_controller.list(None)) == [{"queue": "q", "project": None, "pool": "b"}]


def test_a_post_of_many_messages_is_one_step(queue: QueueHandle, backend: Backend) -> None:
    with pytest.raises(errors.InvalidMessage):
        queue.post_raw([*({"ttl": 60, "body": number} for number in range(4999)), {"ttl": -1, "body": "bad"}])

    assert QueueHandle(backend.another(), queue.name, None).stats()["total"] == 0
