from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from kombu_pool import errors
from kombu_pool.drivers.redis.cluster_slots import slot_of
from tests.support.limits import LIMIT
from tests.support.redis.cluster_keys import APPEND, READ, keys_by_node, keys_of, other_than, owner_of


def test_scripts_and_commands_run_where_their_keys_are(cluster, redis_client):
    for key in keys_by_node(cluster):
        assert redis_client.call(APPEND, [key], "a") == b"a"
        assert redis_client.command("GET", key) == b"a"
        assert owner_of(cluster, key).ask("GET", key) == b"a"


def test_answers_come_in_the_order_of_the_questions(cluster, redis_client):
    keys = [keys_of(number) for number in range(20)]

    redis_client.commands([("SET", key, number) for number, (key, _) in enumerate(keys)])

    assert redis_client.commands([("GET", key) for key, _ in keys]) == [b"%d" % number for number in range(20)]
    assert redis_client.calls(READ, [(pair, ()) for pair in keys]) == [[b"%d" % number, None] for number in range(20)]
    assert redis_client.commands([]) == []


def test_a_script_that_a_node_has_forgotten_is_brought_to_it(cluster, redis_client):
    keys = keys_of()
    redis_client.call(APPEND, keys[:1], "a")
    redis_client.call(READ, keys)

    for node in cluster.nodes:
        node.ask("SCRIPT FLUSH")

    assert redis_client.calls(READ, [(keys, ())]) == [[b"a", None]]
    assert redis_client.call(APPEND, keys[:1], "b") == b"ab"


def test_what_fails_among_several_is_told(cluster, redis_client):
    (key, _) = keys_of()
    redis_client.command("SET", key, "text")

    with pytest.raises(errors.IncompatibleStore):
        redis_client.commands([("HGET", key, "field"), ("SET", keys_of(1)[0], "done")])

    assert redis_client.command("GET", keys_of(1)[0]) == b"done"


def test_a_command_without_a_key_runs_somewhere(redis_client):
    assert redis_client.command("PING") == b"PONG"


def test_a_slot_that_moved_is_followed(cluster, redis_client):
    keys = keys_of()
    redis_client.call(APPEND, keys[:1], "a")
    target = other_than(cluster, owner_of(cluster, keys[0]))

    cluster.move(slot_of(keys[0]), target)

    assert redis_client.call(APPEND, keys[:1], "b") == b"ab"
    assert redis_client.commands([("GET", keys[0])]) == [b"ab"]
    cluster.move(slot_of(keys[0]), other_than(cluster, target))
    assert redis_client.calls(READ, [(keys, ())]) == [[b"ab", None]]


def test_a_slot_on_its_way_is_followed(cluster, redis_client):
    keys = keys_of()
    target = other_than(cluster, owner_of(cluster, keys[0]))
    redis_client.call(READ, keys)

    with cluster.moving(slot_of(keys[0]), target):
        # The new node does not have the script yet, and each command to it needs an ASKING.
        assert redis_client.call(APPEND, keys[:1], "a") == b"a"
        assert redis_client.call(APPEND, keys[:1], "b") == b"ab"
        assert redis_client.commands([("GET", keys[0])]) == [b"ab"]

    assert redis_client.call(APPEND, keys[:1], "c") == b"abc"


def test_a_script_whose_keys_are_on_two_nodes_waits_until_they_are_on_one(cluster, redis_client):
    keys = keys_of()
    redis_client.call(APPEND, keys[:1], "a")
    target = other_than(cluster, owner_of(cluster, keys[0]))

    with ThreadPoolExecutor(1) as threads:
        with cluster.moving(slot_of(keys[0]), target):
            answer = threads.submit(redis_client.call, READ, keys)
            with pytest.raises(TimeoutError):
                answer.result(0.2)

        assert answer.result(LIMIT) == [b"a", None]


def test_keys_that_stay_on_two_nodes_are_a_store_that_is_away(cluster, open_client):
    keys = keys_of()
    redis_client = open_client(socket_timeout=1.0)
    redis_client.call(APPEND, keys[:1], "a")

    target = other_than(cluster, owner_of(cluster, keys[0]))
    with cluster.moving(slot_of(keys[0]), target), pytest.raises(errors.ConnectionError, match="moving to another"):
        redis_client.call(READ, keys)

    assert redis_client.call(READ, keys) == [b"a", None]


def test_nodes_that_do_not_agree_are_a_store_that_is_away(cluster, open_client):
    (key, _) = keys_of()
    redis_client = open_client(socket_timeout=1.0)
    owner, slot = owner_of(cluster, key), slot_of(key)

    owner.ask("CLUSTER SETSLOT", slot, "NODE", other_than(cluster, owner).id)
    with pytest.raises(errors.ConnectionError, match="disagree"):
        redis_client.command("GET", key)

    owner.ask("CLUSTER SETSLOT", slot, "NODE", owner.id)
    assert redis_client.command("GET", key) is None


def test_a_slot_that_no_node_has_is_a_store_that_is_away(cluster, redis_client):
    (key, _) = keys_of()
    owner, slot = owner_of(cluster, key), slot_of(key)
    redis_client.command("PING")

    for node in cluster.nodes:
        node.ask("CLUSTER DELSLOTS", slot)
    with pytest.raises(errors.ConnectionError):
        redis_client.command("SET", key, "a")

    owner.ask("CLUSTER ADDSLOTS", slot)
    cluster.wait_until_ready()
    assert redis_client.command("SET", key, "a")


def test_a_node_that_knows_nothing_of_its_former_slot_is_not_believed(cluster, redis_client):
    (key, _) = keys_of()
    former = owner_of(cluster, key)
    redis_client.command("SET", key, "a")
    cluster.move(slot_of(key), other_than(cluster, former))

    former.ask("CLUSTER DELSLOTS", slot_of(key))

    assert redis_client.command("GET", key) == b"a"
