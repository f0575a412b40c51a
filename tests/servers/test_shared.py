"""Databases and prefixes on shared Redis servers."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import redis

from tests.support.servers import redis_shared


def test_each_fresh_database_is_empty():
    first, second = redis.Redis.from_url(redis_shared.fresh_uri()), redis.Redis.from_url(redis_shared.fresh_uri())

    first.set("key", "value")

    assert second.dbsize() == 0
    assert first.dbsize() == 1


def test_a_database_that_is_lent_again_is_empty():
    with redis_shared.SharedServer(databases=3) as server:
        first, second = server.next_database(), server.next_database()
        for db in (first, second):
            server.client(db).set("key", "value")

        again = server.next_database()

        assert again == first != second
        assert server.client(again).dbsize() == 0
        assert server.client(second).dbsize() == 1


def test_each_fresh_cluster_uri_has_a_prefix_of_its_own():
    first, second = redis_shared.fresh_cluster_uri(), redis_shared.fresh_cluster_uri()

    prefixes = [parse_qs(urlsplit(uri).query)["key_prefix"] for uri in (first, second)]

    assert prefixes[0] != prefixes[1]
    assert urlsplit(first).netloc == urlsplit(second).netloc
