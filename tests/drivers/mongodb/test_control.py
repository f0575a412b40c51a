"""The control plane in a MongoDB: concurrent processes, and the cost of its operations."""

from __future__ import annotations

import multiprocessing
import threading

import pytest
from pymongo.collection import Collection

from kombu_pool import drivers, errors
from tests.support.limits import LIMIT
from tests.support.mongodb.failures import Died, die

QUEUES = [f"q{number}" for number in range(40)]


@pytest.fixture
def control(uri):
    driver = drivers.open_control(uri)
    yield driver
    driver.close()


@pytest.fixture
def pools(control):
    for name in ("a", "b", "c"):
        control.pools_controller.create(name, 1, f"memory://{name}")
    return control


def register_all(uri, pool):
    """Register every queue, in a process of its own."""
    control = drivers.open_control(uri)
    try:
        return [control.catalogue_controller.insert_if_absent(None, queue, pool) for queue in QUEUES]
    finally:
        control.close()


def test_processes_that_register_at_once_agree(uri, pools):
    with multiprocessing.get_context("spawn").Pool(3) as processes:
        answers = processes.starmap(register_all, [(uri, pool) for pool in ("a", "b", "c")])

    assert answers[0] == answers[1] == answers[2]
    assert [entry["pool"] for entry in pools.catalogue_controller.list(None)] == [
        pool for _, pool in sorted(zip(QUEUES, answers[0], strict=True))
    ]


def test_a_pool_that_is_deleted_while_queues_are_assigned_to_it_has_none_or_stays(uri, control):
    for round_number in range(15):
        control.pools_controller.create("pool", 1, "memory://pool")
        assigned, deleted = [], []

        def assign(number=round_number, into=assigned):
            other = drivers.open_control(uri)
            try:
                into.append(other.catalogue_controller.insert_if_absent(None, f"q{number}", "pool"))
            except errors.PoolDoesNotExist:
                pass
            finally:
                other.close()

        thread = threading.Thread(target=assign)
        thread.start()
        try:
            control.pools_controller.delete("pool")
            deleted.append("pool")
        except errors.PoolInUse:
            pass
        thread.join()

        entries = control.catalogue_controller.list(None)
        assert bool(entries) == bool(assigned)
        assert control.pools_controller.exists("pool") or not entries
        control.catalogue_controller.drop_all()


