"""A database file that is deleted or replaced under its processes: they notice it, and go on with the next one."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from kombu_pool import drivers
from kombu_pool.drivers.sqlite import database
from kombu_pool.errors import ConnectionError, QueueDoesNotExist  # noqa: A004 - Zaqar's name for it
from tests.support.limits import LIMIT, best_of
from tests.support.sqlite.files import BESIDE, NOTICED, bodies, check, delete, post, stop, store


@pytest.fixture
def control(uri):
    opened = drivers.open_control(uri)
    yield opened
    opened.close()


@pytest.fixture
def lines(caplog):
    """Return the errors that were logged."""
    caplog.set_level(logging.ERROR, "kombu_pool")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("beside", [(), BESIDE], ids=["the file", "all files"])
def test_a_post_to_a_deleted_file_is_not_confirmed_and_the_next_one_goes_to_a_new_file(driver, path, lines, beside):
    post(driver, "lost")
    delete(path, beside)

    with pytest.raises(ConnectionError, match=r"pool\.db: the file was deleted or replaced"):
        post(driver, "not confirmed")
    with pytest.raises(QueueDoesNotExist):
        post(driver, "without a queue")
    driver.queue_controller.create("q")
    post(driver, "stored")

    assert bodies(driver) == ["stored"]
    (line,) = lines()
    assert str(path) in line
    assert "deleted or replaced" in line
    driver.close()
    assert check(path) == ["stored"]


def test_a_post_to_a_replaced_file_is_not_confirmed(driver, path, other, lines):
    post(driver, "lost")
    other.rename(path)

    with pytest.raises(ConnectionError, match="deleted or replaced"):
        post(driver, "not confirmed")
    post(driver, "stored")

    assert bodies(driver) == ["from the other store", "stored"]
    assert len(lines()) == 1
    driver.close()
    assert check(path) == ["from the other store", "stored"]


def test_a_file_that_was_moved_away_keeps_its_messages(driver, path, tmp_path):
    post(driver, "kept")
    path.rename(tmp_path / "moved.db")

    with pytest.raises(ConnectionError):
        post(driver, "not confirmed")

    assert "kept" in check(tmp_path / "moved.db")


def test_a_declaration_in_a_deleted_file_is_not_confirmed(control, path):
    path.unlink()

    with pytest.raises(ConnectionError, match="deleted or replaced"):
        control.bindings_controller.create_exchange("x", "direct")
    control.bindings_controller.create_exchange("x", "direct")

    assert control.bindings_controller.get_exchange("x")["type"] == "direct"


@pytest.mark.parametrize("replace", [True, False], ids=["replaced", "deleted"])
def test_reads_notice_it_in_time(driver, path, other, lines, replace):
    def delay():
        post(driver, "lost")
        if replace:
            store(other, "from the other store")
            other.rename(path)
        else:
            path.unlink()
        gone = time.monotonic()
        while driver.queue_controller.exists("q") and "lost" in bodies(driver):
            assert time.monotonic() - gone < LIMIT
        noticed = time.monotonic()
        driver.queue_controller.create("q")
        return noticed - gone

    assert best_of(delay, NOTICED) < NOTICED
    assert lines()


def test_the_epoch_is_the_identity_of_the_store_that_is_open(control, driver, path):
    before = control.epoch()
    assert before == control.identity == driver.identity
    assert control.epoch() == before
    path.unlink()

    after = control.epoch()

    assert after not in ("", before)
    assert after == control.epoch() == control.identity == driver.identity


def test_the_epoch_tells_a_copy_from_the_store(control, path, tmp_path):
    control.bindings_controller.create_exchange("old", "direct")
    copy = sqlite3.connect(tmp_path / "copy.db")
    with sqlite3.connect(path) as source:
        source.backup(copy)
    source.close()
    copy.close()
    before = control.epoch()
    control.bindings_controller.create_exchange("new", "direct")

    (tmp_path / "copy.db").rename(path)

    assert control.epoch() != before
    assert [exchange["name"] for exchange in control.bindings_controller.list_exchanges()] == ["old"]


def test_a_file_that_is_replaced_while_no_connection_is_open_is_noticed(driver, control, path, lines, run):
    before = control.epoch()
    driver._database.disconnect()  # as at a fork; the inode may be used again
    delete(path, BESIDE)
    creator = run("open_and_post", f"sqlite:///{path}")
    stop(creator)
    assert creator.wait(LIMIT) == 0

    assert bodies(driver) == [1]

    assert control.epoch() != before
    assert len(lines()) == 1


def test_all_drivers_of_a_process_go_on_and_one_line_is_logged(driver, control, path, lines):
    others = [drivers.open_data(f"sqlite:///{path}?busy_timeout={seconds}") for seconds in (3, 4)]
    for opened in (driver, *others):
        post(opened, "lost")
    path.unlink()

    for opened in (driver, *others):
        with pytest.raises(ConnectionError):
            post(opened, "not confirmed")
    driver.queue_controller.create("q")
    for opened in (driver, *others):
        post(opened, "stored")

    assert bodies(driver) == ["stored"] * 3
    assert control.epoch() == driver.identity == others[0].identity
    assert len(lines()) == 1
    path.unlink()
    assert control.epoch() == driver.identity
    assert len(lines()) == 2
    for opened in others:
        opened.close()


@pytest.mark.parametrize("beside", [(), BESIDE], ids=["the file", "all files"])
def test_what_processes_post_after_a_deletion_is_in_the_file_that_is_there(driver, path, run, beside):
    producers = [run("post_whatever_happens", f"sqlite:///{path}?synchronous=NORMAL", name) for name in "ab"]
    for producer in producers:
        producer.stdout.readline()
    deletions = 3
    for _ in range(deletions):
        time.sleep(0.5)
        delete(path, beside)
        deleted = time.time()
        await_messages(path)
    time.sleep(0.5)
    for producer in producers:
        stop(producer)
    reports = [json.loads(producer.communicate(timeout=LIMIT)[0]) for producer in producers]

    found = check(path)
    for confirmed, errors in reports:
        after = [body for body, began in confirmed if began > deleted]
        assert len(after) > 10
        assert set(after) <= set(found)
        assert errors == deletions
    assert len(found) == len(set(found))


def await_messages(path):
    """Wait until each of two processes has stored a message in the new file."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        if path.exists():
            driver = drivers.open_data(f"sqlite:///{path}")
            names = {body[0] for body in bodies(driver)}
            driver.close()
            if len(names) == 2:
                return
        time.sleep(0.05)
    pytest.fail("the processes do not post to the new file")


