"""What a store does for moving a queue: it gives batches away, and takes them, each message once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool import codec, errors
from kombu_pool.model import Uniqueness
from kombu_pool.moves import MovedMessage
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.moving import CLOSED
from kombu_pool.testing.handles import QueueHandle, bodies
from kombu_pool.testing.moves import PROJECT, SEALED, move, remaining, remove, seal, store, take

if TYPE_CHECKING:
    from kombu_pool.storage import DataDriver, MoveController
    from kombu_pool.testing.backend import Backend
    from kombu_pool.testing.clock import ManualClock


def test_messages_move_with_all_that_a_store_keeps_of_them(
    source: QueueHandle, target: QueueHandle, clock: ManualClock
) -> None:
    source.post("plain", client="producer-1")
    source.post("urgent", priority=7, key="k")
    source.post("ends", ttl=1000)
    source.post("later", delay=100, ttl=500)
    source.post("held", unique=Uniqueness("u", "unfinished"))
    source.release(*released(source.claim(limit=1)))  # the urgent one
    clock.advance(10)
    seal(source)

    move(source, target)

    assert remaining(source) == 0
    assert target.free() == ["urgent", "plain", "ends", "held"]
    moved = {message["body"]: message for message in target.page(limit=0, include_delayed=True)[0]}
    assert moved["urgent"]["priority"] == 7
    assert moved["urgent"]["key"] == "k"
    assert moved["urgent"]["claim_count"] == 1
    assert [moved[body]["ttl"] for body in ("plain", "ends", "later")] == [0, 1000, 500]
    assert [message["age"] for message in moved.values()] == [10] * 5
    assert (
        target.page(limit=0, client_uuid="producer-1")[0]
        == [*target.page(limit=0, echo=True)[0]][:1] + [*target.page(limit=0, echo=True)[0]][2:]
    )
    present = target.post("again", unique=Uniqueness("u", "unfinished"))
    assert present == [moved["held"]["id"]]
    assert target.delayed() == ["later"]
    clock.advance(91)
    assert target.free() == ["urgent", "plain", "ends", "held", "later"]
    clock.advance(400)
    assert target.free() == ["urgent", "plain", "ends", "held"]
    clock.advance(500)
    assert target.free() == ["urgent", "plain", "held"]


def released(claim: Any) -> tuple[str, list[str]]:
    return claim.id, [message["id"] for message in claim.messages]


def test_a_dead_letter_keeps_its_header(source: QueueHandle, target: QueueHandle) -> None:
    header = {"queue": "origin", "reason": "rejected", "time": 5.0, "count": 3}
    source.post("letter", dead_letter=header)
    seal(source)

    move(source, target)

    assert target.page()[0][0]["dead_letter"] == header


def test_a_batch_comes_before_all_posts_and_keeps_its_order(source: QueueHandle, target: QueueHandle) -> None:
    target.post("new 1")
    source.post(*range(250))
    seal(source)

    move(source, target)
    target.post("new 2")

    assert target.free() == [*range(250), "new 1", "new 2"]


def test_a_message_that_cannot_be_decoded_moves_as_it_is(
    leaf: Backend, source: QueueHandle, target: QueueHandle
) -> None:
    (message_id,) = source.post("broken")
    leaf.corrupt("source", message_id, PROJECT)
    seal(source)

    move(source, target)

    assert remaining(source) == 0
    with pytest.raises(errors.CorruptRecord):
        target.free()


@pytest.mark.parametrize(("created", "ttl"), [(math.nan, 0), (math.inf, 0), (0, math.nan)])
def test_a_message_of_impossible_times_moves_as_it_is(
    leaf: Backend, source: QueueHandle, target: QueueHandle, created: float, ttl: float
) -> None:
    (message_id,) = source.post("corrupt")
    leaf.set_times("source", message_id, created, ttl, PROJECT)
    source.post("next")
    seal(source)

    move(source, target)

    assert remaining(source) == 0
    assert bodies(target.claim()) == ["next"]
    assert QueueHandle(target.driver, UNREADABLE_QUEUE, PROJECT).count() == 1


def test_what_is_put_aside_is_in_no_state(source: QueueHandle, clock: ManualClock) -> None:
    source.post("a", ttl=50, key="k")
    source.post("b", delay=20)
    seal(source)

    batch = take(source)
    clock.advance(100)

    assert len(batch) == 2
    assert source.all() == []
    assert source.find("k") == []
    assert source.claim().id is None
    assert source.stats()["total"] == 0
    assert source.purge() == 0
    assert source.driver.gc() >= 0
    assert remaining(source) == 2
    assert take(source) == batch


def test_a_batch_is_given_again_until_it_is_removed(source: QueueHandle, leaf: Backend) -> None:
    source.post("a", "b", "c")
    seal(source)
    another = leaf.another().move_controller

    first = take(source, limit=2)
    again = another.take("source", PROJECT, 10, incarnation=SEALED)
    remove(source, first)
    remove(source, first)
    rest = take(source)

    assert again == first
    assert [len(first), len(rest)] == [2, 1]
    remove(source, rest)
    assert list(take(source)) == []
    assert remaining(source) == 0


def test_a_batch_of_delayed_messages_leaves_the_free_ones(source: QueueHandle, target: QueueHandle) -> None:
    source.post("free")
    source.post("later", delay=100)
    seal(source)

    batch = take(source, delayed=True)
    store(target, batch)
    remove(source, batch)

    assert list(take(source, delayed=True)) == []
    assert source.free() == ["free"]
    assert target.delayed() == ["later"]


def test_claimed_messages_are_not_taken_and_move_once_they_are_free(
    source: QueueHandle, target: QueueHandle, clock: ManualClock
) -> None:
    source.post("a", "b")
    source.claim(limit=1, ttl=60)
    seal(source)

    move(source, target)

    assert target.free() == ["b"]
    assert remaining(source) == 1
    clock.advance(61)
    move(source, target)
    assert remaining(source) == 0
    assert bodies(target.claim()) == ["b", "a"]


def test_a_stored_batch_is_not_stored_again(source: QueueHandle, target: QueueHandle) -> None:
    source.post("a", "b")
    seal(source)
    batch = take(source)

    store(target, batch)
    taken = target.pop()
    store(target, batch)

    assert [message["body"] for message in taken] == ["a", "b"]
    assert target.all() == []
    ids = target.driver.move_controller.set_epoch("target", PROJECT, incarnation="opened", epoch=1)
    assert list(ids) == [message.id for message in batch]


def test_a_process_of_an_older_epoch_stores_nothing(source: QueueHandle, target: QueueHandle, leaf: Backend) -> None:
    source.post("a")
    seal(source)
    batch = take(source)
    moves = leaf.another().move_controller
    moves.set_epoch("target", PROJECT, incarnation="opened", epoch=2)

    with pytest.raises(errors.MoveSuperseded):
        store(target, batch, epoch=1)
    with pytest.raises(errors.MoveSuperseded):
        moves.set_epoch("target", PROJECT, incarnation="opened", epoch=1)

    assert target.all() == []
    store(target, batch, epoch=2)
    assert target.free() == ["a"]


def test_a_later_process_learns_the_last_batch(source: QueueHandle, target: QueueHandle, leaf: Backend) -> None:
    source.post("a", "b", "c")
    seal(source)
    batch = take(source, limit=2)
    store(target, batch)
    moves = leaf.another().move_controller

    last = moves.set_epoch("target", PROJECT, incarnation="opened", epoch=2)
    store(target, take(source), epoch=2)

    assert list(last) == [message.id for message in batch]
    assert target.free() == ["a", "b"]


def test_a_closed_queue_stores_no_batch(moves: MoveController, source: QueueHandle, target: QueueHandle) -> None:
    source.post("a")
    seal(source)
    batch = take(source)

    moves.set_epoch("target", PROJECT, incarnation="opened", epoch=CLOSED)

    with pytest.raises(errors.MoveSuperseded):
        store(target, batch)
    moves.set_epoch("target", PROJECT, incarnation="opened", epoch=CLOSED)


def test_another_incarnation_begins_without_an_epoch(moves: MoveController, target: QueueHandle) -> None:
    moves.set_epoch("target", PROJECT, incarnation="opened", epoch=CLOSED)

    assert target.driver.queue_controller.create("target", {}, PROJECT, incarnation="later", replaces="opened")

    assert list(moves.set_epoch("target", PROJECT, incarnation="later", epoch=1)) == []
    moves.store("target", [MovedMessage("1", _record(), 1.0, 0)], PROJECT, incarnation="later", epoch=1)
    assert target.count() == 1


def _record() -> bytes:
    return codec.encode("body", 1000)


def test_a_message_whose_expiry_is_over_ends_as_one_that_expired_here(
    movable: DataDriver, moves: MoveController, clock: ManualClock
) -> None:
    metadata = {"_dead_letter_queue": "letters", "_dead_letter_expired": True}
    for name in ("letters", "target"):
        movable.queue_controller.create(name, metadata if name == "target" else {}, PROJECT, incarnation=name)
    moves.set_epoch("target", PROJECT, incarnation="target", epoch=1)
    now = clock.time()

    moves.store(
        "target",
        [MovedMessage(end, _record(), now - 10, 5, expires=now + int(end)) for end in ("-5", "5")],
        PROJECT,
        incarnation="target",
        epoch=1,
    )

    assert QueueHandle(movable, "target", PROJECT).count() == 1
    clock.advance(6)
    assert QueueHandle(movable, "target", PROJECT).count() == 0
    movable.dead_letter_all()
    assert QueueHandle(movable, "letters", PROJECT).count() == 2


def test_a_unique_message_gives_way_to_one_that_was_posted_meanwhile(source: QueueHandle, target: QueueHandle) -> None:
    source.post("old", unique=Uniqueness("u", "waiting"))
    seal(source)
    batch = take(source)
    target.post("new", unique=Uniqueness("u", "waiting"))

    store(target, batch)

    assert target.free() == ["old", "new"]


def test_the_paused_state_is_the_queues_own(source: QueueHandle, target: QueueHandle) -> None:
    source.post("a")
    source.pause()
    seal(source)

    move(source, target)

    assert bodies(target.claim()) == ["a"]
