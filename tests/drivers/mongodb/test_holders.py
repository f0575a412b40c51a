"""The claims of one holder, many claims renewed at once, and the live holders: commands, fields and failures."""

from __future__ import annotations

import os
import signal

import pytest

from kombu_pool import drivers, errors
from kombu_pool.drivers.mongodb import claims as claims_module
from kombu_pool.drivers.mongodb import watch as watch_module
from kombu_pool.storage.inspection import holder_tag
from kombu_pool.testing import QueueHandle, bodies, ids
from tests.support.limits import LIMIT
from tests.support.mongodb.children import start_child
from tests.support.mongodb.failures import closing_connection
from tests.support.servers import mongodb

ME, OTHER = "machine:1:start", "machine:2:start"
META = {"ttl": 60, "grace": 0}
#: Ways to claim: how many at once, their ttl, and the ttl of their claim.
WAYS = {"complete": (3, 600, 60), "short-lived": (3, 30, 60), "alone": (1, 600, 60)}


def named(queue, claims):
    return [(queue.project, queue.name, claim.id) for claim in claims]


def claim_each(queue, count, holder=ME):
    """Post messages, and claim each by itself."""
    queue.post(*range(count))
    return [queue.claim(1, holder=holder) for _ in range(count)]


@pytest.fixture
def tags(database):
    """Return a function that returns the stored holders of all messages, each once."""
    return lambda: {found.get("h") for found in database["kombu_pool_messages"].find({"n": {"$exists": True}})}


# The stored holder.


@pytest.mark.parametrize("way", WAYS)
def test_a_message_has_the_holder_of_its_last_claim_only(queue, tags, way):
    limit, message_ttl, claim_ttl = WAYS[way]
    queue.post(*range(limit), ttl=message_ttl)
    for holder in (ME, OTHER, None, ME, None):
        held = queue.claim(limit, ttl=claim_ttl, holder=holder)
        queue.renew(held.id, ttl=claim_ttl)
        assert tags() == {holder and holder_tag(holder)}

        queue.end(held.id)

    found = queue.claim_by_id(queue.post("a"), holder=ME)
    queue.end(found.id)
    queue.claim_by_id(ids(found))
    assert queue.end_claims(ME) == 0


def test_under_contention_a_claim_has_its_holder(queue, other, tags):
    queue.post(*range(40))
    for _ in range(10):
        queue.claim(1, holder=ME)
        other.claim(1, holder=ME)

    assert tags() == {holder_tag(ME), None}
    assert queue.end_claims(ME) == 20


def test_a_holder_costs_no_command(queue, round_trips):
    queue.post(*range(40))
    costs = []
    for holder in (None, ME):
        queue.claim(1)
        costs.append(round_trips(lambda by=holder: queue.claim(10, holder=by)))

    assert costs[1] <= costs[0]


# Many claims renewed at once.


def test_many_claims_are_renewed_in_two_commands_of_any_number_of_queues(driver, queue, round_trips, queues):
    made = [queue, *(queues(f"q{number}") for number in range(20))]
    claims = [claim for each in made for claim in named(each, claim_each(each, 5))]
    renew = driver.claim_controller.renew

    assert round_trips(lambda: renew(claims, META)) == 2
    assert round_trips(lambda: renew(claims[:1], META)) == 1
    queue.driver.claim_controller.end_claims(ME, [(each.project, each.name) for each in made])
    assert round_trips(lambda: renew(claims, META)) == 1
    assert [*renew(claims, META)] == claims


def test_more_claims_are_renewed_in_batches(queue, clock, round_trips, monkeypatch):
    monkeypatch.setattr(claims_module, "BATCH_SIZE", 10)
    claims = claim_each(queue, 25)
    queue.end(claims[12].id)
    clock.advance(30)
    ended = []

    assert round_trips(lambda: ended.extend(queue.renew_all([claim.id for claim in claims]))) == 6

    assert ended == [claims[12].id]
    clock.advance(59)
    assert queue.free() == [12]


def test_a_claim_that_is_named_twice_or_malformed_is_answered_each_time(queue):
    held, ended = claim_each(queue, 2)
    queue.end(ended.id)

    assert queue.renew_all(["none", held.id, ended.id, held.id, ended.id, ""]) == ["none", ended.id, ended.id, ""]


def test_a_renewal_of_one_claim_does_not_renew_the_others_of_its_queue(queue, clock):
    renewed, left = claim_each(queue, 2)
    clock.advance(30)
    queue.renew_all([renewed.id])
    clock.advance(30)

    assert queue.free() == bodies(left)


def test_a_renewed_claim_is_acknowledged_without_a_look(queue, clock, round_trips):
    claims = claim_each(queue, 3)
    clock.advance(50)
    queue.renew_all([claim.id for claim in claims])
    clock.advance(50)
    pairs = [(claim.messages[0]["id"], claim.id) for claim in claims]
    refused = []

    assert round_trips(lambda: refused.extend(queue.delete_claimed(pairs))) == 1
    assert refused == []


