from __future__ import annotations

import multiprocessing
import threading
import time

import pytest
from redis.crc import key_slot

from kombu_pool import drivers, errors
from kombu_pool.clock import SystemClock
from kombu_pool.drivers.redis import keys
from kombu_pool.model import ACTIVE, DELETING, Expiry
from kombu_pool.testing import ManualClock, page_of
from tests.support.redis.control_records import fill
from tests.support.redis.stored_keys import stored_keys
from tests.support.servers.redis_server import Server
from tests.support.servers.redis_shared import fresh_uri, shared_server

QUEUES = [f"q{number}" for number in range(50)]
DAY = 86_400
#: In byte order. A NUL, or its escape, could be mistaken for the end of a name.
NAMES = ["", "\0", "\0\0", "\1", "\1\1", "a", "a\0b", "a\1", "a/b", "a{b}", "é", "\ud800"]


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def uri():
    return fresh_uri()


@pytest.fixture
def control(uri, clock):
    driver = drivers.open_control(uri, clock=clock)
    yield driver
    driver.close()


@pytest.fixture
def client(uri):
    return shared_server().client(int(uri.rpartition("/")[2]))


def key(part):
    return keys.control_key("kombu-pool", part)


def register_all(uri, pool):
    """Register every queue, in another process."""
    control = drivers.open_control(uri)
    assigned = [control.catalogue_controller.insert_if_absent(None, queue, pool) for queue in QUEUES]
    made = [control.queue_controller.create(queue) for queue in QUEUES]
    bound = [control.bindings_controller.bind("x", queue) for queue in QUEUES]
    control.close()
    return assigned, made, bound


def calls(client, work):
    """Return how often each command ran during ``work``, in scripts too."""
    client.config_resetstat()
    work()
    found = {name.removeprefix("cmdstat_"): stats["calls"] for name, stats in client.info("commandstats").items()}
    return {name: number for name, number in found.items() if not name.startswith("config")}


def test_two_processes_that_register_the_same_queues_agree(control, uri):
    for pool in ("a", "b"):
        control.pools_controller.create(pool, 1, f"memory://{pool}")
    control.bindings_controller.create_exchange("x", "fanout")
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(2)

    with context.Pool(2, initializer=together.wait) as processes:
        (pools, made, bound), (theirs, also_made, also_bound) = processes.starmap(
            register_all, [(uri, "a"), (uri, "b")], chunksize=1
        )

    assert pools == theirs == [control.catalogue_controller.get(None, queue)["pool"] for queue in QUEUES]
    assert all(one != other for one, other in zip(made + bound, also_made + also_bound, strict=True))
    assert len(control.bindings_controller.list("x")) == len(QUEUES)
    for pool in {*pools}:
        with pytest.raises(errors.PoolInUse, match=f"{pools.count(pool)} queue"):
            control.pools_controller.delete(pool)


def test_two_changes_of_one_pool_at_once_are_both_kept(control):
    control.pools_controller.create("p", 0, "memory://p")

    def weigh():
        for weight in range(1, 101):
            control.pools_controller.update("p", weight=weight)

    other = threading.Thread(target=weigh)
    other.start()
    for number in range(1, 101):
        control.pools_controller.update("p", options={"number": number})
    other.join(30)

    pool = control.pools_controller.get("p", detailed=True)
    assert (pool["weight"], pool["options"]) == (100, {"number": 100})


def test_a_change_of_the_pools_whose_answer_was_lost_is_made_once(control, monkeypatch):
    registry = control.pools_controller._registry
    records, version = registry.read()
    changed = records._replace(flavors={(None, "fast"): b"\x80"})
    with monkeypatch.context() as patch:
        patch.setattr("secrets.token_bytes", lambda size: b"v" * size)

        assert [registry.replace(changed, version) for _ in range(2)] == [True, True]
    assert registry.replace(records, b"another") is False
    assert registry.read() == (changed, b"v" * 8)


def test_nothing_is_left_of_what_was_deleted(control, client):
    fill(control)

    assert control.catalogue_controller.begin_deletion(
        "p", "q", control.catalogue_controller.find("p", "q").incarnation
    )
    for exchange in ("x", "y"):
        control.bindings_controller.delete_exchange(exchange, "p")
    control.catalogue_controller.delete("p", "q")
    control.flavors_controller.delete("fast", "p")
    control.pools_controller.delete("pool")
    control.queue_controller.delete("q", "p")

    assert stored_keys(client) == {key("generation"), key("registry")}
    assert {*client.hgetall(key("registry"))} == {b"version", b"record"}


