"""Dead letters that are given back to the queues that they came from."""

from __future__ import annotations

import pytest

from kombu_pool import errors
from tests.conformance.handles import QueueHandle, bodies, ids


@pytest.fixture
def graveyard(queues):
    return queues("graveyard")


@pytest.fixture
def mortal(queues, graveyard):
    """A queue whose messages are lent twice at most, and then go to the graveyard."""
    return queues("mortal", _max_claim_count=2, _dead_letter_queue="graveyard", _dead_letter_expired=True)


def die(queue, *bodies, **options):
    """Let messages die of rejection."""
    posted = queue.post(*bodies, **options)
    assert queue.reject(queue.claim_by_id(posted)) == []
    while queue.driver.dead_letter_all():
        pass


def letter(body, queue="mortal", reason="rejected", **options):
    """Return a message that died, as another store hands it over."""
    header = {"queue": queue, "reason": reason, "time": 1.0, "count": 1}
    return {"ttl": None, "body": body, "dead_letter": header, **options}


def test_dead_letters_go_back_in_their_order_and_begin_anew(mortal, graveyard):
    die(mortal, "a", "b", {"deep": [b"\x00"]}, ttl=100)
    mortal.post("waits")

    done = graveyard.redrive()

    assert (done.moved, done.remaining, done.refusals, done.duplicated) == ({"mortal": 3}, {}, {}, 0)
    assert (done.seen, done.total) == (3, 3)
    assert graveyard.all() == []
    messages = mortal.page(limit=0)[0]
    assert bodies(messages) == ["waits", "a", "b", {"deep": [b"\x00"]}]
    assert [(message["claim_count"], message["claim_id"]) for message in messages] == [(0, None)] * 4
    assert [message["ttl"] for message in messages] == [0] * 4
    assert not any("dead_letter" in message for message in messages)


def test_priorities_are_kept(mortal, graveyard):
    die(mortal, "low", "low too")
    die(mortal, "high", priority=9)

    graveyard.redrive()

    assert mortal.free() == ["high", "low", "low too"]
    assert mortal.first()["priority"] == 9


def test_lendings_are_counted_afresh(mortal, graveyard, clock):
    mortal.post("a")
    for _ in range(2):
        mortal.claim(ttl=10)
        clock.advance(10)
    assert mortal.claim() == (None, [])
    graveyard.redrive()

    counts = []
    while held := mortal.claim(ttl=10).messages:
        counts.append(held[0]["claim_count"])
        clock.advance(10)

    assert counts == [1, 2]
    assert (mortal.all(), graveyard.free()) == ([], ["a"])


def test_what_expired_lives_on_for_as_long_as_its_queue_lets_messages_live(queues, graveyard, clock):
    queue = queues("brief", _default_message_ttl=50, _dead_letter_queue="graveyard", _dead_letter_expired=True)
    queue.post("a", ttl=5)
    clock.advance(5)
    queue.driver.dead_letter_all()
    clock.advance(1000)

    assert graveyard.redrive().moved == {"brief": 1}

    assert queue.first()["ttl"] == 50
    clock.advance(49)
    assert queue.free() == ["a"]
    clock.advance(1)
    assert queue.free() == []


def test_a_queue_that_delays_its_messages_does_not_delay_these(queues, graveyard):
    queue = queues("slow", _default_message_delay=100, _dead_letter_queue="graveyard")
    die(queue, "a", delay=0)

    graveyard.redrive()

    assert bodies(queue.claim()) == ["a"]


def test_letters_of_several_queues_each_find_their_own(queues, mortal, graveyard):
    other = queues("other", _dead_letter_queue="graveyard")
    for number in range(3):
        die(mortal, f"m{number}")
        die(other, f"o{number}")

    assert graveyard.redrive().moved == {"mortal": 3, "other": 3}

    assert (mortal.free(), other.free()) == (["m0", "m1", "m2"], ["o0", "o1", "o2"])


def test_they_can_be_given_to_another_queue(queues, mortal, graveyard):
    die(mortal, "a", "b")
    rescue = queues("rescue")

    assert graveyard.redrive(target="rescue").moved == {"rescue": 2}

    assert (mortal.all(), rescue.free(), graveyard.all()) == ([], ["a", "b"], [])


def test_no_more_than_the_limit_go(mortal, graveyard):
    die(mortal, *range(250))

    assert graveyard.redrive(limit=3).moved == {"mortal": 3}
    assert graveyard.redrive(limit=120).moved == {"mortal": 120}

    assert mortal.free() == list(range(123))
    assert graveyard.free() == list(range(123, 250))
    assert {message["claim_count"] for message in graveyard.page(limit=0)[0]} == {0}


