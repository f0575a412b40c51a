"""Several processes over one control store."""

from __future__ import annotations

import pytest

import kombu_pool
from kombu_pool import errors
from kombu_pool.pooling import DataDriver
from tests.support.pooling.switchable_stores import bodies, post
from tests.support.simultaneous import meet, race


@pytest.fixture
def control_uri(tmp_path):
    uri = f"sqlite:///{tmp_path}/control.db"
    pools = [{"name": name, "uri": f"sqlite:///{tmp_path}/{name}.db"} for name in "abcd"]
    kombu_pool.open(uri, pools=pools).close()
    return uri


def declare(uri, queues):
    driver = DataDriver(None, None, uri)
    meet()
    outcomes = [(driver.queue_controller.create(queue), driver.catalog.pool_of(queue)) for queue in queues]
    driver.close()
    return outcomes


def declare_and_post(uri, name):
    driver = DataDriver(None, None, uri)
    meet()
    driver.queue_controller.create("q")
    for number in range(20):
        post(driver, "q", f"{name}-{number}")
    driver.close()


def test_processes_that_race_to_declare_a_queue_agree_on_its_pool(control_uri):
    queues = [f"q{number}" for number in range(30)]

    answers = race(declare, *((control_uri, queues) for _ in range(3)))

    for outcomes in zip(*answers, strict=True):
        assert len({pool for _, pool in outcomes}) == 1
        assert sum(created for created, _ in outcomes) == 1


def test_what_processes_post_to_a_queue_that_they_race_to_declare_is_all_there(control_uri):
    race(declare_and_post, *((control_uri, name) for name in ("x", "y", "z")))

    driver = DataDriver(None, None, control_uri)
    assert len(bodies(driver, "q")) == 60
    driver.close()


def test_processes_that_race_to_be_first_agree_on_the_virtual_pool(tmp_path):
    uri = f"sqlite:///{tmp_path}/alone.db"

    answers = race(declare, *((uri, ["q"]) for _ in range(3)))

    assert {pool for ((_, pool),) in answers} == {"default"}


def test_a_pool_whose_file_is_a_directory_stops_only_its_own_queues(control_uri, tmp_path):
    driver = DataDriver(None, None, control_uri)
    for name in "ab":
        driver.control.catalogue_controller.insert(None, f"of-{name}", name)
    (tmp_path / "a.db").unlink(missing_ok=True)
    (tmp_path / "a.db").mkdir()

    with pytest.raises(errors.ConfigurationError, match=r"a\.db"):
        driver.queue_controller.create("of-a")

    driver.queue_controller.create("of-b")
    post(driver, "of-b", 1)
    health = driver.health()
    assert bodies(driver, "of-b") == [1]
    assert health["pools"]["a"]["since"] is not None
    assert "a.db" in health["pools"]["a"]["reason"]
    assert health["pools"]["b"]["storage_reachable"] is True
    driver.close()
