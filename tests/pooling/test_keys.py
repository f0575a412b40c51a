"""Messages found by their key in all pools, one of which may be down."""

from __future__ import annotations

import threading
import time

import pytest

from kombu_pool import errors
from kombu_pool.pooling import pool_calls
from tests.support.limits import LIMIT


@pytest.fixture
def keyed(populated):
    for name in ("of-a", "of-b"):
        populated.message_controller.post(name, [{"ttl": None, "body": name, "key": "k"}], None)
    return populated.message_controller


def found(result):
    return sorted(message["queue"] for message in result.messages)


def test_every_pool_is_asked(keyed):
    assert found(keyed.find("k")) == ["of-a", "of-b"]
    assert keyed.find("k").unreachable == {}
    assert found(keyed.change("k", priority=3)) == ["of-a", "of-b"]
    assert found(keyed.cancel("k")) == ["of-a", "of-b"]
    assert found(keyed.find("k")) == []


def test_a_pool_that_is_down_is_named_and_the_others_answer(keyed, stores):
    stores.switch_off("a", "connection refused")

    results = [keyed.find("k"), keyed.cancel("k"), keyed.change("k", priority=3)]

    assert [found(result) for result in results] == [["of-b"], ["of-b"], []]
    assert [[*result.unreachable] for result in results] == [["a"]] * 3
    assert all(isinstance(result.unreachable["a"], errors.PoolUnavailable) for result in results)
    stores.switch_on("a")


def test_the_error_of_the_queues_own_pool_is_raised(keyed, stores):
    stores.switch_off("a")

    for call in (keyed.find, keyed.cancel):
        with pytest.raises(errors.PoolUnavailable):
            call("k", "of-a")
    with pytest.raises(errors.PoolUnavailable):
        keyed.change("k", priority=1, queue="of-a")
    assert found(keyed.find("k", "of-b")) == ["of-b"]


def test_a_pool_that_hangs_costs_a_second(keyed, stores, monkeypatch):
    check, hanging, over = stores.check, threading.Event(), threading.Event()

    def hang(uri):
        if uri == stores.uri("a"):
            hanging.set()
            assert over.wait(LIMIT)
        check(uri)

    monkeypatch.setattr(stores, "check", hang)
    monkeypatch.setattr(pool_calls, "TIMEOUT", 0.2)
    result = keyed.find("k")

    # The pool hangs until the search is over.
    assert hanging.is_set()
    over.set()
    assert found(result) == ["of-b"]
    assert [*result.unreachable] == ["a"]


def test_a_pool_that_has_answered_may_take_its_time_with_many_keys(keyed, stores, monkeypatch):
    check, calls = stores.check, []

    def slow(uri):
        calls.append(uri)
        if calls.count(stores.uri("a")) > 2:
            time.sleep(0.1)
        check(uri)

    monkeypatch.setattr(stores, "check", slow)
    monkeypatch.setattr(pool_calls, "TIMEOUT", 0.2)
    result = keyed.cancel_many([*map(str, range(10)), "k"])

    assert found(result) == ["of-a", "of-b"]
    assert result.unreachable == {}


@pytest.mark.parametrize("error", [errors.StoreError, errors.ConnectionError])
def test_what_was_cancelled_before_a_pool_failed_is_returned(keyed, monkeypatch, error):
    messages = keyed._catalog.pool("of-a").messages
    genuine = messages.cancel

    def cancel(key, queue, project):
        if key == "later":
            raise error("broken")
        return genuine(key, queue, project)

    monkeypatch.setattr(messages, "cancel", cancel)
    result = keyed.cancel_many(["k", "later", "last"])

    assert found(result) == ["of-a", "of-b"]
    assert [*result.unreachable] == ["a"]


def test_many_keys_cost_one_look_at_the_pools(keyed, monkeypatch):
    pools = keyed._catalog.open_pools
    genuine, looks = pools.rows, []

    def rows():
        looks.append(1)
        return genuine()

    monkeypatch.setattr(pools, "rows", rows)

    assert found(keyed.cancel_many([*map(str, range(100)), "k"])) == ["of-a", "of-b"]
    assert len(looks) == 1


def test_a_pool_without_a_store_is_not_created(pooled, tmp_path):
    path = tmp_path / "absent.db"
    pooled.control.pools_controller.create("absent", 0, f"sqlite:///{path}")

    assert pooled.message_controller.find("k").unreachable == {}

    assert not path.exists()


def test_an_invalid_change_is_refused_before_a_pool_is_asked(keyed):
    with pytest.raises(errors.InvalidMessage):
        keyed.change("k")
