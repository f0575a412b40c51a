"""Private Redis Sentinel deployments."""

from __future__ import annotations

import pytest
from redis.sentinel import Sentinel

from tests.support.servers.redis_sentinel import NAME, Sentinels
from tests.support.servers.waiting import first_answer


@pytest.fixture(scope="module")
def sentinels():
    with Sentinels() as sentinels:
        yield sentinels


def test_its_uri_names_all_sentinels(sentinels):
    addresses = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels.sentinels)

    assert sentinels.uri(db=2) == f"redis+sentinel://{addresses}/{NAME}/2"


def test_another_master_takes_over_when_one_is_killed(sentinels):
    killed = sentinels.master
    client = Sentinel([("127.0.0.1", sentinel.port) for sentinel in sentinels.sentinels]).master_for(NAME)
    client.set("key", "value")
    killed.ask("WAIT", 1, 0)

    master = sentinels.fail_over()

    assert master is sentinels.master is not killed
    assert first_answer(lambda: client.get("key")) == b"value"
    killed.restart()


def test_a_master_and_a_replica_change_places(sentinels):
    former = sentinels.master

    master = sentinels.manual_failover()

    assert master is sentinels.master is not former
    assert former.ask("ROLE")[0] == b"slave"


def test_one_sentinel_and_two_replicas_will_do():
    with Sentinels(replicas=2, sentinels=1) as small:
        assert len(small.servers) == 3
        assert small.uri().count("127.0.0.1") == 1
        assert small.fail_over() in small.servers[1:]
