"""The keys of a script: in a Redis Cluster all of them must be passed to it, and be in one slot."""

from __future__ import annotations

import pytest
from redis.crc import key_slot

from kombu_pool.drivers.redis.keys import (
    QUEUES_WITH_DEAD,
    key_sets,
    name_of,
    project_key,
    project_of,
    queue_keys,
    scope_of,
    store_key,
)
from kombu_pool.testing import ManualClock, ids

NAMES = ["", "{", "}", "{}", "}{", "a{b}c", "/", "a/b", "\0", "%", "%7B", "=", ":", " ", "é", "\ud800", "🐇", "x" * 999]
SCOPES = [(None, name) for name in NAMES] + [(name, "q") for name in NAMES] + [(name, name) for name in NAMES]
#: Number of keys at the beginning of a command's arguments, where it is not one.
KEYS = {"UNLINK": None, "DEL": None, "TIME": 0}


def use_all(queue, clock):
    """Run every script of a message store."""
    queue.post("a", "b", "c", "d", "e", "f", ttl=60)
    queue.post("delayed", delay=5)
    queue.post("claimed often")
    held = queue.claim(limit=3, grace=10)
    queue.renew(held.id, grace=100)
    queue.claim_of(held.id)
    queue.release(held.id, ids(held)[:1])
    queue.delete_claimed([(ids(held)[1], held.id), (ids(held)[0], held.id)])
    queue.delete(ids(held)[2], claim=held.id)
    metadata = {"ttl": 60, "grace": 10}
    queue.driver.claim_controller.ack_and_claim(queue.name, [(ids(held)[2], held.id)], metadata, queue.project, 1)
    queue.pop(1)
    queue.all()
    queue.first()
    queue.get_all(ids(held))
    queue.count()
    queue.stats()
    queue.delete_all(ids(held))
    queue.claim(ttl=10)
    clock.advance(100)
    queue.claim(ttl=10)
    queue.driver.gc()
    queue.driver.watch([(queue.project, queue.name)]).wait(0)
    queue.purge()
    subscriptions = queue.driver.subscription_controller
    made = subscriptions.create(queue.name, "http://a", 60, {}, queue.project)
    subscriptions.update(queue.name, made, queue.project, subscriber="http://b")
    next(subscriptions.list(queue.name, queue.project))
    subscriptions.delete(queue.name, made, queue.project)
    run_dead_letter_scripts(queue, clock)
    queue.drop()


def run_dead_letter_scripts(queue, clock):
    """Run the scripts for dead messages."""
    metadata = {"_dead_letter_queue": "dead", "_dead_letter_expired": True, "_max_length": 2, "_max_length_bytes": 100}
    queue.driver.queue_controller.set_metadata(queue.name, metadata, queue.project)
    queue.post("a", "b", "c", ttl=10)
    queue.reject(queue.claim(limit=1))
    clock.advance(10)
    queue.driver.dead_letter_all()
    queue.driver.queue_controller.set_metadata(queue.name, {"_dead_letter_queue": "nowhere"}, queue.project)
    queue.post("d")
    queue.reject(queue.claim())


def keys_of(command):
    name, *arguments = command
    return arguments[: KEYS.get(name.decode().upper(), 1)]


@pytest.mark.parametrize(("project", "name"), SCOPES, ids=ascii)
def test_all_keys_of_a_queue_are_in_one_slot(project, name):
    for is_cluster in (False, True):
        keys = key_sets("prefix", project, name, is_cluster)

        used = {*keys.every, *keys.states, *keys.posting, *keys.acking, *keys.dead_lettering}
        if not is_cluster:
            used.remove(store_key("prefix", QUEUES_WITH_DEAD))

        assert {key_slot(key) for key in used} == {key_slot(keys.queue)}
        assert used <= {*queue_keys("prefix", project, name)}
        # The hash tag contains the queue's name; without it all queues would be in one slot.
        assert keys.queue.count(b"{") == keys.queue.count(b"}") == 1


@pytest.mark.parametrize(("project", "name"), SCOPES, ids=ascii)
def test_a_queue_is_known_by_its_key(project, name):
    assert scope_of("pre{fix", queue_keys("pre{fix", project, name).queue) == (project, name)


def test_no_two_queues_have_a_key_in_common():
    keys = [key for project, name in SCOPES for key in queue_keys("prefix", project, name)]

    assert len({*keys}) == len(keys)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_is_read_from_its_stored_form(name):
    assert project_of(project_key(name)) == name
    assert name_of(name.encode("utf-8", "surrogatepass")) == name


@pytest.mark.parametrize("name", ["q", "{", "a{b}c", "\0", "%7D", "\ud800"], ids=ascii)
def test_a_script_uses_the_keys_that_it_is_given_and_no_other(uri, open_queue, commands, name):
    clock = ManualClock()
    queue = open_queue(uri, name, name, {"_max_claim_count": 1, "_dead_letter_queue": "dead"}, clock=clock)
    open_queue(uri, "dead", name, clock=clock)

    ran = commands(lambda: use_all(queue, clock))

    given, scripts = [], set()
    for _, by_script, command in ran:
        if not by_script and command[0] in {b"EVALSHA", b"EVAL"}:
            given = command[3 : 3 + int(command[2])]
            scripts.add(command[1])
            slots = {key_slot(key) for key in given if b":{store}:" not in key}
            # Only a dead letter moves from one queue to another, and in a cluster with two scripts.
            assert len(slots) <= 1 or len(given) == 22
        elif by_script:
            assert {*keys_of(command)} <= {*given}, command
    assert len(scripts) > 26


def test_a_name_that_is_no_text_keeps_no_message_from_being_dead_lettered(uri, open_queue):
    queue = open_queue(uri, "\ud800", metadata={"_max_claim_count": 1, "_dead_letter_queue": "dead"})
    dead = open_queue(uri, "dead")
    queue.post("a", client="\udcff")
    queue.end(queue.claim().id)

    assert queue.claim().id is None
    assert dead.first()["dead_letter"]["queue"] == "\\ud800"
    assert dead.page(client_uuid="\udcff")[0] == []
