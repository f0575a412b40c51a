"""Private and shared MongoDB servers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pymongo
import pytest
from pymongo.errors import OperationFailure, PyMongoError

from tests.support.servers.mongodb import (
    MongoServer,
    ReplicaSet,
    emptied_standalone_uri,
    emptied_uri,
    fresh_standalone_uri,
    fresh_uri,
)
from tests.support.servers.mongodb.program import require_mongod
from tests.support.servers.waiting import first_answer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server():
    with MongoServer() as server:
        yield server


@pytest.fixture
def trio():
    with ReplicaSet(members=3) as members:
        yield members


@pytest.fixture
def database():
    """Connect to the database that a URI names."""
    clients = []

    def connect(uri: str):
        clients.append(pymongo.MongoClient(uri))
        return clients[-1].get_default_database()

    yield connect
    for client in clients:
        client.close()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_server_answers_at_its_uri(server, database):
    database(server.uri("ours")).things.insert_one({"_id": 1})

    assert server.client().ours.things.find_one() == {"_id": 1}
    assert "setName" not in server.ask("hello")


def test_restarted_it_is_where_it_was_with_what_it_kept(server):
    before = server.uri(), server.pid
    server.client().test.things.insert_one({"_id": 1})

    server.restart()

    assert server.uri() == before[0]
    assert server.pid != before[1]
    assert server.client().test.things.find_one() == {"_id": 1}


def test_killed_it_comes_back_with_what_it_confirmed(server):
    things = server.client().test.things.with_options(write_concern=pymongo.WriteConcern(w=1, j=True))
    things.insert_one({"_id": 1})
    server.kill()
    assert not server.runs

    server.restart()

    assert server.client().test.things.find_one() == {"_id": 1}


def test_paused_it_answers_nobody_until_it_is_resumed(server):
    client = server.client(socketTimeoutMS=1000, serverSelectionTimeoutMS=1000)
    client.admin.command("ping")
    server.pause()
    with pytest.raises(PyMongoError):
        client.admin.command("ping")

    server.resume()

    assert first_answer(lambda: client.admin.command("ping"))


def test_a_paused_one_can_be_stopped():
    server = MongoServer()
    server.pause()

    server.stop()

    assert not server.runs


def test_stopped_it_leaves_nothing_behind():
    server = MongoServer()

    server.stop()

    assert not is_open(server.port)
    assert not server.folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_it_outlives_no_killed_test_process():
    program = (
        "import sys; from tests.support.servers.mongodb import MongoServer; server = MongoServer();"
        "print(server.port, server.folder, flush=True); sys.stdin.read()"
    )
    command, environment = [sys.executable, "-c", program], {**os.environ, "PYTHONPATH": str(ROOT)}
    require_mongod()
    with subprocess.Popen(command, env=environment, stdin=-1, stdout=-1, text=True) as tests:
        port, folder = tests.stdout.readline().split()
        assert is_open(int(port))

        tests.kill()

    first_answer(lambda: not is_open(int(port)))
    first_answer(lambda: not Path(folder).exists())


def test_it_says_why_it_does_not_start():
    with pytest.raises(RuntimeError, match="noSuchParameter"):
        MongoServer(noSuchParameter=1)


def test_it_takes_another_port_where_another_process_was_quicker(monkeypatch, server):
    ports = iter([server.port, server.port + 1])
    monkeypatch.setattr("tests.support.servers.mongodb.standalone.free_port", lambda: next(ports))

    with MongoServer() as other:
        assert other.port == server.port + 1


def test_told_so_it_fails():
    with MongoServer(enableTestCommands=1) as server:
        failure = {"failCommands": ["find"], "errorCode": 11602}
        server.ask("configureFailPoint", "failCommand", mode={"times": 1}, data=failure)

        with pytest.raises(PyMongoError, match="failCommand"):
            server.client(retryReads=False).test.things.find_one()


def test_a_set_of_one_has_transactions_and_change_streams(database):
    ours = database(fresh_uri())
    ours.create_collection("things")

    with ours.watch() as changes, ours.client.start_session() as session:
        with session.start_transaction():
            ours.things.insert_one({"_id": 1}, session=session)

        assert changes.next()["fullDocument"] == {"_id": 1}


def test_a_standalone_one_has_neither(database):
    ours = database(fresh_standalone_uri())

    with pytest.raises(OperationFailure, match="replica set"):
        ours.watch().next()


@pytest.mark.parametrize("fresh", [fresh_uri, fresh_standalone_uri])
def test_each_fresh_database_is_empty(fresh, database):
    first, second = database(fresh()), database(fresh())

    first.things.insert_one({})

    assert second.list_collection_names() == []
    assert first.client.address == second.client.address


@pytest.mark.parametrize("emptied", [emptied_uri, emptied_standalone_uri])
def test_the_databases_of_a_test_are_emptied_for_the_next_one(emptied, database, tmp_path):
    first, second = emptied(tmp_path / "first"), emptied(tmp_path / "first")
    for uri in (first, second):
        database(uri).things.insert_one({})

    again = [emptied(tmp_path / "second"), emptied(tmp_path / "second")]

    assert sorted(again) == sorted([first, second])
    assert [database(uri).things.find_one() for uri in again] == [None, None]


@pytest.mark.parametrize(
    ("named", "query"),
    [
        ("mongodb://{}", ""),
        ("mongodb://{}/theirs?w=1", "?w=1"),
        ("mongodb://me:secret@{}/theirs?w=1", "?w=1&authSource=theirs"),
        ("mongodb://me:secret@{}", "?authSource=admin"),
        ("mongodb://me:secret@{}/?authSource=ours", "?authSource=ours"),
    ],
)
def test_the_environment_may_name_the_server(named, query, monkeypatch):
    calls = []
    monkeypatch.setattr("atexit.register", lambda *call: calls.append(call))
    monkeypatch.setenv("KOMBU_POOL_TEST_MONGODB", named.format("example.invalid:27017"))

    uri = fresh_uri()

    ((_, *arguments),) = calls
    assert arguments[0] == uri
    assert uri == f"{named.format('example.invalid:27017').partition('invalid')[0]}invalid:27017/{arguments[1]}{query}"


def test_a_database_on_a_named_server_is_dropped_in_the_end(server, monkeypatch, database):
    calls = []
    monkeypatch.setattr("atexit.register", lambda *call: calls.append(call))
    monkeypatch.setenv("KOMBU_POOL_TEST_MONGODB", server.uri())
    ours = database(fresh_uri())
    ours.things.insert_one({})
    assert ours.name in ours.client.list_database_names()

    ((drop, *arguments),) = calls
    drop(*arguments)

    assert ours.name not in ours.client.list_database_names()


def test_a_set_of_one_survives_a_crash():
    with ReplicaSet() as members:
        # Version 4.4 answers before the journal has it, unless it is asked not to.
        members.client(journal=True).test.things.insert_one({"_id": 1})
        members.kill()

        members.restart()

        assert members.client().test.things.find_one() == {"_id": 1}


def test_a_single_member_that_steps_down_is_the_primary_again():
    with ReplicaSet() as members:
        before = members.primary.election()

        again = members.step_down()

        assert again.election() > before


def test_a_primary_that_steps_down_is_followed_by_another(trio):
    former = trio.primary
    trio.client().test.things.insert_one({"_id": 1})

    primary = trio.step_down()

    assert primary is trio.primary is not former
    assert former.runs
    assert trio.client().test.things.find_one() == {"_id": 1}


def test_a_killed_primary_is_followed_by_another_until_all_are_back(trio):
    client, former = trio.client(), trio.primary
    client.test.things.insert_one({"_id": 1})

    primary = trio.kill_primary()

    assert primary is trio.primary is not former
    assert not former.runs
    client.test.things.insert_one({"_id": 2})
    former.restart()
    trio.wait_until_ready()
    assert {member.pid for member in trio.secondaries} == set(trio.pids) - {primary.pid}


def test_a_paused_primary_is_followed_by_another_also_after_it_is_resumed(trio):
    former = trio.primary
    former.pause()
    primary = trio.primary

    former.resume()

    assert primary is trio.primary is not former