def test_only_those_of_a_reason_go(mortal, graveyard, clock):
    die(mortal, "rejected")
    mortal.post("expired", ttl=10)
    clock.advance(10)
    mortal.driver.dead_letter_all()

    assert graveyard.redrive(reasons=["expired"]).moved == {"mortal": 1}

    assert (mortal.free(), graveyard.free()) == (["expired"], ["rejected"])


def test_only_those_of_a_queue_go(queues, mortal, graveyard):
    other = queues("other", _dead_letter_queue="graveyard")
    die(mortal, "m")
    die(other, "o")

    assert graveyard.redrive(origins={"other"}).moved == {"other": 1}

    assert (mortal.free(), other.free(), graveyard.free()) == ([], ["o"], ["m"])


def test_only_those_that_are_named_go(mortal, graveyard):
    die(mortal, *"abcd")
    letters = graveyard.page()[0]

    done = graveyard.redrive(message_ids=[letters[2]["id"], letters[1]["id"], "nonsense"])

    assert done.moved == {"mortal": 2}
    assert (mortal.free(), graveyard.free()) == (["b", "c"], ["a", "d"])


def test_what_stays_was_not_lent(mortal, graveyard):
    die(mortal, "a")
    graveyard.post("no letter")

    graveyard.redrive(reasons=["expired"])
    graveyard.redrive(origins=["other"])
    graveyard.redrive(message_ids=[])

    assert [message["claim_count"] for message in graveyard.page()[0]] == [0, 0]


def test_what_is_no_dead_letter_stays(mortal, graveyard):
    graveyard.post("before")
    die(mortal, "a")
    graveyard.post("behind")

    done = graveyard.redrive()

    assert (done.moved, done.seen) == ({"mortal": 1}, 3)
    assert graveyard.free() == ["before", "behind"]


def test_what_is_claimed_or_delayed_stays(mortal, graveyard):
    die(mortal, "claimed", "free")
    held = graveyard.claim(limit=1)
    graveyard.post_raw([letter("delayed", delay=100)])

    assert graveyard.redrive().moved == {"mortal": 1}

    assert mortal.free() == ["free"]
    assert graveyard.all() == ["claimed", "delayed"]
    assert graveyard.claimed_by(held) == ["claimed"]


def test_what_cannot_be_read_stays(backend, mortal, graveyard):
    backend.corrupt("mortal", *mortal.post("a"))
    assert mortal.claim() == (None, [])
    die(mortal, "b")

    assert graveyard.redrive().moved == {"mortal": 1}

    assert [body["record"] for body in graveyard.free()] == [b"\xc1"]


def test_a_queue_that_is_gone_gets_nothing_and_stops_no_other(queues, mortal, graveyard):
    gone = queues("gone", _dead_letter_queue="graveyard")
    die(gone, "g1", "g2")
    die(mortal, "m")
    gone.drop()

    done = graveyard.redrive()

    assert (done.moved, done.remaining) == ({"mortal": 1}, {"gone": 2})
    assert isinstance(done.refusals["gone"], errors.QueueDoesNotExist)
    letters = graveyard.page()[0]
    assert bodies(letters) == ["g1", "g2"]
    assert [message["claim_count"] for message in letters] == [0, 0]


def test_a_full_queue_takes_what_it_has_room_for(queues, graveyard):
    full = queues("full", _max_length=3, _overflow="reject-publish", _dead_letter_queue="graveyard")
    die(full, "a", "b")
    die(full, "c", "d")
    full.post("waits")

    done = graveyard.redrive()

    assert (done.moved, done.remaining) == ({"full": 2}, {"full": 2})
    assert isinstance(done.refusals["full"], errors.QueueIsFull)
    assert full.free() == ["waits", "a", "b"]
    assert graveyard.free() == ["c", "d"]
    assert graveyard.stats()["claimed"] == 0


def test_a_queue_that_makes_room_buries_its_first_for_them(queues, graveyard):
    short = queues("short", _max_length=2, _dead_letter_queue="graveyard")
    die(short, "a")
    short.post("b", "c")

    assert graveyard.redrive().moved == {"short": 1}

    assert short.free() == ["c", "a"]
    assert graveyard.free() == ["b"]


