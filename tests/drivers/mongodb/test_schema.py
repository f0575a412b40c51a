"""The layout version and the identity of a store."""

from __future__ import annotations

import contextlib
import threading

import pytest

from kombu_pool import drivers, errors
from kombu_pool.drivers import parse
from kombu_pool.drivers.mongodb import schema
from kombu_pool.drivers.mongodb.client import Client
from kombu_pool.drivers.mongodb.location import locate
from tests.support.limits import LIMIT
from tests.support.servers import mongodb

OPENERS = {"data": drivers.open_data, "control": drivers.open_control}
#: The documents of other layouts: that of a later one, and those of layout 1.
OTHER_LAYOUTS = {
    1000: [{"_id": "store", "layout": 1000, "identity": "x"}],
    1: [{"_id": "data", "version": 1}, {"_id": "control", "version": 1}],
}


@pytest.fixture(params=OPENERS)
def open_driver(request):
    """Open a driver of one plane, closed after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda uri: stack.enter_context(contextlib.closing(OPENERS[request.param](uri)))


@pytest.fixture(params=OTHER_LAYOUTS)
def other_layout(request, database):
    """The layout version of the store, which is not ours."""
    database["kombu_pool_schema"].insert_many(OTHER_LAYOUTS[request.param])
    return request.param


def test_a_store_of_another_layout_is_refused_with_its_remedy(uri, open_driver, other_layout, database):
    driver = open_driver(uri)

    with pytest.raises(errors.IncompatibleStore) as raised:
        driver.queue_controller.create("q")

    text = str(raised.value)
    assert uri.partition("?")[0] in text
    assert f"database {database.name!r} has the layout version {other_layout}" in text
    assert f"needs {schema.LAYOUT_VERSION}: name another database, or drop this one" in text


def test_a_store_of_another_layout_is_left_as_it_is(uri, open_driver, other_layout, database):
    driver = open_driver(uri)

    with pytest.raises(errors.IncompatibleStore):
        driver.queue_controller.create("q")

    assert database.list_collection_names() == ["kombu_pool_schema"]
    assert [*database["kombu_pool_schema"].find()] == OTHER_LAYOUTS[other_layout]


def test_a_refusal_shows_no_password():
    client = Client(locate(parse("mongodb://user:secret@host/db"), {}, None))

    with pytest.raises(errors.IncompatibleStore, match="mongodb://user:") as raised:
        schema._check(client, 1000)

    assert "secret" not in str(raised.value)


def test_an_identity_is_stable_across_openings(uri, open_driver):
    first = open_driver(uri).identity
    for opener in OPENERS.values():
        with contextlib.closing(opener(f"{uri}{'&' if '?' in uri else '?'}appName=another")) as driver:
            assert driver.identity == first

    assert len(first) == 32


def test_two_databases_have_different_identities(open_driver):
    assert open_driver(mongodb.fresh_uri()).identity != open_driver(mongodb.fresh_uri()).identity


def test_processes_that_create_a_store_at_once_agree_on_its_identity(uri):
    together, identities = threading.Barrier(4), []

    def create(number):
        with contextlib.closing(drivers.open_data(f"{uri}{'&' if '?' in uri else '?'}appName=n{number}")) as driver:
            together.wait(LIMIT)
            identities.append(driver.identity)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(identities) == 4
    assert len({*identities}) == 1


def test_a_dropped_database_is_another_store(uri, open_driver, database):
    driver = open_driver(uri)
    before = driver.identity

    database.client.drop_database(database.name)

    assert driver.identity not in ("", before)


def test_only_the_first_operation_of_a_process_checks_the_layout(queue, profiled):
    done = profiled(lambda: queue.post("a"))

    assert [one["ns"] for one in done if one["ns"].endswith("_schema")] == []
