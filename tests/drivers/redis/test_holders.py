"""The claims of one holder, many claims renewed at once, and the live holders: round trips, limits and states."""

from __future__ import annotations

import pytest

from kombu_pool import drivers
from kombu_pool.drivers.redis.codec import holder_tag
from kombu_pool.drivers.redis.keys import queue_keys
from kombu_pool.testing import ManualClock, QueueHandle, bodies
from tests.support.limits import LIMIT
from tests.support.redis.stored_keys import stored_keys
from tests.support.servers.redis_server import Server
from tests.support.servers.redis_shared import fresh_cluster_uri

META = {"ttl": 60, "grace": 0}
ME, OTHER = "machine:1:start", "machine:2:start"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture(params=["redis", "redis+cluster"])
def any_uri(request, uri):
    return uri if request.param == "redis" else fresh_cluster_uri()


@pytest.fixture
def control(uri, clock):
    control = drivers.open_control(uri, clock=clock)
    yield control
    control.close()


def named(queue, claims):
    return [(queue.project, queue.name, claim.id) for claim in claims]


def claim_each(queue, count, ttl=60, holder=ME):
    """Post messages, and claim each by itself."""
    queue.post(*range(count), ttl=90)
    return [queue.claim(1, ttl=ttl, holder=holder) for _ in range(count)]


def sent(lines):
    """Return the name of each command of a client."""
    return [line.command[0] for line in lines if not line.by_script]


# Claims.


def test_a_holder_is_stored_with_its_claim_and_in_no_key_of_its_own(client, queue):
    queue.post("a", "b")
    unnamed = queue.claim(1)
    before = stored_keys(client)
    held = queue.claim(1, holder=ME)
    queue.renew(held.id)

    records = client.hmget(queue_keys("kombu-pool", None, "q").claims, *map(bytes.fromhex, (unnamed.id, held.id)))
    assert [record[16:24] for record in records] == [bytes(8), holder_tag(ME)]
    assert stored_keys(client) - {queue_keys("kombu-pool", None, "q").wakeup} <= before


def test_claims_are_renewed_in_one_run_for_each_thousand_of_a_queue(uri, open_queue, commands, clock):
    first, second = open_queue(uri, clock=clock), open_queue(uri, "second", clock=clock)
    claims = [*named(first, claim_each(first, 1500, ttl=10)), *named(second, claim_each(second, 10, ttl=10))]
    controller = first.driver.claim_controller
    controller.renew(claims[:1], META)  # the server has the script from now on
    clock.advance(5)

    ran = commands(lambda: controller.renew(claims, META))

    assert sent(ran) == [b"EVALSHA"] * 3
    clock.advance(59)
    assert (first.count(), second.count()) == (0, 0)
    clock.advance(1)
    assert (first.count(), second.count()) == (1500, 10)


def test_many_messages_of_many_claims_outlive_them(any_uri, open_queue, clock):
    queue = open_queue(any_uri, clock=clock)
    queue.post(*range(10_000), ttl=70)
    claims = [queue.claim(2500, ttl=60) for _ in range(4)]
    clock.advance(50)

    assert queue.renew_all([claim.id for claim in claims], ttl=60, grace=5) == []

    clock.advance(59)
    assert [queue.claimed_by(claim) for claim in claims] == [bodies(claim) for claim in claims]
    clock.advance(5)
    assert queue.count() == 10_000
    clock.advance(1)
    assert queue.all() == []


def test_a_message_that_a_claim_holds_no_more_lives_no_longer_by_its_renewal(open_queue, uri, clock):
    queue = open_queue(uri, clock=clock)
    (freed, _) = queue.post("a", "b", ttl=70)
    held = queue.claim()
    queue.release(held.id, [freed])
    clock.advance(50)

    assert queue.renew_all([held.id], ttl=60, grace=5) == []

    clock.advance(20)
    assert queue.all() == ["b"]


def test_claims_are_renewed_while_thousands_of_messages_become_dead_letters(any_uri, open_queue, clock):
    dead = open_queue(any_uri, "dead", clock=clock)
    metadata = {"_dead_letter_queue": "dead", "_dead_letter_expired": True}
    queue = open_queue(any_uri, metadata=metadata, clock=clock)
    queue.post("kept")
    held = queue.claim(ttl=60, holder=ME)
    queue.post(*range(1200), ttl=10)
    clock.advance(10)

    assert queue.renew_all([held.id]) == []
    assert queue.end_claims(ME) == 1

    queue.driver.dead_letter_all()
    assert (queue.free(), dead.count()) == (["kept"], 1200)


def test_a_malformed_claim_has_ended(queue):
    (held,) = claim_each(queue, 1)

    assert queue.renew_all(["none", held.id, ""]) == ["none", ""]


def test_a_claim_that_is_named_twice_is_renewed_twice(queue):
    (held,) = claim_each(queue, 1)

    assert queue.renew_all([held.id, held.id], ttl=60) == []
    assert queue.renew_all([held.id, held.id], ttl=0) == [held.id]
    assert queue.renew_all([held.id, held.id], ttl=60) == [held.id, held.id]


