"""What a deleted database file left beside it stays apart from the next file of that name."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from kombu_pool import drivers
from kombu_pool.errors import ConnectionError  # noqa: A004 - Zaqar's name for it
from tests.support.limits import LIMIT
from tests.support.sqlite.files import NOTICED, bodies, check, post, stop, store


@pytest.mark.parametrize("replace", [True, False], ids=["replaced", "deleted"])
def test_a_write_ahead_log_that_was_left_does_not_come_into_the_next_file(driver, path, other, run, replace):
    holder = run("hold_open", f"sqlite:///{path}")
    holder.stdout.readline()
    post(driver, *range(50))  # in the log that the other process has open, too
    log = Path(f"{path}-wal")
    inode = log.stat().st_ino
    if replace:
        other.rename(path)
    else:
        path.unlink()
    with pytest.raises(ConnectionError):
        post(driver, "not confirmed")

    driver.queue_controller.create("q")
    post(driver, "stored")

    assert log.stat().st_ino != inode
    time.sleep(NOTICED)  # until the other process's next read checks the file
    stop(holder)
    expected = ["from the other store", "stored"] if replace else ["stored"]
    assert json.loads(holder.stdout.readline()) == len(expected)
    assert holder.wait(LIMIT) == 0
    post(driver, "after the other process closed the deleted file")
    expected.append("after the other process closed the deleted file")
    assert bodies(driver) == check(path) == expected


def test_a_log_that_a_killed_process_left_does_not_come_into_a_new_file(path, run):
    process = run("hold_open", f"sqlite:///{path}")
    process.stdout.readline()
    store(path, "lost")
    process.kill()
    process.wait()
    assert Path(f"{path}-wal").stat().st_size
    path.unlink()

    store(path, "stored")

    assert check(path) == ["stored"]


def test_closing_a_deleted_file_leaves_the_next_one_alone(driver, path, run):
    post(driver, "lost")
    path.unlink()
    creator = run("hold_open", f"sqlite:///{path}")
    creator.stdout.readline()
    new = drivers.open_data(f"sqlite:///{path}?busy_timeout=7")
    new.queue_controller.create("q")
    post(new, "stored")

    driver.close()

    post(new, "again")
    assert check(path) == ["stored", "again"]
    new.close()
