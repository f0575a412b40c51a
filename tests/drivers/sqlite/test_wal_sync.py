"""With ``FULL``, a write is on the disk before it is confirmed; with ``NORMAL``, none waits for the disk."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from kombu_pool import drivers
from kombu_pool.drivers.sqlite import store_file, wal_sync
from kombu_pool.errors import ConnectionError  # noqa: A004 - Zaqar's name for it
from kombu_pool.model import NO_INCARNATION, IdempotencyKey, PresentId, Uniqueness
from kombu_pool.storage.moving import sealed_incarnation
from tests.support.limits import LIMIT

MESSAGE = {"ttl": None, "body": "x"}
CLAIM = {"ttl": 60, "grace": 0}


@pytest.fixture
def flushed(monkeypatch):
    """Collect the descriptors of the logs that are flushed."""
    found = []
    flush = wal_sync._flush
    monkeypatch.setattr(wal_sync, "_flush", lambda file: (found.append(file), flush(file)))
    return found


@pytest.fixture
def full(path):
    opened = drivers.open_data(f"sqlite:///{path}")
    opened.queue_controller.create("q")
    yield opened
    opened.close()


class RefusingDisk:
    """Fails each flush of the log, and by a read that goes on each checkpoint, until its end."""

    def __init__(self, path, monkeypatch):
        self._patch = monkeypatch.context()
        self._patch.__enter__().setattr(wal_sync, "_flush", fail_to_flush)
        self._reader = sqlite3.connect(path, isolation_level=None)
        self._reader.execute("BEGIN")
        self._reader.execute("SELECT count(*) FROM message").fetchone()

    def end(self):
        self._patch.__exit__(None, None, None)
        self._reader.close()


@pytest.fixture
def declared(full, path):
    """Return a control store in the same file, with the queue "declared"; queue "q" has a message with the key "k"."""
    full.message_controller.post("q", [{**MESSAGE, "key": "k"}], None)
    opened = drivers.open_control(f"sqlite:///{path}")
    opened.queue_controller.create("declared")
    yield opened
    opened.close()


@pytest.fixture
def refusing(full, path, monkeypatch):
    disk = RefusingDisk(path, monkeypatch)
    yield disk
    disk.end()


def test_each_write_flushes_the_log_once_and_nothing_else_does(full, flushed):
    posted = full.message_controller.post("q", [MESSAGE], None)
    assert len(flushed) == 1

    claim, _ = full.claim_controller.create("q", CLAIM)
    assert len(flushed) == 2

    full.message_controller.delete("q", posted[0], claim=claim)
    assert len(flushed) == 3

    assert full.claim_controller.create("q", CLAIM) == (None, [])
    assert full.message_controller.count("q") == 0
    assert len(flushed) == 3


def test_a_message_that_is_dropped_for_a_present_one_flushes_that(full, flushed):
    message = {**MESSAGE, "unique": Uniqueness("u", "unfinished")}
    full.message_controller.post("q", [message], None)
    assert len(flushed) == 1

    (dropped,) = full.message_controller.post("q", [message], None)

    assert isinstance(dropped, PresentId)
    assert len(flushed) == 2


def test_a_step_of_a_move_flushes_what_it_writes_and_what_it_tells_of_another_process(full, flushed):
    full.message_controller.post("q", [MESSAGE], None)
    sealed, opened = sealed_incarnation(), "opened"
    queues, moves = full.queue_controller, full.move_controller
    queues.create("target", incarnation=opened)

    def flushes(step):
        begun = len(flushed)
        step()
        return len(flushed) - begun

    seal = partial(queues.create, "q", {}, incarnation=sealed, replaces=NO_INCARNATION)
    assert [flushes(seal) for _ in range(2)] == [1, 1]
    set_epoch = partial(moves.set_epoch, "target", incarnation=opened, epoch=1)
    take = partial(moves.take, "q", incarnation=sealed)
    assert [flushes(set_epoch) for _ in range(2)] == [1, 1]
    assert [flushes(take) for _ in range(2)] == [1, 1]
    batch = take()
    store = partial(moves.store, "target", batch, incarnation=opened, epoch=1)
    assert [flushes(store) for _ in range(2)] == [1, 1]
    remove = partial(moves.remove, "q", [message.id for message in batch], incarnation=sealed)
    assert [flushes(step) for step in (remove, take)] == [1, 0], "nothing is told, on which a step elsewhere relies"
    assert flushes(partial(moves.remaining, "q", incarnation=sealed)) == 0


def test_the_log_that_is_flushed_is_that_of_the_file(full, path, flushed):
    full.message_controller.post("q", [MESSAGE], None)

    assert os.path.samestat(os.fstat(flushed[0]), Path(f"{path}-wal").stat())


def test_without_waiting_for_the_disk_nothing_is_flushed(driver, flushed):
    driver.message_controller.post("q", [MESSAGE], None)

    assert flushed == []


def test_other_writers_go_on_during_a_flush(full, path, monkeypatch):
    reached, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(wal_sync, "_flush", lambda _: (reached.set(), go_on.wait(LIMIT)))
    writer = threading.Thread(target=full.message_controller.post, args=("q", [MESSAGE], None))
    writer.start()
    assert reached.wait(LIMIT)
    other = drivers.open_data(f"sqlite:///{path}?synchronous=NORMAL&busy_timeout=0")

    other.message_controller.post("q", [MESSAGE], None)

    assert writer.is_alive()
    assert other.message_controller.count("q") == 2
    go_on.set()
    writer.join(LIMIT)
    other.close()


def test_what_the_log_does_not_take_is_confirmed_once_the_database_file_has_it(full, path, flushed):
    full.message_controller.post("q", [MESSAGE], None)
    spoil(flushed[0])
    assert Path(f"{path}-wal").stat().st_size

    full.message_controller.post("q", [MESSAGE], None)

    assert Path(f"{path}-wal").stat().st_size == 0
    assert full.message_controller.count("q") == 2


def test_what_the_disk_does_not_take_is_an_error(full, run, path, flushed):
    full.message_controller.post("q", [MESSAGE], None)
    reader = run("hold_snapshot", path)
    reader.stdout.readline()
    spoil(flushed[0])

    with pytest.raises(ConnectionError, match=r"pool\.db: the disk does not take"):
        full.message_controller.post("q", [MESSAGE], None)

    reader.kill()
    reader.wait()
    full.message_controller.post("q", [MESSAGE], None)


@pytest.mark.parametrize("reopened", [False, True], ids=["same connection", "new connection"])
def test_a_retry_finds_what_the_disk_did_not_take_and_is_confirmed_once_it_does(full, refusing, reopened):
    key = IdempotencyKey(b"producer", 1)
    post = partial(full.message_controller.post, "q", [MESSAGE], None, idempotency_key=key)
    with pytest.raises(ConnectionError, match="the disk does not take"):
        post()
    if reopened:
        with full._database.lock:
            full._database.disconnect()
    assert full.message_controller.count("q") == 1

    with pytest.raises(ConnectionError, match="the disk does not take"):
        post()
    refusing.end()
    ids = post()

    assert full.message_controller.count("q") == 1
    assert [message["id"] for message in full.message_controller.bulk_get("q", ids)] == ids
    assert post() == ids


def test_a_retry_is_found_though_its_first_copy_was_consumed(full, refusing):
    key = IdempotencyKey(b"producer", 1)
    with pytest.raises(ConnectionError):
        full.message_controller.post("q", [MESSAGE], None, idempotency_key=key)
    refusing.end()
    assert len(full.message_controller.pop("q", 1)) == 1

    full.message_controller.post("q", [MESSAGE], None, idempotency_key=key)

    assert full.message_controller.count("q") == 0


WRITES = {
    "create": (lambda data, _: data.queue_controller.create("other"), False),
    "delete": (lambda data, _: data.queue_controller.delete("q"), None),
    "declare": (lambda _, control: control.queue_controller.create("other"), False),
    "undeclare": (lambda _, control: control.queue_controller.delete("declared"), None),
    "cancel": (lambda data, _: len(data.message_controller.cancel("k").messages), 0),
    "exchange": (lambda _, control: control.bindings_controller.create_exchange("x", "direct"), False),
}


@pytest.mark.parametrize(("write", "answer"), WRITES.values(), ids=WRITES)
def test_a_retry_that_changes_nothing_is_confirmed_once_the_disk_takes_its_first_try(
    full, declared, refusing, write, answer
):
    for _ in range(2):
        with pytest.raises(ConnectionError, match="the disk does not take"):
            write(full, declared)
    refusing.end()

    assert write(full, declared) is answer


def test_a_retry_is_stored_in_the_file_that_replaced_that_of_its_first_try(full, path, refusing, tmp_path):
    key = IdempotencyKey(b"producer", 1)
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    with pytest.raises(ConnectionError):
        full.message_controller.post("q", [MESSAGE], None, idempotency_key=key)
    refusing.end()
    copy.rename(path)

    for _ in range(3):
        with suppress(ConnectionError):  # the write that notices it
            full.message_controller.post("q", [MESSAGE], None, idempotency_key=key)

    assert full.message_controller.count("q") == 1


def test_a_log_is_closed_once_no_thread_flushes_it(full, monkeypatch):
    reached, go_on, found = threading.Event(), threading.Event(), []
    monkeypatch.setattr(wal_sync, "_flush", lambda file: (found.append(file), reached.set(), go_on.wait(LIMIT)))
    writer = threading.Thread(target=full.message_controller.post, args=("q", [MESSAGE], None))
    writer.start()
    assert reached.wait(LIMIT)

    with full._database.lock:
        full._database.disconnect()

    os.fstat(found[0])
    go_on.set()
    writer.join(LIMIT)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(found[0])


def test_the_log_of_a_file_that_was_replaced_while_it_was_opened_is_closed(path, monkeypatch):
    logs, opening = [], store_file._open

    def open_once_too_early(*arguments):
        opened = opening(*arguments)
        logs.append(opened.log)
        return opened if len(logs) > 1 else opened._replace(file=None)

    monkeypatch.setattr(store_file, "_open", open_once_too_early)
    data = drivers.open_data(f"sqlite:///{path}")

    assert [log._file >= 0 for log in logs] == [False, True]
    data.close()


def test_a_closed_log_is_flushed_while_it_exists(full, path, flushed):
    full.message_controller.post("q", [MESSAGE], None)
    log = full._database._opened.log
    flushed.clear()
    log.close()

    assert log.flush()
    assert len(flushed) == 1

    with full._database.lock:
        full._database.disconnect()  # the last connection: SQLite moves all into the database file
    assert not Path(f"{path}-wal").exists()
    assert log.flush()
    assert len(flushed) == 1


def test_a_log_that_cannot_be_opened_is_flushed_by_sqlite(path, monkeypatch):
    monkeypatch.setattr(wal_sync.WalSync, "__init__", fail)

    opened = drivers.open_data(f"sqlite:///{path}")

    with opened._database.read, opened._database.lock, opened._database.begin_read() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    opened.close()


def fail_to_flush(_):
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def fail(*_):
    raise PermissionError


def spoil(descriptor):
    """Put a pipe, which cannot be flushed, in the place of an open log."""
    reading, writing = os.pipe()
    os.dup2(writing, descriptor, inheritable=False)
    os.close(reading)
    os.close(writing)
