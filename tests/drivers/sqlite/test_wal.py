from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from kombu_pool import drivers
from kombu_pool.drivers.sqlite.wal import WalUpkeep
from tests.support.limits import LIMIT, best_of, seconds_of

MIB, PAGE = 1024 * 1024, 4096
WRITERS, EACH, CLAIMERS = 2, 8000, 2


@pytest.fixture
def uri(path):
    return f"sqlite:///{path}?synchronous=NORMAL&wal_size_limit={MIB}"


def test_the_log_stays_short_while_processes_write_and_read_all_the_time(driver, path, uri, run):
    claimers = [run("consume", uri) for _ in range(CLAIMERS)]
    writers = [run("post", uri, number * EACH, EACH) for number in range(WRITERS)]
    log, longest = Path(f"{path}-wal"), 0

    while any(process.poll() is None for process in writers):
        longest = max(longest, log.stat().st_size)
    driver.queue_controller.set_metadata("q", {"complete": True})

    # Without truncation it grows by some 4 kB a message, to more than 60 MiB.
    assert longest < 30 * MIB
    assert sum(len(claimer.communicate(timeout=LIMIT)[0].split(",")) for claimer in claimers) == WRITERS * EACH


def test_the_log_is_restarted_at_intervals_of_commits_and_not_made_shorter(path):
    store = drivers.open_data(f"sqlite:///{path}?synchronous=NORMAL")
    store.queue_controller.create("q")
    commits = WalUpkeep.CHECK_INTERVAL * WalUpkeep.RESTART_INTERVAL
    for _ in range(commits + 10):
        store.message_controller.post("q", [{"ttl": None, "body": "x"}], None)

    with closing(sqlite3.connect(path)) as connection:
        _, pages, _ = connection.execute("PRAGMA wal_checkpoint").fetchone()

    assert pages < commits / 2
    assert Path(f"{path}-wal").stat().st_size > commits * PAGE
    store.close()


def test_a_reader_that_outlasts_all_others_delays_no_call_for_long(driver, path, run):
    run("hold_snapshot", path).stdout.readline()
    body = "x" * 10_000

    def post():
        driver.message_controller.purge("q")
        for _ in range(200):
            driver.message_controller.post("q", [{"ttl": None, "body": body}], None)
        assert driver.message_controller.count("q") == 200

    assert best_of(lambda: seconds_of(post), 3) < 3
    assert Path(f"{path}-wal").stat().st_size > MIB


def test_the_log_is_cut_once_the_reader_is_gone(driver, path, run):
    reader = run("hold_snapshot", path)
    reader.stdout.readline()
    driver.message_controller.post("q", [{"ttl": None, "body": "x" * 2 * MIB}], None)
    driver.gc()
    assert Path(f"{path}-wal").stat().st_size > MIB
    reader.kill()
    reader.wait()
    deadline = time.monotonic() + LIMIT

    while Path(f"{path}-wal").stat().st_size > MIB and time.monotonic() < deadline:
        driver.gc()

    assert Path(f"{path}-wal").stat().st_size <= MIB