def test_a_queue_or_a_target_that_does_not_exist_is_an_error(absent, mortal, graveyard):
    die(mortal, "a")

    with pytest.raises(errors.QueueDoesNotExist, match="'absent'"):
        absent.redrive()
    with pytest.raises(errors.QueueDoesNotExist, match="'nowhere'"):
        graveyard.redrive(target="nowhere")

    assert graveyard.free() == ["a"]


def test_letters_that_die_again_at_once_are_given_back_once(queues, graveyard):
    """A queue that buries each message but the last when the next comes."""
    queue = queues("one", _max_length=1, _dead_letter_queue="graveyard")
    queue.post(*range(150))
    assert graveyard.count() == 149

    done = graveyard.redrive()

    assert sum(done.moved.values()) == 149
    assert sorted(graveyard.free() + queue.free()) == list(range(150))


def test_a_queue_can_be_its_own_dead_letter_queue(queues):
    queue = queues("own", _dead_letter_queue="own")
    die(queue, "a", "b")

    assert queue.redrive().moved == {"own": 2}

    assert queue.free() == ["a", "b"]
    assert not any("dead_letter" in message for message in queue.page()[0])


def test_who_wants_to_is_told_after_each_step(mortal, graveyard):
    die(mortal, *range(150))
    told = []

    graveyard.redrive(progress=lambda done: told.append((done.seen, done.total, dict(done.moved))))

    assert told == [(100, 150, {"mortal": 100}), (150, 150, {"mortal": 150})]


def test_who_is_told_may_have_enough(mortal, graveyard):
    die(mortal, *range(150))

    done = graveyard.redrive(progress=lambda done: done.seen == 100)

    assert (done.moved, done.seen, done.total) == ({"mortal": 100}, 100, 150)
    assert graveyard.free() == list(range(100, 150))


def test_projects_stay_apart(queues, mortal, graveyard):
    theirs = queues("mortal", "p", _dead_letter_queue="graveyard")
    their_graveyard = queues("graveyard", "p")
    die(theirs, "theirs")
    die(mortal, "ours")

    assert their_graveyard.redrive().moved == {"mortal": 1}

    assert (theirs.free(), mortal.free(), graveyard.free()) == (["theirs"], [], ["ours"])


def test_letters_reach_a_queue_of_another_pool(backend, queues):
    backend.place("here", 0)
    backend.place("there", 1)
    there = queues("there")
    here = queues("here", _dead_letter_queue="there")
    die(here, "a", b"\x00", priority=4)

    assert there.redrive().moved == {"here": 2}

    assert (here.free(), there.all()) == (["a", b"\x00"], [])
    assert [message.get("priority") for message in here.page()[0]] == [4, 4]


def test_a_letter_that_nobody_can_store_stops_no_other(leaf):
    driver = leaf.driver
    queue, dead = QueueHandle(driver, "queue", None), QueueHandle(driver, "dead", None)
    queue.create()
    dead.create()
    dead.post_raw([letter(body, "queue") for body in ("a", "much", "b")])
    driver.dead_letter_hooks.restore_address = lambda queue, body: object() if body == "much" else [queue, body]

    done = dead.redrive()

    assert (done.moved, done.remaining) == ({"queue": 2}, {"queue": 1})
    assert isinstance(done.refusals["queue"], errors.MessageNotEncodable)
    assert queue.free() == [["queue", "a"], ["queue", "b"]]
    assert dead.free() == ["much"]


def test_a_claim_that_ended_meanwhile_leaves_the_letter_to_its_next_holder(leaf, clock):
    driver = leaf.driver
    queue, dead = QueueHandle(driver, "queue", None), QueueHandle(driver, "dead", None)
    queue.create()
    dead.create()
    dead.post_raw([letter("a", "queue")])
    others = []

    def stop_for_long(_, body):
        clock.advance(61)
        others.append(dead.claim())
        return body

    driver.dead_letter_hooks.restore_address = stop_for_long
    done = dead.redrive()

    assert (done.moved, done.duplicated) == ({"queue": 1}, 1)
    assert (queue.free(), dead.claimed_by(others[0])) == (["a"], ["a"])
    assert dead.delete_claimed([(ids(others[0])[0], others[0].id)]) == []


def test_a_record_that_cannot_be_read_is_an_error_until_a_claim_sets_it_aside(backend, mortal, graveyard):
    die(mortal, "a", "b")
    backend.corrupt("graveyard", graveyard.page()[0][0]["id"])

    with pytest.raises(errors.CorruptRecord):
        graveyard.redrive()
    graveyard.end(graveyard.claim().id)

    assert graveyard.redrive().moved == {"mortal": 1}
    assert mortal.free() == ["b"]
