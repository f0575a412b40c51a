"""Behind sentinels, another server may become the master at any time; producers and consumers go on there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from kombu_pool import drivers, errors
from kombu_pool.drivers.redis.location import locate
from kombu_pool.drivers.redis.master_tracker import MasterTracker
from tests.support.kombu_clients import Clients
from tests.support.limits import LIMIT
from tests.support.servers.redis_sentinel import NAME, Sentinels
from tests.support.servers.redis_server import Server
from tests.support.transport.traffic import eventually

PUBLISHERS, CONSUMERS = 3, 2
#: What another server than a Sentinel refuses of one question for the master, at most.
ERRORS_OF_ONE_QUESTION = 4

pytestmark = pytest.mark.slow


@pytest.fixture
def sentinels(request):
    with Sentinels(replicas=getattr(request, "param", 1)) as sentinels:
        yield sentinels


@pytest.fixture
def start(tmp_path):
    """Start publishers and consumers: ``start(url)``."""
    started = []

    def start(url, publishers=PUBLISHERS, consumers=CONSUMERS):
        clients = Clients(tmp_path, f"pool+{url}", pause=0.01, claim_ttl=2.0)
        started.append(clients)
        clients.start(publishers, consumers)
        return clients

    yield start
    for clients in started:
        clients.kill()


@pytest.fixture
def opened():
    """Open message stores: ``opened(uri)``."""
    stores = []

    def open_store(uri):
        stores.append(drivers.open_data(uri))
        stores[-1].queue_controller.create("q")
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


def clients_of(server):
    """Return the names of our connections to a server."""
    names = [client["name"] for client in server.client().client_list()]
    return [name for name in names if name.startswith("kombu-pool:")]


def woken_times(watch, count):
    for _ in range(count):
        while not watch.wait(LIMIT):
            pass


def test_everybody_goes_on_when_the_master_dies_and_when_it_changes_places(sentinels, start):
    clients = start(sentinels.uri())

    killed = sentinels.master
    master = sentinels.fail_over()
    clients.wait_for_all()
    killed.restart()
    # The sentinels would do it too, but after ten seconds.
    killed.ask("REPLICAOF", "127.0.0.1", master.port)
    eventually(lambda: len(master.ask("ROLE")[2]) == 1)
    sentinels.manual_failover()
    clients.wait_for_all()

    clients.stop_publishing()
    clients.stop_consuming()


def test_what_a_former_master_refuses_is_done_by_the_new_one(sentinels, opened):
    store, metadata = opened(sentinels.uri()), {"ttl": 60, "grace": 60}
    store.message_controller.post("q", [{"ttl": None, "body": body} for body in "ab"], None)
    claim, [first] = store.claim_controller.create("q", metadata, limit=1)
    sentinels.master.ask("WAIT", 1, 0)

    sentinels.manual_failover(disconnect=False)
    refused, _, [second] = store.claim_controller.ack_and_claim("q", [(first["id"], claim)], metadata, limit=1)

    assert refused == []
    assert second["body"] == "b"


def test_all_connections_leave_a_former_master_that_still_accepts_writes(sentinels, opened):
    store, former = opened(sentinels.uri()), sentinels.master
    watch = store.watch([(None, "q")])
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(woken_times, watch, 2)
        eventually(lambda: len(clients_of(former)) > 1)
        # It stays a master: in practice for ten seconds, until a sentinel demotes it.
        former.ask("ACL", "SETUSER", "default", "-replicaof", "-slaveof")

        master = sentinels.planned_failover()

        eventually(lambda: not clients_of(former) and any(":watch:" in name for name in clients_of(master)))
        store.message_controller.post("q", [{"ttl": None, "body": "a"}], None)
        waiting.result(LIMIT)
    assert former.ask("ROLE")[0] == b"master"
    assert master.client().hlen("kombu-pool:{/q}:records") == 1


@pytest.mark.parametrize("sentinels", [2], indirect=True)
def test_what_a_replica_confirmed_is_there_after_the_master_died(sentinels, start):
    clients = start(f"{sentinels.uri()}?min_replicas=1", consumers=0)

    sentinels.fail_over()
    clients.wait_for_all()
    clients.stop_publishing()
    clients.start(publishers=0, consumers=CONSUMERS)
    eventually(lambda: clients.all_sent() <= {body for body, _ in clients.all_seen()})
    clients.stop_consuming()

    sent, retried, seen = clients.all_sent(), clients.all_retried(), clients.all_seen()
    assert {body for body, _ in seen} == sent
    assert {body for (body, _), times in seen.items() if times > 1} <= set(retried)


def test_too_few_replicas_are_counted_in_the_error_and_the_message_is_stored(sentinels, opened):
    store = opened(sentinels.uri())
    other = drivers.open_data(f"{sentinels.uri()}?min_replicas=2&min_replicas_timeout=3")

    with pytest.raises(errors.ConnectionError, match=r"only 1 of min_replicas=2 replica\(s\) confirmed it"):
        other.message_controller.post("q", [{"ttl": None, "body": "a"}], None)

    assert [message["body"] for message in store.message_controller.pop("q", 10)] == ["a"]
    other.close()


def test_all_connections_follow_sentinels_that_are_told_to_monitor_another_master(sentinels, opened):
    store = opened(sentinels.uri())
    former = sentinels.manual_failover()
    assert store.queue_controller.exists("q")
    assert clients_of(former)
    other = next(server for server in sentinels.servers if server is not former)
    other.ask("REPLICAOF", "NO", "ONE")

    # Their epochs begin with 0 again.
    for sentinel in sentinels.sentinels:
        sentinel.ask("SENTINEL REMOVE", NAME)
        sentinel.ask("SENTINEL MONITOR", NAME, "127.0.0.1", other.port, 2)

    eventually(lambda: not clients_of(former))
    store.message_controller.post("q", [{"ttl": None, "body": "a"}], None)
    assert other.client().hlen("kombu-pool:{/q}:records") == 1


def test_a_failover_is_noticed_after_another_server_had_the_port_of_the_sentinel(opened):
    with Sentinels(sentinels=1) as sentinels:
        opened(sentinels.uri())
        former, sentinel = sentinels.master, sentinels.sentinels[0]
        eventually(lambda: clients_of(former))
        sentinel.kill()
        with Server(port=sentinel.port) as no_sentinel:
            eventually(lambda: no_sentinel.ask("INFO", "stats")["total_error_replies"] > 2 * ERRORS_OF_ONE_QUESTION)
        sentinel.restart()

        sentinels.planned_failover()

        eventually(lambda: not clients_of(former))


def leave_the_newest_answer_to_one_that_hangs(sentinels, older):
    """Let two of three Sentinels report another server, in an older epoch, and the third one hang."""
    newest, *others = sentinels.sentinels
    newest.pause()
    older.ask("REPLICAOF", "NO", "ONE")
    for sentinel in others:
        sentinel.ask("SENTINEL REMOVE", NAME)
        sentinel.ask("SENTINEL MONITOR", NAME, "127.0.0.1", older.port, 2)


def test_an_older_answer_does_not_replace_the_master_while_the_sentinel_with_the_newest_is_slow(sentinels):
    former = sentinels.master
    master = sentinels.manual_failover()
    changes = []
    tracker = MasterTracker(locate(drivers.parse(sentinels.uri()), {}, None), changes.append)
    assert tracker.address()[0] == ("127.0.0.1", master.port)

    leave_the_newest_answer_to_one_that_hangs(sentinels, former)

    assert tracker.address()[0] == ("127.0.0.1", master.port)
    assert changes == []
    tracker.close()


def test_an_older_answer_counts_once_the_newer_master_is_gone(sentinels, opened):
    former = sentinels.master
    master = sentinels.manual_failover()
    store = opened(sentinels.uri())
    leave_the_newest_answer_to_one_that_hangs(sentinels, former)

    master.kill()

    def is_stored():
        try:
            store.queue_controller.create("q")
            return store.message_controller.post("q", [{"ttl": None, "body": "a"}], None)
        except errors.ConnectionError:
            return None

    eventually(is_stored)
    assert former.client().hlen("kombu-pool:{/q}:records") == 1
