from __future__ import annotations

import os
import threading

import pytest
from oslo_config import cfg

from kombu_pool import errors
from kombu_pool.pooling import Catalog, DataDriver, open_pools
from tests.support.limits import LIMIT
from tests.support.pooling.switchable_stores import bodies, post


def test_a_driver_is_built_once_however_many_threads_ask(pooled, stores, monkeypatch):
    build = open_pools.open_data
    entered = threading.Event()

    def slow(uri, **options):
        entered.set()
        threading.Event().wait(0.05)
        return build(uri, **options)

    monkeypatch.setattr(open_pools, "open_data", slow)
    found = []
    threads = [threading.Thread(target=lambda: found.append(pooled.catalog.get_driver("a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert entered.is_set()
    assert len(stores.opened_as("a")) == 1
    assert len({id(driver) for driver in found}) == 1


def test_a_slow_pool_keeps_no_thread_from_opening_another(pooled, monkeypatch, stores):
    build = open_pools.open_data
    unblock = threading.Event()

    def slow(uri, **options):
        if uri == stores.uri("a"):
            unblock.wait(LIMIT)
        return build(uri, **options)

    monkeypatch.setattr(open_pools, "open_data", slow)
    thread = threading.Thread(target=pooled.catalog.get_driver, args=("a",))
    thread.start()
    try:
        assert pooled.catalog.get_driver("b") is not None
        assert thread.is_alive()
    finally:
        unblock.set()
        thread.join()


def test_a_driver_is_replaced_when_its_pool_changes(populated, stores, clock):
    post(populated, "of-a", "old")
    populated.control.pools_controller.update("a", uri=stores.uri("moved"))

    clock.advance(10.1)
    populated.queue_controller.create("of-a")
    post(populated, "of-a", "new")

    assert bodies(stores.leaf("moved"), "of-a") == ["new"]
    assert bodies(stores.leaf("a"), "of-a") == ["old"]


def test_new_options_replace_a_driver_too(populated, clock):
    populated.control.pools_controller.update("a", options={"max_message_size": 10})
    clock.advance(10.1)

    with pytest.raises(errors.MessageTooLarge):
        post(populated, "of-a", "x" * 100)
    post(populated, "of-b", "x" * 100)


def test_a_new_weight_replaces_no_driver(populated, stores, clock):
    before = populated.catalog.lookup("of-a")
    populated.control.pools_controller.update("a", weight=7)

    clock.advance(10.1)

    assert populated.catalog.lookup("of-a") is before


def test_a_replaced_driver_is_closed_once_no_call_can_be_inside_it(populated, stores, clock):
    replaced = populated.catalog.lookup("of-a")
    populated.control.pools_controller.update("a", uri=stores.uri("moved"))
    clock.advance(10.1)
    populated.catalog.lookup("of-a")
    at_once = replaced.closed

    clock.advance(open_pools.RETIREMENT_PERIOD)
    populated.gc()

    assert at_once == 0
    assert replaced.closed == 1


def test_a_pool_row_is_read_once_in_its_ttl(populated, clock, monkeypatch):
    calls = []
    get = populated.control.pools_controller.get
    monkeypatch.setattr(populated.control.pools_controller, "get", lambda *v, **n: calls.append(v) or get(*v, **n))
    populated.catalog.get_driver("a")
    clock.advance(10.1)

    for _ in range(20):
        populated.catalog.get_driver("a")

    assert len(calls) == 1


def test_a_given_row_stands_for_the_one_in_the_control_store(pooled, stores):
    row = {"name": "mine", "uri": stores.uri("mine"), "weight": 1, "flavor": None, "options": {}}

    driver = pooled.catalog.get_driver("mine", row)

    assert driver.uri == stores.uri("mine")


def test_an_unknown_pool_has_no_driver(pooled):
    with pytest.raises(errors.PoolDoesNotExist):
        pooled.catalog.get_driver("unheard of")


def test_pools_of_one_kind_share_no_setting(empty, stores):
    pools = empty.control.pools_controller
    pools.create("tight", 100, stores.uri("tight"), options={"max_message_size": 10})
    pools.create("wide", 100, stores.uri("wide"))
    for name in ("tight", "wide"):
        empty.control.catalogue_controller.insert(None, name, name)
        empty.queue_controller.create(name)
    with pytest.raises(errors.MessageTooLarge):
        post(empty, "tight", "x" * 100)

    post(empty, "wide", "x" * 100)

    assert pools.get("tight", detailed=True)["options"] == {"max_message_size": 10}
    assert pools.get("tight")["uri"] == stores.uri("tight")


def test_pools_never_write_to_the_configuration(control, stores, clock):
    conf = cfg.ConfigOpts()
    conf([])
    control.pools_controller.create("tight", 100, stores.uri("tight"), options={"max_message_size": 10})
    driver = DataDriver(conf, None, control, clock=clock)

    driver.catalog.get_driver("tight")
    control.pools_controller.create("plain", 100, stores.uri("plain"))
    control.catalogue_controller.insert(None, "q", "plain")
    driver.queue_controller.create("q")

    post(driver, "q", "x" * 100)
    assert conf["drivers:message_store:memory"].max_message_size > 10


def test_close_closes_what_was_opened_and_opens_nothing(populated, stores):
    post(populated, "of-a", 1)
    opened = list(stores.opened)

    populated.close()
    populated.close()

    assert stores.opened == opened
    assert {driver.uri for driver in opened} == {stores.uri("a"), stores.uri("b")}
    assert all(driver.closed == 1 for driver in opened)


def test_one_pool_that_cannot_be_closed_keeps_no_other_open(populated, stores):
    stores.switch_off("a")

    populated.close()

    assert [driver.closed for driver in stores.opened] == [1, 1]


def test_a_control_driver_that_was_handed_in_stays_open_and_a_uri_is_closed(stores, monkeypatch):
    closed = []
    driver = DataDriver(None, None, stores.uri("mine"))
    monkeypatch.setattr(driver.control, "close", lambda: closed.append(driver.control))
    other = DataDriver(None, None, driver.control)

    other.close()
    assert closed == []
    driver.close()
    assert closed == [driver.control]


def test_a_driver_says_what_controls_it(control):
    driver = DataDriver(None, None, control)

    assert driver.control is control
    assert driver.control_driver is control
    assert driver.catalog.control is control
    assert DataDriver(None, None, control, control_driver="another").control_driver == "another"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_lock_held_at_a_fork_does_not_stop_the_child(pooled):
    catalog: Catalog = pooled.catalog
    pool = catalog.open_pools.peek("a")
    with pool.lock:
        child = os.fork()
        if not child:
            done = threading.Event()
            threading.Thread(target=lambda: (catalog.get_driver("a"), done.set()), daemon=True).start()
            os._exit(0 if done.wait(LIMIT) else 1)
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0


def test_the_driver_of_a_pool_that_is_gone_is_closed(populated, stores, clock):
    driver = populated.catalog.get_driver("a")
    populated.control.pools_controller.drop_all()
    clock.advance(10.1)
    with pytest.raises(errors.PoolDoesNotExist):
        populated.catalog.get_driver("a")

    clock.advance(open_pools.RETIREMENT_PERIOD)
    populated.gc()

    assert driver.closed == 1


def test_a_pool_cannot_be_opened_while_its_place_is_unknown(pooled, monkeypatch):
    def refused(*_, **__):
        raise errors.ConnectionError("refused")

    monkeypatch.setattr(pooled.control.pools_controller, "get", refused)

    with pytest.raises(errors.ConnectionError) as raised:
        pooled.catalog.get_driver("a")
    assert not isinstance(raised.value, errors.PoolUnavailable), "the control store is unreachable, not the pool"


def test_locks_are_renewed_in_a_child_process(pooled):
    pooled.catalog.get_driver("a")
    pool = pooled.catalog.open_pools.peek("a")
    with pool.lock:
        open_pools._after_fork()

        assert not pool.lock.locked()
        assert pooled.catalog.get_driver("a") is pool.driver