@pytest.mark.parametrize("work", ["renew", "end"])
def test_a_server_without_the_scripts_is_sent_them(any_uri, open_queue, client, work):
    queue = open_queue(any_uri)
    held = claim_each(queue, 3)
    if not queue.driver._client.is_cluster:
        client.script_flush()

    if work == "renew":
        assert queue.renew_all([claim.id for claim in held]) == []
    assert queue.end_claims(ME) == 3


def test_thousands_of_messages_become_free_when_their_holder_ends(any_uri, open_queue, clock):
    queue = open_queue(any_uri, clock=clock)
    queue.post(*range(7000))
    claims = [queue.claim(500, holder=holder) for holder in (ME, OTHER) * 7]

    assert queue.end_claims(ME) == 3500

    assert queue.free() == [number for claim in claims[::2] for number in bodies(claim)]
    assert [queue.claimed_by(claim) for claim in claims[1::2]] == [bodies(claim) for claim in claims[1::2]]
    stats = queue.stats()
    assert (stats["free"], stats["claimed"]) == (3500, 3500)


def test_the_end_of_a_holders_claims_wakes_a_waiting_consumer(any_uri, open_queue):
    queue = open_queue(any_uri)
    claim_each(queue, 1)
    watch = queue.driver.watch([(None, "q")])
    while watch.wait(0.01):
        pass

    queue.end_claims(ME)

    assert watch.wait(LIMIT) is True
    watch.close()


def test_the_claims_in_many_queues_are_ended_in_one_round_trip(uri, open_queue, commands):
    made = [open_queue(uri, f"q{number}") for number in range(20)]
    for queue in made:
        claim_each(queue, 1)
    controller = made[0].driver.claim_controller
    scopes = [(None, queue.name) for queue in made]
    controller.end_claims(OTHER, scopes)

    ran = commands(lambda: controller.end_claims(ME, scopes))

    assert sent(ran) == [b"EVALSHA"] * 20
    assert [queue.count() for queue in made] == [1] * 20


def test_what_a_holder_reserved_to_dead_letter_it_becomes_free_with_its_claims(uri, open_queue, monkeypatch, clock):
    dead = open_queue(uri, "dead", clock=clock)
    queue = open_queue(uri, metadata={"_max_claim_count": 1, "_dead_letter_queue": "dead"}, clock=clock)
    queue.post("a")
    queue.end(queue.claim(holder=ME).id)

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(queue.driver._dead_letters, "dead_letter_claimed", dies)
        with pytest.raises(KeyboardInterrupt):
            queue.claim(holder=ME)
    assert queue.free() == []

    assert queue.end_claims(ME) == 1
    assert queue.claim() == (None, [])
    assert dead.free() == ["a"]


def test_the_size_of_the_messages_of_an_ended_holder_counts_again(uri, open_queue):
    queue = open_queue(uri, metadata={"_max_length_bytes": 250})
    queue.post(b"x" * 100, b"y" * 100, client=None)
    queue.claim(holder=ME)
    queue.end_claims(ME)

    queue.post(b"z" * 100, client=None)

    assert queue.free() == [b"y" * 100, b"z" * 100]


def test_a_full_store_renews_and_ends_claims(clock):
    with Server(maxmemory_policy="noeviction") as server:
        driver = drivers.open_data(server.uri(), clock=clock)
        driver.queue_controller.create("q")
        queue = QueueHandle(driver, "q", None)
        held = claim_each(queue, 20)
        server.ask("CONFIG", "SET", "maxmemory", 1)

        clock.advance(40)
        assert queue.renew_all([claim.id for claim in held], grace=5) == []
        queue.renew(held[0].id)
        clock.advance(59)
        assert queue.end_claims(ME) == 20
        assert queue.free() == [*range(20)]
        driver.close()


# Holders.


def test_the_names_of_live_holders_may_have_any_characters(control):
    names = ["m\0:1", "m\1:2", "m\ud800:3", "m:\U0010ffff", "m"]
    for name in names:
        control.consumers_controller.add_holder("q", name, 60)

    found = control.consumers_controller.holders

    assert sorted(found("m")) == sorted(names)
    for name in names[:-1]:
        assert [*found(name[:2])] == [name]


def test_a_holder_of_thousands_of_queues_is_found_once(control, clock):
    consumers = control.consumers_controller
    for number in range(2500):
        consumers.add_holder(f"q{number}", "m:1", 60)
    consumers.add_holder("q", "m:2", 60)
    clock.advance(30)
    consumers.renew(["m:1"], 60)
    clock.advance(30)

    assert consumers.holders("m:") == ["m:1"]


def test_holders_are_read_from_their_range_and_with_the_maintenance(uri, control, commands):
    consumers = control.consumers_controller
    for number in range(50):
        consumers.add_holder("q", f"n:{number}", 60)
    consumers.add_holder("q", "m:1", 60)
    control.due_maintenance("m:")

    ran = commands(lambda: control.due_maintenance("m:"))

    assert sent(ran) == [b"EVALSHA"]
    (looked_up,) = [line.command for line in ran if line.command[0] == b"ZMSCORE"]
    assert looked_up[2:] == [b"m:1\0\0q"]
    ran = commands(control.due_maintenance)
    assert sent(ran) == [b"EVALSHA"]
    assert not [line for line in ran if line.command[0] in {b"ZMSCORE", b"ZRANGEBYLEX"}]
