from __future__ import annotations

import hashlib
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kombu_pool import drivers, errors
from kombu_pool.drivers.redis.cluster import ClusterLink
from kombu_pool.drivers.redis.keys import queue_keys
from kombu_pool.drivers.redis.location import locate
from kombu_pool.drivers.redis.scripts import Script
from kombu_pool.drivers.redis.slots import slot_of
from kombu_pool.drivers.redis.wire import ask
from tests.servers.cluster import Cluster
from tests.servers.shared import fresh_uri
from tests.servers.waiting import first_answer


def script_of(text, *, repeatable=True, writes=True):
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Script("test", sha.encode(), text.encode(), repeatable, writes)


APPEND = script_of("redis.call('APPEND', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])", repeatable=False)
READ = script_of("return {redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])}", writes=False)


@pytest.fixture(scope="module")
def servers():
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(servers):
    """Three nodes that are all up, and empty."""
    for node in servers.nodes:
        if not node.runs:
            node.restart()
    servers.wait_until_ready()
    for node in servers.nodes:
        node.ask("FLUSHALL")
    return servers


@pytest.fixture
def open_link(cluster):
    opened = []

    def make(**options):
        opened.append(ClusterLink(locate(drivers.parse(cluster.uri()), options, None)))
        return opened[-1]

    yield make
    for link in opened:
        link.close()


@pytest.fixture
def link(open_link):
    return open_link()


def keys_of(number=0):
    """Return a few keys of one slot."""
    return queue_keys("test", None, f"queue-{number}")[:2]


def owner_of(cluster, key):
    return cluster.owner(slot_of(key))


def other_than(cluster, node):
    return next(other for other in cluster.nodes if other is not node)


def keys_by_node(cluster):
    """Return a key for each of the nodes."""
    found = {}
    for number in range(100):
        (key, _) = keys_of(number)
        found.setdefault(owner_of(cluster, key).port, key)
    return list(found.values())


def connections(node, part=""):
    """Return the names of our connections to a node."""
    names = (line.get("name", "") for line in node.ask("CLIENT LIST"))
    return [name for name in names if name.startswith(f"kombu-pool:{part}")]


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


def test_the_loss_of_a_node_is_told_and_its_return_is_noticed(cluster, link):
    keys = keys_by_node(cluster)
    for key in keys:
        link.call(APPEND, [key], "a")
    lost = owner_of(cluster, keys[0])

    lost.kill()

    with pytest.raises(errors.ConnectionError):
        link.call(APPEND, keys[:1], "b")
    with pytest.raises(errors.ConnectionError):
        link.commands([("GET", key) for key in keys])
    assert link.command("GET", keys[1]) == b"a"
    lost.restart()
    cluster.wait_until_ready()
    assert link.call(APPEND, keys[:1], "c") == b"c"


def test_who_took_over_from_a_lost_node_is_found(cluster, link):
    (key, _) = keys_of()
    link.command("SET", key, "a")
    lost = owner_of(cluster, key)
    cluster.move(slot_of(key), other_than(cluster, lost))

    lost.kill()

    assert link.command("GET", key) == b"a"
    assert link.call(APPEND, [key], "b") == b"ab"


def test_what_could_not_be_sent_is_sent_to_who_took_over(cluster, link):
    lost_key, other_key, _ = keys_by_node(cluster)
    link.command("GET", other_key)
    lost = owner_of(cluster, lost_key)
    cluster.move(slot_of(lost_key), other_than(cluster, lost))

    lost.kill()

    assert link.call(APPEND, [lost_key], "a") == b"a"


def test_one_node_of_the_uri_is_enough(cluster):
    node = cluster.nodes[1]
    link = ClusterLink(locate(drivers.parse(f"redis+cluster://127.0.0.1:1,{node.address}"), {}, None))

    for key in keys_by_node(cluster):
        assert link.call(APPEND, [key], "a") == b"a"
    link.close()


def test_a_cluster_that_is_away_is_told():
    link = ClusterLink(locate(drivers.parse("redis+cluster://127.0.0.1:1"), {}, None))

    with pytest.raises(errors.ConnectionError, match=r"127\.0\.0\.1:1"):
        link.command("PING")


def test_a_redis_that_is_no_cluster_is_refused():
    uri = fresh_uri().replace("redis://", "redis+cluster://").rpartition("/")[0]
    link = ClusterLink(locate(drivers.parse(uri), {}, None))

    with pytest.raises(errors.ConfigurationError, match="in no Redis Cluster"):
        link.command("PING")
    link.close()


def test_a_write_without_its_replicas_fails_and_says_that_it_is_stored(cluster, open_link):
    (key, _) = keys_of()
    link = open_link(min_replicas=1, min_replicas_timeout=0.05)

    with pytest.raises(errors.ConnectionError, match="only 0 of min_replicas=1"):
        link.call(APPEND, [key], "a")

    assert link.command("GET", key) == b"a"


def test_many_threads_share_few_connections_to_each_node(cluster, open_link):
    link = open_link(max_connections=3)
    keys = keys_by_node(cluster)

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda number: link.call(APPEND, [keys[number % 3]], "a"), range(600)))

    assert [len(link.command("GET", key)) for key in keys] == [200, 200, 200]
    assert all(1 <= len(connections(node)) <= 3 for node in cluster.nodes)


def test_who_waits_is_lent_a_connection_to_the_node_of_the_key(cluster, link):
    for key in keys_by_node(cluster):
        with link.waiting(key) as wire:
            assert ask(wire.ready(), ("CLUSTER", "MYID")).decode() == owner_of(cluster, key).id
        assert len(connections(owner_of(cluster, key), "watch:")) == 1


def test_who_waits_at_a_node_that_was_lost_finds_the_one_that_took_over(cluster, link):
    (key, _) = keys_of()
    with link.waiting(key) as wire:
        wire.ready()
    lost = owner_of(cluster, key)
    cluster.move(slot_of(key), other_than(cluster, lost))
    lost.kill()

    with pytest.raises(errors.ConnectionError), link.waiting(key) as wire:
        ask(wire.ready(), ("PING",))

    with link.waiting(key) as wire:
        assert ask(wire.ready(), ("PING",)) == b"PONG"


def test_closing_leaves_no_connection(cluster, link):
    keys = keys_by_node(cluster)
    for key in keys:
        link.call(APPEND, [key], "a")
        with link.waiting(key) as wire:
            wire.ready()

    link.close()
    link.close()

    first_answer(lambda: not any(connections(node) for node in cluster.nodes), why=lambda: "they are still open")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_child_has_connections_of_its_own(cluster, link):
    keys = keys_by_node(cluster)
    for key in keys:
        link.call(APPEND, [key], "a")

    status = in_child(lambda: [link.call(APPEND, [key], "b") for key in keys])

    assert status == 0
    for key in keys:
        assert link.call(APPEND, [key], "c") == b"abc"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_fork_while_a_thread_calls_does_no_harm(cluster, link):
    keys = keys_by_node(cluster)
    enough = threading.Event()

    def go_on():
        while not enough.is_set():
            for key in keys:
                link.call(READ, [key, key])

    thread = threading.Thread(target=go_on)
    thread.start()
    statuses = [in_child(lambda: link.call(APPEND, keys[:1], "b")) for _ in range(20)]
    enough.set()
    thread.join()

    assert statuses == [0] * 20
    assert link.command("GET", keys[0]) == b"b" * 20


def in_child(action):
    """Run ``action`` in a forked child; return its exit status, 0 when it raised nothing."""
    pid = os.fork()
    if pid == 0:
        status = 1
        signal.alarm(30)  # A child that hangs would outlive the test.
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
