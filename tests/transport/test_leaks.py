"""Processes and connections leave nothing, in the stores or in a process."""

from __future__ import annotations

import gc
import sqlite3
import threading
from contextlib import closing, suppress

import psutil
import pymongo
import pytest
import redis
from kombu import Connection

import kombu_pool
from kombu_pool.drivers import parse
from kombu_pool.transport import Transport
from kombu_pool.transport.consume import renewal
from tests.support.limits import LIMIT
from tests.support.transport.child_programs import brief_mailbox, double
from tests.support.transport.stores import STORES
from tests.support.transport.traffic import declare, eventually

#: A short claim ttl: the queues of a dead process expire soon. The survivor looks for others several times meanwhile.
BRIEF = {"claim_ttl": 6.0}
PROCESSES = 2
#: Timeout a process, in seconds. Each has two queues; on MongoDB each waiting one opens a change stream, which is slow.
NODES = {"sqlite": 50, "redis": 50, "mongodb": 12}
ROUNDS, AT_ONCE = 2, 20


def rows(uri: str) -> dict[str, int]:
    """Count the rows of each table of a file."""
    with closing(sqlite3.connect(parse(uri).path.replace("//", "/"))) as file:
        tables = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: file.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}  # noqa: S608


def keys(uri: str) -> dict[str, int]:
    """Count the members of each key of a Redis."""
    sizes = {"hash": "hlen", "zset": "zcard", "set": "scard", "list": "llen", "stream": "xlen"}
    with redis.Redis.from_url(uri, decode_responses=True, socket_timeout=LIMIT) as client:
        kinds = {key: client.type(key) for key in client.scan_iter()}
        return {key: getattr(client, sizes[kind])(key) if kind in sizes else 1 for key, kind in kinds.items()}


def documents(uri: str) -> dict[str, int]:
    """Count the documents of each collection."""
    with pymongo.MongoClient(uri) as client:
        database = client.get_default_database()
        return {name: database[name].count_documents({}) for name in database.list_collection_names()}


RAW = {"sqlite": rows, "redis": keys, "mongodb": documents}


#: The surviving node's queue, which changes after its first message.
NAME = "survivor"


class Survivor:
    """A node that lives on, and runs maintenance."""

    def __init__(self, connection):
        mailbox = brief_mailbox(connection)
        node = mailbox.Node(NAME)
        node.handler(double)
        node.listen(channel=connection.channel())
        mailbox.reply_exchange(connection.channel()).declare()
        self._connection = connection
        self._mailbox = mailbox

    @property
    def is_registered(self):
        """Whether its process is among the holders, which it is from its first renewal on."""
        return self._connection.default_channel.connection.broker.renewal._is_registered

    def tell_everybody(self):
        """Leave a message in each queue."""
        self._mailbox.abcast("double", {"n": 1})

    def read(self):
        """Answer a call."""
        with suppress(TimeoutError):
            self._connection.drain_events(timeout=0.05)

    def has_counted(self):
        """Answer a call, and return whether the queue of this node has its counters, which live as long as it does."""
        self.read()
        control = self._connection.default_channel.connection.broker.control
        return any("acked" in counters for counters in control.counters().values())


@pytest.mark.usefixtures("frequent_maintenance")
@pytest.mark.parametrize("kind", RAW)
def test_many_killed_processes_leave_no_row_in_any_store(kind, tmp_path, opened, programs, monkeypatch):
    # The MongoDB driver keeps a deleted queue for so long: a producer may still be posting to it.
    monkeypatch.setattr("kombu_pool.drivers.mongodb.collector._POST_TIMEOUT", 1.0)
    uri = STORES[kind].uri(tmp_path)
    url = f"pool+{uri}"
    survivor = Survivor(opened(url, **BRIEF))
    store = kombu_pool.open(url)
    eventually(lambda: survivor.is_registered)
    # One record for all processes that have died stays.
    store.control.consumers_controller.add_holder(renewal.PROCESSES, "first", 60, consuming=False)
    store.control.consumers_controller.remove_holders(["first"])
    survivor.tell_everybody()
    eventually(survivor.has_counted)
    before = RAW[kind](uri)

    killed = [
        programs.start("serve_many", url=url, name=f"p{n}", number=NODES[kind], options=BRIEF) for n in range(PROCESSES)
    ]
    for program in killed:
        assert program.line() == "ready"
    survivor.tell_everybody()
    most = RAW[kind](uri)
    for program in killed:
        program.kill()

    def left():
        survivor.read()
        store.gc()
        return {
            name: count for name, count in RAW[kind](uri).items() if count != before.get(name, 0) and NAME not in name
        }

    with closing(store):
        assert sum(most.values()) - sum(before.values()) >= 2 * PROCESSES * NODES[kind]
        eventually(lambda: not left(), 2 * LIMIT)


def usage() -> dict[str, int]:
    """Count the threads and files of this process."""
    gc.collect()
    me = psutil.Process()
    return {"threads": threading.active_count(), "files": me.num_fds(), "sockets": len(me.net_connections())}


def use(url: str) -> Connection:
    connection = Connection(url)
    channel = connection.channel()
    declare(channel, "q")
    channel.basic_consume("q", callback=lambda message: None)
    return connection


@pytest.mark.parametrize("kind", RAW)
@pytest.mark.parametrize("end", [Connection.release, Connection.collect], ids=["closed", "dropped"])
def test_connections_that_end_leave_no_thread_and_no_file(kind, end, tmp_path, monkeypatch):
    monkeypatch.setattr(Transport, "RECONNECT_PAUSE", 0.0)
    url = f"pool+{STORES[kind].uri(tmp_path)}"
    end(use(url))
    before = usage()

    for _ in range(ROUNDS):
        for connection in [use(url) for _ in range(AT_ONCE)]:
            end(connection)

    eventually(lambda: all(usage()[what] <= before[what] for what in before))