def test_a_claim_that_was_renewed_is_free_at_its_new_end_for_this_process(queue, clock):
    claims = claim_each(queue, 3)
    clock.advance(30)
    queue.renew_all([claim.id for claim in claims])
    queue.post("later")
    assert bodies(queue.claim(1)) == ["later"]
    clock.advance(60)

    assert sorted(map(str, bodies(queue.claim()))) == ["0", "1", "2", "later"]


# The end of a holder.


def test_the_claims_in_many_queues_are_ended_by_one_command(driver, queues, round_trips):
    made = [queues(f"q{number}") for number in range(20)]
    for queue in made:
        claim_each(queue, 2)
    freed = []

    scopes = [(queue.project, queue.name) for queue in made]
    assert round_trips(lambda: freed.append(driver.claim_controller.end_claims(ME, scopes))) == 1

    assert freed == [40]
    assert [queue.count() for queue in made] == [2] * 20


def test_the_process_that_freed_messages_claims_them_at_once(queue, other):
    other.post(*range(30))
    queue.claim(5)
    other.claim(5, holder=ME)
    queue.claim(5)

    assert queue.end_claims(ME) == 5

    assert bodies(queue.claim(5)) == [5, 6, 7, 8, 9]


def test_another_driver_cannot_acknowledge_what_was_freed(queue, other):
    claims = claim_each(queue, 3)
    other.end_claims(ME)
    pairs = [(claim.messages[0]["id"], claim.id) for claim in claims]

    assert queue.delete_claimed(pairs) == pairs
    assert other.free() == [0, 1, 2]


def test_the_end_of_a_holders_claims_wakes_a_waiting_consumer(queue, other, monkeypatch):
    monkeypatch.setattr(watch_module, "_STREAM_INTERVAL", 2 * LIMIT)
    claim_each(queue, 1)
    watch = queue.driver.watch([(queue.project, queue.name)])
    # The stream opens, and the watch sleeps.
    assert not watch.wait(1.0)

    other.end_claims(ME)

    assert watch.wait(LIMIT) is True
    watch.close()


def test_what_a_killed_process_holds_is_free_when_its_claims_end(queue, uri, clock):
    queue.post("a", "b", "c")

    def hold():
        driver = drivers.open_data(uri, clock=clock)
        held = QueueHandle(driver, queue.name, queue.project).claim(2, holder=ME)
        assert len(held.messages) == 2
        os.kill(os.getpid(), signal.SIGKILL)

    pid, read = start_child(hold)
    os.close(read)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    assert queue.free() == ["c"]

    assert queue.end_claims(ME) == 2

    assert [(message["body"], message["claim_count"]) for message in queue.claim().messages] == [
        ("a", 2),
        ("b", 2),
        ("c", 1),
    ]


# Failures.


def test_claims_whose_renewal_failed_are_renewed_by_the_next_one():
    with mongodb.MongoServer(enableTestCommands=1) as server:
        driver = drivers.open_data(f"{server.uri('renewal')}?serverSelectionTimeoutMS=30000")
        queue = QueueHandle(driver, "q", None)
        queue.create()
        claims = [claim.id for claim in claim_each(queue, 3)]

        for command, times in (("update", 1), ("find", 2)):
            with closing_connection(server, command, times), pytest.raises(errors.ConnectionError):
                queue.renew_all(claims)
        with closing_connection(server, "update", 1), pytest.raises(errors.ConnectionError):
            queue.end_claims(ME)

        assert queue.renew_all(claims) == []
        assert queue.end_claims(ME) == 3
        driver.close()


# Live holders.


def test_the_names_of_live_holders_may_have_any_characters(consumers):
    names = ["m\0:1", "m\ud7ff:2", "m\ue000:3", "m\U0010ffff:4", "m\U0010ffff\U0010ffff", "m", "n", "$m", "m.*"]
    for name in names:
        consumers.add_holder("q", name, 60)

    assert sorted(consumers.holders("m")) == sorted(name for name in names if name.startswith("m"))
    for name in names[:4]:
        assert [one for one in consumers.holders(name[:2]) if one == name] == [name]
        assert all(one.startswith(name[:2]) for one in consumers.holders(name[:2]))
    assert sorted(consumers.holders("")) == sorted(names)
    assert sorted(consumers.holders("\U0010ffff")) == []


def test_live_holders_are_found_by_a_range_and_with_the_maintenance(control, consumers, profiled, round_trips):
    for number in range(50):
        consumers.add_holder("q", f"n:{number}", 60)
    for queue in ("q", "other"):
        consumers.add_holder(queue, "m:1", 60)
    control.due_maintenance("m:")
    found = []

    assert round_trips(lambda: found.append(control.due_maintenance("m:").holders)) == 1
    (done,) = profiled(lambda: found.append(consumers.holders("m:")))

    assert found == [["m:1"], ["m:1"]]
    assert done["keysExamined"] <= 4
    assert "COLLSCAN" not in done["planSummary"]


def test_the_names_of_holders_are_no_names_of_what_is_due(control, consumers):
    for name in ("holders", "expired", "deletions", "epoch"):
        consumers.add_holder("q", name, 60)

    assert [control.due_maintenance(name).holders for name in ("holders", "exp", "d")] == [
        ["holders"],
        ["expired"],
        ["deletions"],
    ]
    assert control.due_maintenance("e").epoch == control.epoch()
