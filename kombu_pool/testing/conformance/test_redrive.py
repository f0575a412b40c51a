"""Redriving dead letters to the queues that they came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool import errors
from kombu_pool.testing.handles import QueueHandle, bodies, ids

if TYPE_CHECKING:
    from kombu_pool.testing.backend import Backend
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue


@pytest.fixture
def origin(queues: MakeQueue, dlq: QueueHandle) -> QueueHandle:
    """A queue whose messages go to ``dlq`` when they were claimed twice, are rejected or expire."""
    return queues("origin", _max_claim_count=2, _dead_letter_queue="dlq", _dead_letter_expired=True)


def post_and_reject(queue: QueueHandle, *bodies: Any, **options: Any) -> None:
    """Post messages and reject them, and wait for their dead-lettering."""
    posted = queue.post(*bodies, **options)
    assert queue.reject(queue.claim_by_id(posted)) == []
    while queue.driver.dead_letter_all():
        pass


def dead_letter(body: Any, queue: str = "origin", reason: str = "rejected", **options: Any) -> dict[str, Any]:
    """Return a dead letter as another store forwards it."""
    header = {"queue": queue, "reason": reason, "time": 1.0, "count": 1}
    return {"ttl": None, "body": body, "dead_letter": header, **options}


def test_dead_letters_go_back_in_their_order_and_begin_anew(origin: QueueHandle, dlq: QueueHandle) -> None:
    post_and_reject(origin, "a", "b", {"deep": [b"\x00"]}, ttl=100)
    origin.post("waits")

    done = dlq.redrive()

    assert (done.moved, done.remaining, done.refusals, done.duplicated) == ({"origin": 3}, {}, {}, 0)
    assert (done.seen, done.total) == (3, 3)
    assert dlq.all() == []
    messages = origin.page(limit=0)[0]
    assert bodies(messages) == ["waits", "a", "b", {"deep": [b"\x00"]}]
    assert [(message["claim_count"], message["claim_id"]) for message in messages] == [(0, None)] * 4
    assert [message["ttl"] for message in messages] == [0] * 4
    assert not any("dead_letter" in message for message in messages)


def test_priorities_are_kept(origin: QueueHandle, dlq: QueueHandle) -> None:
    post_and_reject(origin, "low", "low too")
    post_and_reject(origin, "high", priority=9)

    dlq.redrive()

    assert origin.free() == ["high", "low", "low too"]
    assert origin.first()["priority"] == 9


def test_lendings_are_counted_afresh(origin: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    origin.post("a")
    for _ in range(2):
        origin.claim(ttl=10)
        clock.advance(10)
    assert origin.claim() == (None, [])
    dlq.redrive()

    counts = []
    while held := origin.claim(ttl=10).messages:
        counts.append(held[0]["claim_count"])
        clock.advance(10)

    assert counts == [1, 2]
    assert (origin.all(), dlq.free()) == ([], ["a"])


def test_what_expired_lives_on_for_as_long_as_its_queue_lets_messages_live(
    queues: MakeQueue, dlq: QueueHandle, clock: ManualClock
) -> None:
    queue = queues("brief", _default_message_ttl=50, _dead_letter_queue="dlq", _dead_letter_expired=True)
    queue.post("a", ttl=5)
    clock.advance(5)
    queue.driver.dead_letter_all()
    clock.advance(1000)

    assert dlq.redrive().moved == {"brief": 1}

    assert queue.first()["ttl"] == 50
    clock.advance(49)
    assert queue.free() == ["a"]
    clock.advance(1)
    assert queue.free() == []


def test_a_queue_that_delays_its_messages_does_not_delay_these(queues: MakeQueue, dlq: QueueHandle) -> None:
    queue = queues("slow", _default_message_delay=100, _dead_letter_queue="dlq")
    post_and_reject(queue, "a", delay=0)

    dlq.redrive()

    assert bodies(queue.claim()) == ["a"]


def test_letters_of_several_queues_each_find_their_own(
    queues: MakeQueue, origin: QueueHandle, dlq: QueueHandle
) -> None:
    other = queues("other", _dead_letter_queue="dlq")
    for number in range(3):
        post_and_reject(origin, f"m{number}")
        post_and_reject(other, f"o{number}")

    assert dlq.redrive().moved == {"origin": 3, "other": 3}

    assert (origin.free(), other.free()) == (["m0", "m1", "m2"], ["o0", "o1", "o2"])


def test_they_can_be_given_to_another_queue(queues: MakeQueue, origin: QueueHandle, dlq: QueueHandle) -> None:
    post_and_reject(origin, "a", "b")
    rescue = queues("rescue")

    assert dlq.redrive(target="rescue").moved == {"rescue": 2}

    assert (origin.all(), rescue.free(), dlq.all()) == ([], ["a", "b"], [])


def test_no_more_than_the_limit_go(origin: QueueHandle, dlq: QueueHandle) -> None:
    post_and_reject(origin, *range(250))

    assert dlq.redrive(limit=3).moved == {"origin": 3}
    assert dlq.redrive(limit=120).moved == {"origin": 120}

    assert origin.free() == list(range(123))
    assert dlq.free() == list(range(123, 250))
    assert {message["claim_count"] for message in dlq.page(limit=0)[0]} == {0}


def test_only_those_of_a_reason_go(origin: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    post_and_reject(origin, "rejected")
    origin.post("expired", ttl=10)
    clock.advance(10)
    origin.driver.dead_letter_all()

    assert dlq.redrive(reasons=["expired"]).moved == {"origin": 1}

    assert (origin.free(), dlq.free()) == (["expired"], ["rejected"])


def test_only_those_of_a_queue_go(queues: MakeQueue, origin: QueueHandle, dlq: QueueHandle) -> None:
    other = queues("other", _dead_letter_queue="dlq")
    post_and_reject(origin, "m")
    post_and_reject(other, "o")

    assert dlq.redrive(origins={"other"}).moved == {"other": 1}

    assert (origin.free(), other.free(), dlq.free()) == ([], ["o"], ["m"])


def test_only_those_that_are_named_go(origin: QueueHandle, dlq: QueueHandle) -> None:
    post_and_reject(origin, *"abcd")
    dead_letters = dlq.page()[0]

    done = dlq.redrive(message_ids=[dead_letters[2]["id"], dead_letters[1]["id"], "nonsense"])

    assert done.moved == {"origin": 2}
    assert (origin.free(), dlq.free()) == (["b", "c"], ["a", "d"])


def test_what_stays_was_not_lent(origin: QueueHandle, dlq: QueueHandle) -> None:
    post_and_reject(origin, "a")
    dlq.post("no dead letter")

    dlq.redrive(reasons=["expired"])
    dlq.redrive(origins=["other"])
    dlq.redrive(message_ids=[])

    assert [message["claim_count"] for message in dlq.page()[0]] == [0, 0]


def test_what_is_no_dead_letter_stays(origin: QueueHandle, dlq: QueueHandle) -> None:
    dlq.post("before")
    post_and_reject(origin, "a")
    dlq.post("behind")

    done = dlq.redrive()

    assert (done.moved, done.seen) == ({"origin": 1}, 3)
    assert dlq.free() == ["before", "behind"]


def test_what_is_claimed_or_delayed_stays(origin: QueueHandle, dlq: QueueHandle) -> None:
    post_and_reject(origin, "claimed", "free")
    held = dlq.claim(limit=1)
    dlq.post_raw([dead_letter("delayed", delay=100)])

    assert dlq.redrive().moved == {"origin": 1}

    assert origin.free() == ["free"]
    assert dlq.all() == ["claimed", "delayed"]
    assert dlq.claimed_by(held) == ["claimed"]


def test_what_cannot_be_read_stays(backend: Backend, origin: QueueHandle, dlq: QueueHandle) -> None:
    backend.corrupt("origin", *origin.post("a"))
    assert origin.claim() == (None, [])
    post_and_reject(origin, "b")

    assert dlq.redrive().moved == {"origin": 1}

    assert [body["record"] for body in dlq.free()] == [b"\xc1"]


def test_a_queue_that_is_gone_gets_nothing_and_stops_no_other(
    queues: MakeQueue, origin: QueueHandle, dlq: QueueHandle
) -> None:
    gone = queues("gone", _dead_letter_queue="dlq")
    post_and_reject(gone, "g1", "g2")
    post_and_reject(origin, "m")
    gone.drop()

    done = dlq.redrive()

    assert (done.moved, done.remaining) == ({"origin": 1}, {"gone": 2})
    assert isinstance(done.refusals["gone"], errors.QueueDoesNotExist)
    dead_letters = dlq.page()[0]
    assert bodies(dead_letters) == ["g1", "g2"]
    assert [message["claim_count"] for message in dead_letters] == [0, 0]


def test_a_full_queue_takes_what_it_has_room_for(queues: MakeQueue, dlq: QueueHandle) -> None:
    full = queues("full", _max_length=3, _overflow="reject-publish", _dead_letter_queue="dlq")
    post_and_reject(full, "a", "b")
    post_and_reject(full, "c", "d")
    full.post("waits")

    done = dlq.redrive()

    assert (done.moved, done.remaining) == ({"full": 2}, {"full": 2})
    assert isinstance(done.refusals["full"], errors.QueueIsFull)
    assert full.free() == ["waits", "a", "b"]
    assert dlq.free() == ["c", "d"]
    assert dlq.stats()["claimed"] == 0


def test_a_queue_that_makes_room_buries_its_first_for_them(queues: MakeQueue, dlq: QueueHandle) -> None:
    short = queues("short", _max_length=2, _dead_letter_queue="dlq")
    post_and_reject(short, "a")
    short.post("b", "c")

    assert dlq.redrive().moved == {"short": 1}

    assert short.free() == ["c", "a"]
    assert dlq.free() == ["b"]


def test_a_queue_or_a_target_that_does_not_exist_is_an_error(
    absent: QueueHandle, origin: QueueHandle, dlq: QueueHandle
) -> None:
    post_and_reject(origin, "a")

    with pytest.raises(errors.QueueDoesNotExist, match="'absent'"):
        absent.redrive()
    with pytest.raises(errors.QueueDoesNotExist, match="'nowhere'"):
        dlq.redrive(target="nowhere")

    assert dlq.free() == ["a"]


def test_letters_that_die_again_at_once_are_given_back_once(queues: MakeQueue, dlq: QueueHandle) -> None:
    """The queue dead-letters every message but the last."""
    queue = queues("one", _max_length=1, _dead_letter_queue="dlq")
    queue.post(*range(150))
    assert dlq.count() == 149

    done = dlq.redrive()

    assert sum(done.moved.values()) == 149
    assert sorted(dlq.free() + queue.free()) == list(range(150))


def test_a_queue_can_be_its_own_dead_letter_queue(queues: MakeQueue) -> None:
    queue = queues("own", _dead_letter_queue="own")
    post_and_reject(queue, "a", "b")

    assert queue.redrive().moved == {"own": 2}

    assert queue.free() == ["a", "b"]
    assert not any("dead_letter" in message for message in queue.page()[0])


def test_who_wants_to_is_told_after_each_step(origin: QueueHandle, dlq: QueueHandle) -> None:
    post_and_reject(origin, *range(150))
    reports = []

    dlq.redrive(progress=lambda done: reports.append((done.seen, done.total, dict(done.moved))))

    assert reports == [(100, 150, {"origin": 100}), (150, 150, {"origin": 150})]


def test_who_is_told_may_have_enough(origin: QueueHandle, dlq: QueueHandle) -> None:
    post_and_reject(origin, *range(150))

    done = dlq.redrive(progress=lambda done: done.seen == 100)

    assert (done.moved, done.seen, done.total) == ({"origin": 100}, 100, 150)
    assert dlq.free() == list(range(100, 150))


def test_projects_stay_apart(queues: MakeQueue, origin: QueueHandle, dlq: QueueHandle) -> None:
    theirs = queues("origin", "p", _dead_letter_queue="dlq")
    their_dlq = queues("dlq", "p")
    post_and_reject(theirs, "theirs")
    post_and_reject(origin, "ours")

    assert their_dlq.redrive().moved == {"origin": 1}

    assert (theirs.free(), origin.free(), dlq.free()) == (["theirs"], [], ["ours"])


def test_letters_reach_a_queue_of_another_pool(backend: Backend, queues: MakeQueue) -> None:
    backend.place("here", 0)
    backend.place("there", 1)
    there = queues("there")
    here = queues("here", _dead_letter_queue="there")
    post_and_reject(here, "a", b"\x00", priority=4)

    assert there.redrive().moved == {"here": 2}

    assert (here.free(), there.all()) == (["a", b"\x00"], [])
    assert [message.get("priority") for message in here.page()[0]] == [4, 4]


def test_a_dead_letter_that_cannot_be_stored_stops_no_other(leaf: Backend) -> None:
    driver = leaf.driver
    queue, dead = QueueHandle(driver, "queue", None), QueueHandle(driver, "dead", None)
    queue.create()
    dead.create()
    dead.post_raw([dead_letter(body, "queue") for body in ("a", "much", "b")])
    driver.dead_letter_hooks.restore_address = lambda queue, body: object() if body == "much" else [queue, body]

    done = dead.redrive()

    assert (done.moved, done.remaining) == ({"queue": 2}, {"queue": 1})
    assert isinstance(done.refusals["queue"], errors.MessageNotEncodable)
    assert queue.free() == [["queue", "a"], ["queue", "b"]]
    assert dead.free() == ["much"]


def test_a_claim_that_ended_meanwhile_leaves_the_letter_to_its_next_holder(leaf: Backend, clock: ManualClock) -> None:
    driver = leaf.driver
    queue, dead = QueueHandle(driver, "queue", None), QueueHandle(driver, "dead", None)
    queue.create()
    dead.create()
    dead.post_raw([dead_letter("a", "queue")])
    others = []

    def stop_for_long(_: str, body: Any) -> Any:
        clock.advance(61)
        others.append(dead.claim())
        return body

    driver.dead_letter_hooks.restore_address = stop_for_long
    done = dead.redrive()

    assert (done.moved, done.duplicated) == ({"queue": 1}, 1)
    assert (queue.free(), dead.claimed_by(others[0])) == (["a"], ["a"])
    assert dead.delete_claimed([(ids(others[0])[0], others[0].id)]) == []


def test_a_record_that_cannot_be_read_is_an_error_until_a_claim_sets_it_aside(
    backend: Backend, origin: QueueHandle, dlq: QueueHandle
) -> None:
    post_and_reject(origin, "a", "b")
    backend.corrupt("dlq", dlq.page()[0][0]["id"])

    with pytest.raises(errors.CorruptRecord):
        dlq.redrive()
    dlq.end(dlq.claim().id)

    assert dlq.redrive().moved == {"origin": 1}
    assert origin.free() == ["b"]
