"""Files that other users planted, share or may replace, and paths that are too long."""

from __future__ import annotations

import logging
import os
import stat
from contextlib import closing
from pathlib import Path

import pytest
from kombu import Connection

from kombu_pool import drivers
from kombu_pool.drivers.sqlite.wakeup import WakeSignal, open_wake_file, wake_path
from kombu_pool.errors import ConfigurationError


def plant_link(path, tmp_path):
    target = tmp_path / "precious"
    target.write_text("precious")
    path.symlink_to(target)


def plant_pipe(path, tmp_path):
    os.mkfifo(path)


@pytest.fixture(params=[plant_link, plant_pipe])
def plant(request, tmp_path):
    """Plant something at the path of the file beside the database: ``plant(database path)``."""
    return lambda path: request.param(tmp_path / wake_path(path.name), tmp_path)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_file_beside_the_database_that_is_no_regular_file_is_refused_by_name(path, uri, plant, tmp_path, is_new):
    if not is_new:
        drivers.open_data(uri).close()
        Path(wake_path(str(path))).unlink()
    plant(path)

    with pytest.raises(ConfigurationError, match=r"-wake is no regular file.*delete it"):
        drivers.open_data(uri)

    precious = tmp_path / "precious"
    assert not precious.exists() or precious.read_text() == "precious"


def test_what_is_planted_while_the_database_is_open_is_neither_written_to_nor_waited_for(path, uri, plant, tmp_path):
    signal = WakeSignal(str(path))
    plant(path)

    signal.send()

    with pytest.raises(OSError, match=r".+"):
        open_wake_file(str(path))
    precious = tmp_path / "precious"
    assert not precious.exists() or precious.read_text() == "precious"


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_files_honour_the_umask(path, uri, umask, mode):
    former = os.umask(umask)
    try:
        with closing(drivers.open_data(uri)) as driver:
            driver.queue_controller.create("q")
            driver.message_controller.post("q", [{"ttl": None, "body": "a"}], None)
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(former)

    assert modes == {path.name + end: mode for end in ("", "-wal", "-shm", "-wake")}


@pytest.mark.parametrize(("mode", "warns"), [(0o777, True), (0o775, False), (0o1777, False), (0o700, False)])
def test_a_folder_in_which_every_user_may_replace_the_file_is_warned_of_once(tmp_path, mode, warns, caplog):
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(mode)

    with caplog.at_level(logging.WARNING):
        for name in ("one", "two"):
            drivers.open_data(f"sqlite:///{folder}/{name}.db").close()

    assert [record.message.count("chmod o-w") for record in caplog.records] == [1] * warns


@pytest.mark.parametrize(
    "url",
    [
        f"pool:///{'a' * 300}",
        f"pool:///{'a' * 248}",
        f"pool+sqlite:////tmp/{'b' * 300}.db",
        f"pool+sqlite:////tmp/{'/'.join(['c' * 200] * 30)}.db",
    ],
)
def test_a_path_that_is_too_long_is_an_error_of_the_configuration(url, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    with Connection(url) as connection, pytest.raises(ConfigurationError, match="name too long"):
        connection.ensure_connection(max_retries=9)
