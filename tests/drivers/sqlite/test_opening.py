from __future__ import annotations

import json
import os
import sqlite3
import stat

import pytest

from kombu_pool import drivers
from kombu_pool.drivers.sqlite.schema import LAYOUT_VERSION
from kombu_pool.errors import ConfigurationError, ConnectionError, IncompatibleStore  # noqa: A004 - Zaqar's name for it
from tests.support.limits import LIMIT

PROCESSES = 6


def test_a_file_that_is_no_database_is_refused_by_name(path, uri):
    path.write_bytes(b"dear diary" * 1000)

    with pytest.raises(IncompatibleStore, match=path.name):
        drivers.open_data(uri)


def test_a_database_of_another_application_is_left_alone(path, uri):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE message(text)")
    connection.close()

    with pytest.raises(IncompatibleStore, match="another application"):
        drivers.open_data(uri)

    connection = sqlite3.connect(path)
    assert [name for (name,) in connection.execute("SELECT name FROM sqlite_master")] == ["message"]
    connection.close()


def test_a_newer_schema_asks_for_an_upgrade(path, uri):
    drivers.open_data(uri).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {LAYOUT_VERSION + 1}")
    connection.close()

    with pytest.raises(IncompatibleStore, match="upgrade kombu_pool"):
        drivers.open_data(uri)


@pytest.mark.parametrize("version", [0, LAYOUT_VERSION - 1, LAYOUT_VERSION + 1])
@pytest.mark.parametrize("open_driver", [drivers.open_data, drivers.open_control])
def test_a_store_of_another_layout_version_is_refused_with_its_remedy(path, uri, open_driver, version):
    drivers.open_data(uri).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()

    with pytest.raises(IncompatibleStore) as refused:
        open_driver(uri)

    assert str(path) in str(refused.value)
    assert f"layout version {version}" in str(refused.value)
    assert f"needs {LAYOUT_VERSION}" in str(refused.value)
    assert "move the file away or delete it: before 0.1.0 layouts are not migrated" in str(refused.value)


def test_a_store_keeps_its_identity_which_both_planes_show(uri):
    first = drivers.open_data(uri)
    identity = first.identity
    first.close()

    again, control = drivers.open_data(uri), drivers.open_control(uri)

    assert len(bytes.fromhex(identity)) == 16
    assert again.identity == control.identity == identity
    again.close()
    control.close()


def test_a_forked_child_and_another_process_find_the_same_identity(uri, run):
    driver = drivers.open_data(uri)

    reported = json.loads(run("identify", uri).communicate(timeout=LIMIT)[0])

    assert reported == driver.identity
    driver.close()


def test_two_stores_have_different_identities(tmp_path):
    stores = [drivers.open_data(f"sqlite:///{tmp_path}/{name}.db") for name in "ab"]

    assert stores[0].identity != stores[1].identity
    for store in stores:
        store.close()


def test_a_new_file_in_the_place_of_a_deleted_one_is_another_store(path, uri):
    first = drivers.open_data(uri)
    first.close()
    path.unlink()

    second = drivers.open_data(uri)

    assert second.identity != first.identity
    second.close()


def test_an_empty_file_becomes_a_store(path, uri):
    path.touch()

    driver = drivers.open_data(uri)

    assert driver.is_alive()
    driver.close()


def test_missing_folders_are_made_for_their_owner_only(tmp_path):
    drivers.open_data(f"sqlite:///{tmp_path}/a/b/pool.db").close()

    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")] == [0o700, 0o700]


def test_a_folder_is_not_a_store(tmp_path):
    with pytest.raises(ConfigurationError, match="is a folder: name a file in it"):
        drivers.open_data(f"sqlite:///{tmp_path}")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match=r"file.*cannot be made"):
        drivers.open_data(f"sqlite:///{tmp_path}/file/pool.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable_is_named(tmp_path):
    tmp_path.chmod(0o500)

    with pytest.raises(ConfigurationError, match="not writable"):
        drivers.open_data(f"sqlite:///{tmp_path}/pool.db")


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://host/pool.db"])
def test_a_uri_without_a_file_says_what_would_be_right(uri):
    with pytest.raises(ConfigurationError, match=r"sqlite:////absolute\.db"):
        drivers.open_data(uri)


@pytest.mark.parametrize("query", ["synchronous=OFF", "synchronus=FULL", "busy_timeout=-1", "wal_size_limit=1"])
def test_an_option_that_cannot_work_is_refused(path, query):
    with pytest.raises(ConfigurationError, match=query.partition("=")[0]):
        drivers.open_data(f"sqlite:///{path}?{query}")

    assert not path.exists()


def test_a_relative_path_is_found_from_elsewhere_by_the_control_stores_uri(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    control = drivers.open_control("sqlite:///in%20here.db?synchronous=normal")
    control.queue_controller.create("q")
    monkeypatch.chdir("/")

    again = drivers.open_control(control.uri)

    assert again.queue_controller.exists("q")
    assert control.uri.endswith("in%20here.db?synchronous=normal")
    control.close()
    again.close()


def test_one_process_has_one_connection_to_a_file(uri):
    first, second = drivers.open_data(uri), drivers.open_data(uri)

    assert first._database is second._database
    first.close()
    assert second.is_alive()
    second.close()


def test_a_closed_driver_says_so(uri):
    driver = drivers.open_data(uri)
    driver.close()
    driver.close()

    assert not driver.is_alive()
    with pytest.raises(ConnectionError, match="closed"):
        driver.queue_controller.exists("q")


def test_processes_that_open_a_new_file_at_once_all_succeed(uri, run):
    processes = [run("open_and_post", uri) for _ in range(PROCESSES)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()

    assert [process.wait(LIMIT) for process in processes] == [0] * PROCESSES

    driver = drivers.open_data(uri)
    assert driver.message_controller.count("q") == PROCESSES
    driver.close()


def test_a_name_that_is_no_text_is_refused(driver):
    with pytest.raises(ConfigurationError, match="not a text"):
        driver.queue_controller.create("lone surrogate \ud800")

    with pytest.raises(ConfigurationError, match="not a text"):
        driver.message_controller.post("\ud800", [{"ttl": 1, "body": 1}], None)

    assert driver.queue_controller.calculate_resource_count() == 1


def test_names_with_nul_characters_stay_apart(driver):
    driver.queue_controller.create("a\0b", {"n": 1}, project="p\0")
    driver.queue_controller.create("a\0c", {"n": 2}, project="p\0")

    assert driver.queue_controller.get("a\0b", "p\0") == {"n": 1}
    assert next(driver.queue_controller.list("p\0", name="\0c")) == [{"name": "a\0c"}]
    assert not driver.queue_controller.exists("a", "p\0")
