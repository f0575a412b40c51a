from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from kombu_pool import errors
from kombu_pool.drivers.redis.cluster_slots import slot_of
from tests.support.redis.cluster_keys import APPEND, READ, keys_by_node, keys_of, other_than, owner_of


def test_scripts_and_commands_run_where_their_keys_are(cluster, link):
    for key in keys_by_node(cluster):
        assert link.call(APPEND, [key], "a") == b"a"
        assert link.command("GET", key) == b"a"
        assert owner_of(cluster, key).ask("GET", key) == b"a"


def test_answers_come_in_the_order_of_the_questions(cluster, link):
    keys = [keys_of(number) for number in range(20)]

    link.commands([("SET", key, number) for number, (key, _) in enumerate(keys)])

    assert link.commands([("GET", key) for key, _ in keys]) == [b"%d" % number for number in range(20)]
    assert link.calls(READ, [(pair, ()) for pair in keys]) == [[b"%d" % number, None] for number in range(20)]
    assert link.commands([]) == []


def test_a_script_that_a_node_has_forgotten_is_brought_to_it(cluster, link):
    keys = keys_of()
    link.call(APPEND, keys[:1], "a")
    link.call(READ, keys)

    for node in cluster.nodes:
        node.ask("SCRIPT FLUSH")

    assert link.calls(READ, [(keys, ())]) == [[b"a", None]]
    assert link.call(APPEND, keys[:1], "b") == b"ab"


def test_what_fails_among_several_is_told(cluster, link):
    (key, _) = keys_of()
    link.command("SET", key, "text")

    with pytest.raises(errors.IncompatibleStore):
        link.commands([("HGET", key, "field"), ("SET", keys_of(1)[0], "done")])

    assert link.command("GET", keys_of(1)[0]) == b"done"


def test_a_command_without_a_key_runs_somewhere(link):
    assert link.command("PING") == b"PONG"


def test_a_slot_that_moved_is_followed(cluster, link):
    keys = keys_of()
    link.call(APPEND, keys[:1], "a")
    target = other_than(cluster, owner_of(cluster, keys[0]))

    cluster.move(slot_of(keys[0]), target)

    assert link.call(APPEND, keys[:1], "b") == b"ab"
    assert link.commands([("GET", keys[0])]) == [b"ab"]
    cluster.move(slot_of(keys[0]), other_than(cluster, target))
    assert link.calls(READ, [(keys, ())]) == [[b"ab", None]]


def test_a_slot_on_its_way_is_followed(cluster, link):
    keys = keys_of()
    target = other_than(cluster, owner_of(cluster, keys[0]))
    link.call(READ, keys)

    with cluster.moving(slot_of(keys[0]), target):
        # The new node does not know the script yet, and each thing said to it has to ask for being let in.
        assert link.call(APPEND, keys[:1], "a") == b"a"
        assert link.call(APPEND, keys[:1], "b") == b"ab"
        assert link.commands([("GET", keys[0])]) == [b"ab"]

    assert link.call(APPEND, keys[:1], "c") == b"abc"


def test_a_script_whose_keys_are_on_two_nodes_waits_until_they_are_on_one(cluster, link):
    keys = keys_of()
    link.call(APPEND, keys[:1], "a")
    target = other_than(cluster, owner_of(cluster, keys[0]))

    with ThreadPoolExecutor(1) as threads:
        with cluster.moving(slot_of(keys[0]), target):
            answer = threads.submit(link.call, READ, keys)
            with pytest.raises(TimeoutError):
                answer.result(0.2)

        assert answer.result(5) == [b"a", None]


def test_keys_that_stay_on_two_nodes_are_a_store_that_is_away(cluster, open_link):
    keys = keys_of()
    link = open_link(socket_timeout=0.3)
    link.call(APPEND, keys[:1], "a")

    target = other_than(cluster, owner_of(cluster, keys[0]))
    with cluster.moving(slot_of(keys[0]), target), pytest.raises(errors.ConnectionError, match="on their way"):
        link.call(READ, keys)

    assert link.call(READ, keys) == [b"a", None]


def test_nodes_that_do_not_agree_are_a_store_that_is_away(cluster, open_link):
    (key, _) = keys_of()
    link = open_link(socket_timeout=0.3)
    owner, slot = owner_of(cluster, key), slot_of(key)

    owner.ask("CLUSTER SETSLOT", slot, "NODE", other_than(cluster, owner).id)
    with pytest.raises(errors.ConnectionError, match="do not agree"):
        link.command("GET", key)

    owner.ask("CLUSTER SETSLOT", slot, "NODE", owner.id)
    assert link.command("GET", key) is None


def test_a_slot_that_no_node_has_is_a_store_that_is_away(cluster, link):
    (key, _) = keys_of()
    owner, slot = owner_of(cluster, key), slot_of(key)
    link.command("PING")

    for node in cluster.nodes:
        node.ask("CLUSTER DELSLOTS", slot)
    with pytest.raises(errors.ConnectionError):
        link.command("SET", key, "a")

    owner.ask("CLUSTER ADDSLOTS", slot)
    cluster.wait_until_ready()
    assert link.command("SET", key, "a")


def test_a_node_that_knows_nothing_of_its_former_slot_is_not_believed(cluster, link):
    (key, _) = keys_of()
    former = owner_of(cluster, key)
    link.command("SET", key, "a")
    cluster.move(slot_of(key), other_than(cluster, former))

    former.ask("CLUSTER DELSLOTS", slot_of(key))

    assert link.command("GET", key) == b"a"
