"""The servers that other tests rely on do what those tests are told."""

from __future__ import annotations

import pytest
import redis

from tests.servers.shared import fresh_uri
from tests.servers.standalone import Server
from tests.servers.waiting import first_answer


def test_a_server_answers_at_both_addresses():
    with Server() as server:
        over_tcp = redis.Redis.from_url(server.uri(db=3))
        over_socket = redis.Redis(unix_socket_path=server.socket, db=3)

        over_tcp.set("key", "value")

        assert over_socket.get("key") == b"value"


def test_a_killed_server_comes_back_with_what_it_kept():
    with Server(appendonly="yes", appendfsync="always") as server:
        before = server.uri()
        client = server.client()
        client.set("key", "value")

        server.kill()
        assert not server.runs
        server.restart()

        assert client.get("key") == b"value"
        assert server.uri() == before


def test_a_paused_server_answers_when_it_is_resumed():
    with Server() as server:
        impatient = redis.Redis(unix_socket_path=server.socket, socket_timeout=0.1, retry=None)
        server.pause()
        with pytest.raises(redis.TimeoutError):
            impatient.ping()

        server.resume()

        assert first_answer(impatient.ping)


def test_each_fresh_database_is_empty():
    first, second = redis.Redis.from_url(fresh_uri()), redis.Redis.from_url(fresh_uri())

    first.set("key", "value")

    assert second.dbsize() == 0