def test_a_watch_of_another_process_finds_the_messages_of_the_next_file(driver, control, path, uri, run):
    waiter = run("wait_for_messages", uri)
    waiter.stdout.readline()

    def delay():
        delete(path, BESIDE)
        gone = time.time()
        control.epoch()
        driver.queue_controller.create("q")
        post(driver, "stored")
        return json.loads(waiter.stdout.readline()) - gone

    assert best_of(delay, NOTICED) < NOTICED
    post(driver, "end")
    assert waiter.wait(LIMIT) == 0


def test_a_watch_is_woken_by_the_loss_of_its_queue(driver, path):
    watch = driver.watch([(None, "q")])
    assert watch.wait(0) is False
    path.unlink()

    assert watch.wait(LIMIT) is True

    assert watch.wait(0) is False
    watch.close()


def test_a_deleted_wake_file_is_made_again(driver, path, uri, run):
    waiter = run("wait_for_messages", uri)
    waiter.stdout.readline()
    post(driver, "a")
    waiter.stdout.readline()
    wake = Path(f"{path}-wake")
    wake.unlink()
    deadline = time.monotonic() + LIMIT
    while not wake.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)

    def delay():
        time.sleep(0.02)  # until the other process waits again
        posted = time.time()
        post(driver, "a")
        return json.loads(waiter.stdout.readline()) - posted

    assert best_of(delay, 0.1) < 0.1


def test_threads_go_on(driver, path, lines):
    stopped, confirmed = threading.Event(), []

    def work(number):
        while not stopped.is_set():
            began = time.monotonic()
            try:
                post(driver, number)
                confirmed.append(began)
            except (ConnectionError, QueueDoesNotExist):
                driver.queue_controller.create("q")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    path.unlink()
    deleted = time.monotonic()
    time.sleep(0.5)
    stopped.set()
    for thread in threads:
        thread.join()

    stored = len(bodies(driver))
    assert 0 < sum(began > deleted for began in confirmed) <= stored
    assert len(lines()) == 1


def test_ids_of_another_store_find_no_row(tmp_path):
    paths = [tmp_path / f"{name}.db" for name in "ab"]
    for path in paths:
        store(path, "a")

    ids = set()
    for path in paths:
        connection = sqlite3.connect(path)
        ids.add(connection.execute("SELECT id FROM queue").fetchone())
        connection.close()

    assert len(ids) == 2


def test_a_path_that_cannot_be_used_any_more_is_an_error_that_names_it(driver, path):
    path.unlink()
    path.mkdir()

    with pytest.raises(ConnectionError):
        post(driver, "not confirmed")
    with pytest.raises(Exception, match=r"pool\.db is a folder"):
        post(driver, "a")
    path.rmdir()

    driver.queue_controller.create("q")
    post(driver, "stored")
    assert bodies(driver) == ["stored"]


def test_a_busy_reader_checks_the_file_now_and_then_only(driver, monkeypatch):
    checks, file_id = [], database.file_id
    monkeypatch.setattr(database, "file_id", lambda path: checks.append(path) or file_id(path))
    ends = time.monotonic() + 1

    while time.monotonic() < ends:
        driver.queue_controller.exists("q")

    assert 0 < len(checks) <= 3
