"""A sealed queue: it stores nothing more, and tells of what it has stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool import errors
from kombu_pool.model import Uniqueness
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import RESERVATION_TTL
from kombu_pool.storage.idempotency import ProducerSequence
from kombu_pool.storage.moving import is_sealed, sealed_incarnation
from kombu_pool.testing.handles import HookCalls, QueueHandle, bodies
from kombu_pool.testing.moves import PROJECT, SEALED, remaining, remove, seal, store, take

if TYPE_CHECKING:
    from kombu_pool.storage import DataDriver, MoveController
    from kombu_pool.testing.backend import Backend
    from kombu_pool.testing.clock import ManualClock


def test_a_sealed_incarnation_is_known_as_one() -> None:
    assert is_sealed(sealed_incarnation())
    assert sealed_incarnation() != sealed_incarnation()
    assert not is_sealed("present")


def test_a_sealed_queue_stores_no_post(source: QueueHandle) -> None:
    source.post("before")
    seal(source)

    for incarnation in (None, "present", SEALED):
        with pytest.raises(errors.QueueDoesNotExist):
            source.driver.message_controller.post(
                source.name, [{"ttl": 0, "body": "late"}], None, PROJECT, incarnation=incarnation
            )

    assert source.free() == ["before"]


def test_a_sealed_queue_stays_sealed_when_its_metadata_change(source: QueueHandle) -> None:
    seal(source)

    source.driver.queue_controller.set_metadata(source.name, {"_max_length": 5}, PROJECT)
    source.driver.queue_controller.set_metadata(source.name, {}, PROJECT)

    for unique in (None, Uniqueness("u", "waiting")):
        with pytest.raises(errors.QueueDoesNotExist):
            source.post("late", unique=unique)
    assert source.all() == []


def test_what_a_sealed_queue_holds_is_claimed_and_settled_as_before(source: QueueHandle) -> None:
    source.post("a", "b", "c")
    held = source.claim(limit=1)
    seal(source)

    claims = source.driver.claim_controller
    with pytest.raises(errors.QueueDoesNotExist):
        claims.create(source.name, {"ttl": 60, "grace": 0}, PROJECT, incarnation="present")
    claim, messages = claims.create(source.name, {"ttl": 60, "grace": 0}, PROJECT, 1, incarnation=SEALED)
    source.renew(held.id)

    assert [message["body"] for message in messages] == ["b"]
    assert source.delete_claimed([(held.messages[0]["id"], held.id), (messages[0]["id"], claim or "")]) == []
    assert remaining(source) == 1


def test_each_method_names_the_incarnation(moves: MoveController, source: QueueHandle) -> None:
    source.post("a")
    named: Any = {"project": PROJECT, "incarnation": "another"}

    for call in (
        lambda: moves.take("source", **named),
        lambda: moves.remove("source", ["1"], **named),
        lambda: moves.remaining("source", **named),
        lambda: moves.set_epoch("source", **named, epoch=1),
        lambda: moves.store("source", [], **named, epoch=1),
        lambda: moves.set_epoch("absent", **named, epoch=1),
    ):
        with pytest.raises(errors.QueueDoesNotExist):
            call()

    assert moves.remaining("absent", **named) == 0
    assert source.free() == ["a"]


def test_a_dead_letter_is_not_stored_in_a_sealed_queue_of_the_same_store(movable: DataDriver) -> None:
    movable.queue_controller.create("letters", {}, PROJECT, incarnation="present")
    dying = QueueHandle(movable, "dying", PROJECT)
    dying.create(_dead_letter_queue="letters", _max_claim_count=1)
    letters = QueueHandle(movable, "letters", PROJECT)
    seal(letters)
    movable.dead_letter_hooks.forward = forwarded = HookCalls()
    dying.post("rejected", "counted")
    held = dying.claim(limit=2)

    dying.reject(held._replace(messages=held.messages[:1]))
    dying.end(held.id)
    assert dying.claim().id is None

    assert sorted(call[2]["body"] for call in forwarded) == ["counted", "rejected"]
    assert remaining(letters) == 0


def test_a_dead_message_keeps_a_queue_from_being_given_up(movable: DataDriver, source: QueueHandle) -> None:
    movable.dead_letter_hooks.forward = hook = HookCalls()
    hook.answer = errors.ConnectionError("unreachable")
    source.post("a")
    seal(source, _dead_letter_queue="elsewhere")

    held = source.claim(limit=1)
    source.reject(held)

    assert source.all() == []
    assert remaining(source) == 1


def test_dead_messages_of_a_queue_that_has_no_target_any_more_are_deleted(
    movable: DataDriver, source: QueueHandle, clock: ManualClock
) -> None:
    movable.dead_letter_hooks.forward = hook = HookCalls()
    hook.answer = errors.ConnectionError("unreachable")
    metadata = {"_dead_letter_queue": "elsewhere", "_dead_letter_expired": True, "_max_length": 2}
    movable.queue_controller.set_metadata("source", metadata, PROJECT)
    source.post("displaced", ttl=500)
    source.post("rejected", ttl=500)
    source.post("expired", ttl=10)
    source.reject(source.claim(limit=1))
    source.post("kept")
    clock.advance(20)
    movable.dead_letter_all()
    seal(source, **metadata)
    before = remaining(source)

    movable.queue_controller.set_metadata("source", {}, PROJECT)
    movable.dead_letter_all()

    assert (before, remaining(source)) == (4, 1)
    assert source.free() == ["kept"]


def test_a_dead_message_waits_for_a_process_that_can_publish_it(movable: DataDriver, source: QueueHandle) -> None:
    metadata = {"_dead_letter_exchange": "dead"}
    movable.queue_controller.set_metadata("source", metadata, PROJECT)
    source.post("rejected")
    source.reject(source.claim(limit=1))
    seal(source, **metadata)

    movable.dead_letter_all()
    waiting = remaining(source)
    movable.dead_letter_hooks.publish = published = HookCalls()
    movable.dead_letter_all()

    assert (waiting, remaining(source)) == (1, 0)
    assert [call[3]["body"] for call in published] == ["rejected"]


@pytest.mark.usefixtures("movable")
@pytest.mark.parametrize(("is_rejected", "target"), [(False, None), (False, "nowhere"), (True, "nowhere")])
def test_an_unreadable_dead_letter_is_not_stored_in_a_sealed_queue(
    leaf: Backend, clock: ManualClock, is_rejected: bool, target: str | None
) -> None:
    driver, queue = leaf.driver, QueueHandle(leaf.driver, "queue", PROJECT)
    driver.queue_controller.create(UNREADABLE_QUEUE, {}, PROJECT, incarnation="present")
    unreadable = QueueHandle(driver, UNREADABLE_QUEUE, PROJECT)
    seal(unreadable)
    queue.create(_dead_letter_queue=target)
    broken, _ = queue.post("broken", "whole")
    held = queue.claim(limit=1) if is_rejected else None
    leaf.corrupt("queue", broken, PROJECT)
    driver.dead_letter_hooks.forward = forwarded = HookCalls()
    forwarded.answer = False

    if held is not None:
        queue.reject(held)
    claimed = queue.claim(limit=2)
    driver.dead_letter_all()
    queue.end(claimed.id)
    asked = {call[1] for call in forwarded}
    forwarded.clear()
    forwarded.answer = True
    for _ in range(2):
        clock.advance(RESERVATION_TTL + 60)
        queue.claim()
        driver.dead_letter_all()

    assert bodies(claimed) == ["whole"]
    assert asked == {UNREADABLE_QUEUE, target or UNREADABLE_QUEUE}
    assert [call[2]["body"]["record"] for call in forwarded] == [b"\xc1"]
    assert remaining(unreadable) == 0


def test_a_completed_post_is_known_in_a_sealed_queue(
    movable: DataDriver, moves: MoveController, source: QueueHandle
) -> None:
    producer, other = ProducerSequence(), ProducerSequence()
    key = producer.next_key()
    posted = source.post("a", idempotency_key=key)
    several = other.next_key()
    both = source.post("b", "c", idempotency_key=several)
    source.pop()
    seal(source)

    assert list(moves.completed_post("source", key, PROJECT) or ()) == posted
    assert list(moves.completed_post("source", several, PROJECT) or ()) == both
    assert moves.completed_post("source", producer.next_key(), PROJECT) is None
    assert moves.completed_post("source", ProducerSequence().next_key(), PROJECT) is None
    assert moves.completed_post("absent", key, PROJECT) is None
    assert source.all() == []


def test_a_completed_post_has_the_ids_that_it_returned_whatever_its_messages_are(
    moves: MoveController, source: QueueHandle
) -> None:
    posts: list[list[Any]] = [
        [{"ttl": 0, "body": body, "priority": body} for body in range(3)],
        [{"ttl": 0, "body": 1, "unique": Uniqueness("u", "waiting"), "key": "k"}, {"ttl": 0, "body": 2}],
        [{"ttl": 0, "body": 2}, {"ttl": 0, "body": 3, "unique": Uniqueness("u", "waiting")}],
    ]
    keys = [ProducerSequence().next_key() for _ in posts]
    returned = [source.post_raw(messages, idempotency_key=key) for messages, key in zip(posts, keys, strict=True)]
    seal(source)

    completed = [list(moves.completed_post("source", key, PROJECT) or ()) for key in keys]

    assert completed == returned
    assert completed[2][1] == completed[1][0]
    assert getattr(completed[2][1], "key", None) == "k"


def test_the_holder_of_a_unique_id_is_found_also_when_it_is_put_aside(
    moves: MoveController, source: QueueHandle, target: QueueHandle
) -> None:
    (held,) = source.post("a", unique=Uniqueness("u", "unfinished"), key="k")
    seal(source)

    found = moves.unique_holder("source", "u", PROJECT)
    batch = take(source)
    aside = moves.unique_holder("source", "u", PROJECT)
    store(target, batch)
    remove(source, batch)

    assert (found, aside) == (held, held)
    assert aside is not None
    assert aside.key == "k"
    assert moves.unique_holder("source", "u", PROJECT) is None
    assert moves.unique_holder("target", "u", PROJECT) is not None


def test_an_id_that_is_held_for_a_time_keeps_a_queue_from_being_given_up(
    source: QueueHandle, clock: ManualClock
) -> None:
    source.post("a", unique=Uniqueness("u", 30.0))
    source.pop()
    seal(source)

    assert remaining(source) == 1
    clock.advance(31)
    assert remaining(source) == 0


def test_a_queue_is_deleted_with_what_is_put_aside(movable: DataDriver, source: QueueHandle) -> None:
    source.post("a")
    seal(source)
    take(source)

    movable.queue_controller.delete("source", PROJECT, incarnation=SEALED)
    movable.queue_controller.create("source", {}, PROJECT, incarnation=SEALED)

    assert list(take(source)) == []
    assert remaining(source) == 0