def test_drop_all_leaves_everything_else(control, client):
    fill(control)
    before = {*client.keys()}

    control.catalogue_controller.drop_all()
    control.flavors_controller.drop_all()
    control.pools_controller.drop_all()

    assert before - {*client.keys()} == {key(part) for part in ("catalogue", "catalogue:names", "catalogue:queues")}
    assert page_of(control.pools_controller.list())[0] == page_of(control.flavors_controller.list("p"))[0] == []
    assert control.queue_controller.exists("q", "p")


def test_forgotten_pools_still_have_the_queues_that_are_assigned_to_them(control):
    control.pools_controller.create("p", 1, "memory://p")
    control.catalogue_controller.insert(None, "q", "p")
    control.pools_controller.drop_all()

    control.pools_controller.create("p", 1, "memory://p")

    with pytest.raises(errors.PoolInUse):
        control.pools_controller.delete("p")


def test_all_keys_are_on_one_node_of_a_cluster(control, client):
    fill(control)

    slots = {key_slot(name) for name in stored_keys(client)}

    assert slots == {key_slot(b"control")}


def test_scripts_that_a_server_forgot_are_brought_again(uri, clock):
    with Server() as server:
        control = drivers.open_control(server.uri(), clock=clock)
        fill(control)
        server.ask("SCRIPT", "FLUSH")

        control.queue_controller.create("q2")

        assert control.queue_controller.exists("q2")
        assert control.consumers_controller.count("q", "p") == 1
        control.close()


def test_names_that_end_like_others_begin_stay_apart(control):
    bindings, consumers, flavors = control.bindings_controller, control.consumers_controller, control.flavors_controller
    for name in NAMES:
        control.queue_controller.create(name)
        flavors.create(name, capabilities=["FIFO"])
        bindings.create_exchange(name, name)
        consumers.add_holder(name, name, 60)
    for name in NAMES:
        bindings.bind(name, name, name)

    assert [queue["name"] for queue in page_of(control.queue_controller.list(limit=0))[0]] == NAMES
    assert [exchange["name"] for exchange in bindings.list_exchanges()] == NAMES
    for name in NAMES:
        ways = [(way["exchange"], way["destination"], way["routing_key"]) for way in bindings.list(name)]
        assert ways == [(name, name, name)]
        assert bindings.unbind_queue(name) == [name]
        consumers.remove_holders([name])
        assert [consumers.count(other) for other in NAMES] == [int(other > name) for other in NAMES]


def test_what_is_read_in_several_goes_is_told_once_and_in_order(control):
    names = [f"q{number:04}" for number in range(1000)]
    for number, name in enumerate(names):
        control.queue_controller.create(name, {"odd": number % 2})

    def listed(**wanted):
        return [queue["name"] for queue in page_of(control.queue_controller.list(**wanted))[0]]

    assert listed(limit=0) == names
    assert listed(limit=500) == names[:500]
    assert listed(limit=700, marker=names[99]) == names[100:800]
    assert listed(limit=0, marker=names[399]) == names[400:]
    assert listed(limit=300, kfilter={"odd": 1}) == names[1:600:2]
    assert listed(limit=0, name="99") == [name for name in names if "99" in name]


def test_a_pool_of_a_flavor_is_not_held_to_one_that_is_named_alike(control):
    control.flavors_controller.create("fast\0p", capabilities=["DURABILITY"])
    control.flavors_controller.create("fast", capabilities=["FIFO"])

    control.pools_controller.create("p", 1, "memory://p", "fast")

    with pytest.raises(errors.PoolCapabilitiesMismatch):
        control.pools_controller.create("q", 1, "memory://q", "fast\0p")


def test_a_queue_is_unbound_without_a_look_at_others(control, client):
    control.bindings_controller.create_exchange("x", "fanout")
    for number in range(2000):
        control.bindings_controller.bind("x", f"q{number}")

    ran = calls(client, lambda: control.bindings_controller.unbind_queue("q1000"))

    assert sum(ran.values()) < 20
    assert len(control.bindings_controller.list("x")) == 1999


def test_bindings_and_a_generation_are_asked_for_at_once(control, client):
    fill(control)

    assert calls(client, lambda: control.bindings_controller.list("x", "p")) == {"zrangebylex": 1}
    assert calls(client, lambda: control.bindings_controller.generation("x", "p")) == {"hget": 1}


def test_a_generation_is_not_used_again_by_a_server_that_lost_the_last_one(control, client):
    bindings = control.bindings_controller
    bindings.create_exchange("x", "direct")
    bindings.bind("x", "lost")
    before = bindings.generation("x")
    client.delete(key("generation"))

    bindings.bind("x", "q")

    assert bindings.generation("x") > before