def test_two_may_delete_a_pool_at_once(uri, control):
    other, failed = drivers.open_control(uri), []
    together = threading.Barrier(2)

    def delete(driver):
        together.wait(LIMIT)
        try:
            driver.pools_controller.delete("pool")
        except errors.PoolInUse as error:
            failed.append(error)

    for _ in range(10):
        control.pools_controller.create("pool", 1, "memory://pool")
        threads = [threading.Thread(target=delete, args=(driver,)) for driver in (control, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    assert failed == []
    assert not control.pools_controller.exists("pool")
    other.close()


def test_a_process_that_died_while_deleting_a_pool_blocks_no_other(pools, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr("pymongo.collection.Collection.count_documents", die)
        with pytest.raises(KeyboardInterrupt):
            pools.pools_controller.delete("a")

    assert pools.catalogue_controller.insert_if_absent(None, "q", "a") == "a"
    with pytest.raises(errors.PoolInUse):
        pools.pools_controller.delete("a")
    pools.catalogue_controller.delete(None, "q")
    pools.pools_controller.delete("a")
    assert not pools.pools_controller.exists("a")


def test_two_pools_that_come_at_once_cannot_have_one_uri(uri, control):
    others = [drivers.open_control(uri) for _ in range(4)]
    refused = []

    def create(number):
        try:
            others[number].pools_controller.create(f"pool-{number}", 1, "memory://the-same")
        except errors.PoolAlreadyExists:
            refused.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()

    assert len(refused) == 3
    assert len(list(next(control.pools_controller.list()))) == 1


def test_binding_at_once_loses_no_generation(uri, control):
    control.bindings_controller.create_exchange("x", "topic")
    before = control.bindings_controller.generation("x")
    others = [drivers.open_control(uri) for _ in range(4)]

    def bind(number):
        for key in range(10):
            assert others[number].bindings_controller.bind("x", f"q{number}", str(key))

    threads = [threading.Thread(target=bind, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()

    assert control.bindings_controller.generation("x") == before + 40
    assert len(control.bindings_controller.list("x")) == 40


@pytest.mark.parametrize("step", ["insert_one", "update_one"])
def test_a_binding_that_was_left_half_way_is_announced_by_the_next_one(control, monkeypatch, step):
    bindings = control.bindings_controller
    bindings.create_exchange("x", "direct")
    done = getattr(Collection, step)

    def die(self, *args, **options):
        answer = done(self, *args, **options)
        if self.name.endswith("bindings") or step == "update_one":
            raise KeyboardInterrupt
        return answer

    with monkeypatch.context() as dying:
        dying.setattr(Collection, step, die)
        with pytest.raises(KeyboardInterrupt):
            bindings.bind("x", "q")
    before = bindings.generation("x")

    bindings.bind("x", "q")

    assert bindings.generation("x") > before
    assert [binding["destination"] for binding in bindings.list("x")] == ["q"]
    assert bindings.bind("x", "q") is False


def test_an_exchange_that_is_made_anew_has_a_generation_of_its_own(control):
    bindings = control.bindings_controller
    seen = set()
    for _ in range(3):
        bindings.create_exchange("x", "direct")
        bindings.bind("x", "q")
        assert bindings.generation("x") not in seen
        seen.add(bindings.generation("x"))
        bindings.delete_exchange("x")


def test_a_dropped_database_is_another_epoch(uri, control, database):
    before = control.epoch()
    assert control.epoch() == before

    database.client.drop_database(database.name)

    assert control.epoch() not in ("", before)


def test_what_is_asked_most_often_takes_one_round_trip(pools, round_trips):
    catalogue, bindings = pools.catalogue_controller, pools.bindings_controller
    bindings.create_exchange("x", "direct")
    bindings.bind("x", "q")

    assert round_trips(lambda: catalogue.insert_if_absent(None, "q", "a")) == 2
    catalogue.get(None, "q")
    assert round_trips(lambda: catalogue.insert_if_absent(None, "q", "b")) == 1
    assert round_trips(lambda: catalogue.get(None, "q")) == 1
    assert round_trips(lambda: pools.pools_controller.get_pools_by_flavor(detailed=True)) == 1
    assert round_trips(lambda: bindings.generation("x")) == 1
    assert round_trips(lambda: bindings.list("x")) == 1
    assert round_trips(lambda: bindings.bind("x", "q")) == 1
    assert round_trips(pools.epoch) <= 3
    assert round_trips(pools.epoch) == 1


@pytest.mark.parametrize("collection", ["bindings", "holders", "exchanges", "control_queues"])
def test_every_record_is_unique(collection, control, database):
    control.queue_controller.create("q")

    indexes = database[f"kombu_pool_{collection}"].index_information()

    assert any(index.get("unique") for index in indexes.values())


def test_two_planes_of_one_database_keep_apart(uri, control):
    data = drivers.open_data(uri)
    control.queue_controller.create("registered")
    data.queue_controller.create("stored")
    data.message_controller.post("stored", [{"ttl": 60, "body": "a"}], None)

    control.catalogue_controller.drop_all()
    control.queue_controller.delete("stored")

    assert [queue["name"] for queue in next(control.queue_controller.list())] == ["registered"]
    assert [queue["name"] for queue in next(data.queue_controller.list())] == ["stored"]
    assert data.message_controller.count("stored") == 1
    data.close()


def test_two_prefixes_of_one_database_keep_apart(uri, control):
    other = drivers.open_control(f"{uri}{'&' if '?' in uri else '?'}collection_prefix=other_")
    other.pools_controller.create("pool", 1, "memory://pool")
    other.catalogue_controller.insert(None, "q", "pool")

    assert not control.pools_controller.exists("pool")
    assert not control.catalogue_controller.exists(None, "q")
    assert control.epoch() != other.epoch()
    other.close()


@pytest.fixture
def interrupted(monkeypatch):
    """Return a function that runs an action whose process dies when it reads the pools."""

    def do(action):
        with monkeypatch.context() as patch:
            patch.setattr("kombu_pool.drivers.mongodb.control.registry.Registry.read", die)
            with pytest.raises(Died):
                action()

    return do


def test_nothing_is_left_of_an_assignment_to_no_pool_whose_writer_died(pools, interrupted):
    catalogue = pools.catalogue_controller
    interrupted(lambda: catalogue.insert_if_absent(None, "q", "nowhere"))
    interrupted(lambda: catalogue.insert_if_absent(None, "listed", "nowhere"))

    assert catalogue.list(None) == []
    assert not catalogue.exists(None, "q")
    assert catalogue.insert_if_absent(None, "q", "a") == "a"


def test_a_registration_does_not_take_over_an_assignment_to_no_pool(pools, interrupted):
    catalogue = pools.catalogue_controller
    interrupted(lambda: catalogue.insert_if_absent(None, "q", "nowhere"))

    assert catalogue.insert_if_absent(None, "q", "a") == "a"
    assert catalogue.get(None, "q")["pool"] == "a"


def test_an_assignment_stands_whose_writer_died(pools, interrupted):
    catalogue = pools.catalogue_controller
    interrupted(lambda: catalogue.insert_if_absent(None, "q", "a"))

    with pytest.raises(errors.PoolInUse):
        pools.pools_controller.delete("a")

    assert catalogue.insert_if_absent(None, "q", "b") == "a"


def test_a_queue_stays_where_it_was_when_its_mover_to_no_pool_died(pools, interrupted):
    catalogue = pools.catalogue_controller
    catalogue.insert(None, "q", "a")
    interrupted(lambda: catalogue.update(None, "q", "nowhere"))
    interrupted(lambda: catalogue.update(None, "q", "nowhere else"))

    with pytest.raises(errors.PoolInUse):
        pools.pools_controller.delete("a")
    assert catalogue.get(None, "q")["pool"] == "a"


def test_of_pools_of_one_flavor_that_are_deleted_at_once_one_stays(uri, control):
    control.flavors_controller.create("fast")
    for round_number in range(5):
        names = [f"{round_number}-{number}" for number in range(3)]
        for name in names:
            control.pools_controller.create(name, 1, f"memory://{name}", "fast")
        for name in next(control.pools_controller.list(limit=0)):
            if name["name"] not in names:
                control.pools_controller.delete(name["name"])
        kept = []

        def delete(name, into=kept):
            try:
                control.pools_controller.delete(name)
            except errors.PoolInUseByFlavor:
                into.append(name)

        threads = [threading.Thread(target=delete, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

        assert [pool["name"] for pool in next(control.pools_controller.list())] == kept
        assert len(kept) == 1


def test_an_exchange_that_goes_takes_along_what_is_bound_to_it_at_that_moment(uri, control):
    bindings, other = control.bindings_controller, drivers.open_control(uri)
    bindings.create_exchange("source", "fanout")
    for _ in range(10):
        bindings.create_exchange("x", "fanout")
        bound = []

        def bind(into=bound):
            try:
                into.append(other.bindings_controller.bind("source", "x", destination_type="exchange"))
            except errors.ExchangeDoesNotExist:
                into.append(False)

        thread = threading.Thread(target=bind)
        thread.start()
        bindings.delete_exchange("x")
        thread.join(30)

        assert list(bindings.list("source")) == []
    other.close()