def test_a_generation_grows_where_the_time_goes_back(control, client):
    client.set(key("generation"), 2**52)

    control.bindings_controller.create_exchange("x", "direct")

    assert control.bindings_controller.generation("x") == 2**52 + 1


def test_all_holders_are_renewed_at_once(control, client):
    holders = [f"holder {number}" for number in range(1000)]
    for holder in holders:
        control.consumers_controller.add_holder("q", holder, 60)

    ran = calls(client, lambda: control.consumers_controller.renew(holders, 60))

    assert ran["evalsha"] == 1


def test_it_costs_one_look_to_find_nothing_abandoned(control, client):
    for number in range(1000):
        control.consumers_controller.set_lifetime(f"q{number}", 100, from_now=True)
        control.consumers_controller.add_holder(f"q{number}", "one", 60)
    control.consumers_controller.expired_queues()

    ran = calls(client, control.consumers_controller.expired_queues)

    assert (ran["evalsha"], ran["zrangebyscore"]) == (1, 1)
    assert sum(ran.values()) <= 3


def test_due_maintenance_is_what_its_parts_are(control, client, clock):
    fill(control)
    assert control.due_maintenance() == (control.epoch(), [], [], [], False)
    assert control.due_maintenance("o") == (control.epoch(), [], [], control.consumers_controller.holders("o"), False)
    assert control.consumers_controller.holders("o") == ["one"]
    client.delete(key("epoch"))
    clock.advance(121)
    second, _ = control.catalogue_controller.assign("p", "second", "pool")
    control.catalogue_controller.begin_deletion("p", "second", second.incarnation)

    due = control.due_maintenance()

    assert due.epoch == control.epoch()
    assert due.expired == control.consumers_controller.expired_queues() == [("p", "q")]
    assert due.deletions == control.catalogue_controller.deletions()
    assert [(project, queue, found.state) for project, queue, found in due.deletions] == [("p", "second", DELETING)]


def test_queues_that_live_do_not_hide_one_that_is_abandoned(control, clock):
    consumers = control.consumers_controller
    for number in range(50):
        consumers.set_lifetime(f"alive {number}", 10, from_now=True)
        consumers.add_holder(f"alive {number}", "one", 1000)
        consumers.touch(f"alive {number}")
    consumers.set_lifetime("dead", 20, from_now=True)
    clock.advance(30)

    found = [consumers.expired_queues(limit=1) for _ in range(6)]

    assert found[-1] == [(None, "dead")]


def test_holders_that_died_without_a_word_do_not_pile_up(control, client, clock):
    for number in range(1000):
        control.consumers_controller.add_holder("q", f"dead {number}", 60)
    clock.advance(2 * DAY)

    for number in range(50):
        control.consumers_controller.add_holder("q", f"alive {number}", 60)

    assert [client.zcard(key(f"consumers:{part}")) for part in ("holders", "held_queues", "holder_ends")] == [
        50,
        50,
        50,
    ]
    assert control.consumers_controller.count("q") == 50


def test_a_holder_lives_by_the_time_of_the_server(uri, monkeypatch):
    control = drivers.open_control(uri)
    control.consumers_controller.add_holder("q", "one", 60)
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 3600)

    assert control.consumers_controller.count("q") == 1
    control.close()


class FastClock(SystemClock):
    """The clock of a machine that is an hour ahead of the server."""

    def time(self):
        return super().time() + 3600


def test_an_expiry_is_told_by_the_time_of_this_machine(uri):
    clock = FastClock()
    control = drivers.open_control(uri, clock=clock)
    control.pools_controller.create("pool", 1, "memory://pool")
    assigned, _ = control.catalogue_controller.assign(None, "q", "pool", lease=60)
    control.catalogue_controller.activate(None, "q", assigned.incarnation, {}, Expiry(100, from_now=True))

    found, expires = control.catalogue_controller.find_until(None, "q")

    assert found.state == ACTIVE
    assert clock.time() < expires <= clock.time() + 100
    control.close()


def test_a_queue_is_read_without_its_holders_until_it_may_have_expired(control, client):
    control.catalogue_controller.insert(None, "q", "pool")
    control.consumers_controller.set_lifetime("q", 100, from_now=True)
    for number in range(100):
        control.consumers_controller.add_holder("q", f"holder {number}", 60)

    control.catalogue_controller.find(None, "q")  # the server has the script from now on

    assert calls(client, lambda: control.catalogue_controller.find(None, "q")) == {"evalsha": 1, "hget": 1, "zscore": 1}
