"""``celery pool ...``, called as on the command line."""

from __future__ import annotations

import shutil
import sys

import pytest
from kombu import Queue

from kombu_pool.errors import ConfigurationError


def declare(app, *names, **arguments):
    with app.connection_for_write() as connection:
        for name in names:
            Queue(name, queue_arguments=arguments or None)(connection.default_channel).declare()


def test_a_pool_that_was_added_is_listed(pool, tmp_path):
    added = pool("add", "quick", f"sqlite:///{tmp_path}/quick.db", "--weight", "50", "--flavor", "quick")

    assert added == (0, [["Added quick."]])
    assert ["quick", "50", "quick", "0", f"sqlite:///{tmp_path}/quick.db"] in pool("ls")[1]


def test_a_pool_is_not_added_twice(pool, tmp_path):
    pool("add", "quick", f"sqlite:///{tmp_path}/quick.db")

    status, lines = pool("add", "quick", f"sqlite:///{tmp_path}/other.db")

    assert status == 1
    assert "already" in lines[0][0]


def test_a_pool_whose_uri_no_driver_serves_is_not_added(pool):
    for uri, message in (("carrier-pigeon://loft", "carrier-pigeon://"), ("loft", "'loft' is not the URI of a store")):
        status, lines = pool("add", "odd", uri)

        assert status == 1
        assert message in " ".join(lines[0])
    assert pool("ls")[1][1:] == []


def test_a_store_that_cannot_be_opened_is_not_added(pool, tmp_path):
    (tmp_path / "file").touch()

    status, _ = pool("add", "broken", f"sqlite:///{tmp_path}/file/pool.db")

    assert status == 1
    assert pool("ls")[1][1:] == []


def test_a_pool_changes_its_weight(pool, tmp_path):
    pool("add", "quick", f"sqlite:///{tmp_path}/quick.db")

    assert pool("set", "quick", "--weight", "0")[0] == 0
    assert pool("ls")[1][1][:2] == ["quick", "0"]


@pytest.mark.parametrize(
    "command",
    [
        ("ls",), ("health",), ("queues",), ("dead",), ("dead", "q", "--delete", "-y"), ("redrive", "q"), ("rm", "a"),
        ("set", "a"), ("queue", "q"), ("watch",), ("delete", "q", "-y"), ("pause", "q"), ("resume", "q"), ("peek", "q"),
        ("purge", "q", "-y"), ("tasks",), ("cancel", "id"), ("reschedule", "id", "--in", "5s"), ("now", "id"),
        ("doctor",),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_mistyped_broker_url_makes_no_store(pool, tmp_path, command):
    status, lines = pool(*command)

    assert status == 1
    assert f"sqlite:///{tmp_path}/control.db does not exist" in lines[0][0]
    assert list(tmp_path.iterdir()) == []


def test_the_health_of_a_pool_without_a_queue_makes_no_store(pool, app, tmp_path):
    uri = named_in_settings(app, tmp_path)
    declare(app, "q")
    pool("rm", "main")
    pool("set", "main", "--weight", "0")
    app.conf.broker_transport_options["pools"].append({"name": "spare", "uri": f"sqlite:///{tmp_path}/spare.db"})

    status, lines = pool("health")

    assert status == 0
    assert ["main", "yes"] in [line[:2] for line in lines]
    assert ["spare", "unused"] in [line[:2] for line in lines]
    assert not (tmp_path / "spare.db").exists()
    assert uri.endswith("main.db")


def test_a_store_with_queues_that_is_gone_is_down(pool, app, tmp_path):
    uri = named_in_settings(app, tmp_path)
    declare(app, "q")
    for file in tmp_path.glob("main.db*"):
        file.unlink()

    status, lines = pool("health")

    assert status == 1
    assert ["main", "no", "", "", f"{uri}: the store does not exist, and 1 queues are assigned to it"] in lines


def named_in_settings(app, tmp_path, name="main"):
    """Name a pool in the settings of the application; return its URI."""
    uri = f"sqlite:///{tmp_path}/{name}.db"
    app.conf.broker_transport_options = {"pools": [{"name": "main", "uri": uri, "weight": 100}]}
    return uri


def test_the_next_connection_of_a_process_does_not_undo_a_change(pool, app, tmp_path):
    named_in_settings(app, tmp_path)
    declare(app, "q")
    pool("set", "main", "--weight", "0")

    declare(app, "another")

    assert ["main", "0"] in [line[:2] for line in pool("ls")[1]]


def test_the_next_connection_of_a_process_does_not_undo_a_removal(pool, app, tmp_path):
    uri = named_in_settings(app, tmp_path)
    with app.connection_for_write() as connection:
        connection.connect()
    assert pool("ls")[1][1][:2] == ["main", "100"]
    assert pool("rm", "main")[0] == 0

    declare(app, "q")

    assert [line[0] for line in pool("ls")[1]] == ["POOL", "default"]
    assert pool("add", "main", uri)[0] == 0
    assert "main" in [line[0] for line in pool("ls")[1]]


def test_settings_that_lead_a_pool_with_queues_elsewhere_stop_a_connection_and_no_command(pool, app, tmp_path):
    named_in_settings(app, tmp_path)
    declare(app, "q")

    uri = named_in_settings(app, tmp_path, "other")

    with pytest.raises(ConfigurationError, match=r"'main'.*1 queues.*other"):
        declare(app, "q")
    status, lines = pool("ls")
    assert status == 0
    assert ["main", "100", "", "1", f"sqlite:///{tmp_path}/main.db"] in lines
    assert any("Warning: Pool 'main'" in line[0] for line in lines)
    assert "still holds 1 queue" in pool("set", "main", "--uri", uri)[1][-1][0]


def test_a_pool_changes_its_uri(pool, app, tmp_path):
    uri = named_in_settings(app, tmp_path)
    declare(app, "q")

    assert pool("set", "main", "--uri", f"{uri}?synchronous=NORMAL")[0] == 0

    assert pool("ls")[1][-1][-1] == f"{uri}?synchronous=NORMAL"
    assert pool("set", "main", "--uri", f"{uri}?synchronous=NEVER")[0] == 1


def test_another_uri_of_the_same_store_is_no_other_store(pool, app, tmp_path):
    uri = named_in_settings(app, tmp_path)
    declare(app, "q")
    (tmp_path / "link").symlink_to(tmp_path)
    other = named_in_settings(app, tmp_path / "link")

    declare(app, "q")
    assert pool("ls")[1][-1][-1] == uri
    assert pool("set", "main", "--uri", other)[0] == 0
    assert pool("ls")[1][-1][-1] == other


def test_a_pool_without_queues_is_removed(pool, tmp_path):
    pool("add", "quick", f"sqlite:///{tmp_path}/quick.db")

    assert pool("rm", "quick") == (0, [["Removed quick."]])
    assert pool("ls")[1][1:] == []


@pytest.mark.parametrize("command", [("rm", "nowhere"), ("set", "nowhere", "--weight", "1")])
def test_a_pool_that_is_not_there_is_named(pool, command, app):
    declare(app, "q")

    status, lines = pool(*command)

    assert status == 1
    assert "'nowhere' does not exist" in lines[0][0]


def test_queues_are_listed_with_their_messages(pool, app):
    declare(app, "orders")
    with app.connection_for_write() as connection:
        producer = connection.Producer()
        producer.publish({}, routing_key="orders")
        producer.publish({}, routing_key="orders")

    assert pool("queues")[1][1:] == [["orders", "default", "2", "0", "0", "0s", "0"]]


def test_a_pool_with_queues_is_not_removed(pool, app):
    declare(app, "orders")

    status, lines = pool("rm", "default")

    assert status == 1
    assert "still holds" in lines[0][0]


def test_every_pool_answers(pool, tmp_path):
    pool("add", "quick", f"sqlite:///{tmp_path}/quick.db")

    status, lines = pool("health")

    assert (status, lines[1][:2]) == (0, ["quick", "yes"])


def test_a_pool_that_does_not_answer_is_an_error(pool, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    pool("add", "quick", f"sqlite:///{folder}/quick.db")
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    folder.touch()

    status, lines = pool("health")

    assert (status, lines[1][:2]) == (1, ["quick", "no"])


def test_passwords_are_hidden(pool, app, tmp_path):
    app.conf.broker_transport_options = {
        "pools": [{"name": "secret", "uri": f"sqlite:///{tmp_path}/secret.db?synchronous=NORMAL&password=hunter2"}]
    }

    assert "hunter2" not in str(pool("ls"))


def test_another_broker_is_none_of_ours(pool, app):
    app.conf.broker_url = "memory://"

    status, lines = pool("ls")

    assert status == 1
    assert "is not a pool:// broker; did you forget -A?" in lines[0][0]


def test_a_wrong_option_is_named(pool, app):
    app.conf.broker_transport_options = {"claim_tll": 5}

    status, lines = pool("ls")

    assert status == 1
    assert "'claim_tll'" in lines[0][0]


def test_a_queue_of_a_pool_that_does_not_answer_is_listed(pool, app, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    pool("add", "quick", f"sqlite:///{disk}/quick.db")
    declare(app, "orders")
    shutil.rmtree(disk)
    disk.touch()

    status, lines = pool("queues")
    assert (status, lines[1]) == (1, ["orders", "quick", "?", "?", "?", "?", "0"])
    assert "Pool 'quick'" in lines[2][0]


def test_a_terminal_gets_a_table(pool, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    pool("add", "quick", f"sqlite:///{tmp_path}/quick.db")

    _, lines = pool("ls")

    assert "\x1b[1mPOOL" in lines[0][0]
    assert lines[1][0].split()[:2] == ["quick", "100"]


def test_rich_is_not_needed(pool, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    pool("add", "quick", f"sqlite:///{tmp_path}/quick.db")

    assert pool("ls")[1][1][:2] == ["quick", "100"]


def test_the_pool_of_a_flavor_that_the_settings_name_can_be_added(app, pool, tmp_path):
    app.conf.broker_transport_options = {"queue_flavors": {"quick.*": "quick"}}

    assert pool("add", "quick", f"sqlite:///{tmp_path}/quick.db", "--flavor", "quick")[0] == 0

    declare(app, "quick.one")
    assert ["quick.one", "quick"] in [line[:2] for line in pool("queues")[1]]


def test_the_reserved_pool_is_shown_and_cannot_be_changed_or_removed(app, pool, tmp_path):
    pool("add", "main", f"sqlite:///{tmp_path}/main.db")
    declare(app, "replies", **{"x-expires": 60_000})

    assert ["kombu_pool.control", "0", "", "1"] in [line[:4] for line in pool("ls")[1]]
    for command in (("set", "kombu_pool.control", "--weight", "1"), ("rm", "kombu_pool.control")):
        status, lines = pool(*command)
        assert status == 1
        assert "is the control store's own" in lines[0][0]


def test_a_pool_changes_its_options(app, pool, ask, tmp_path):
    uri = f"sqlite:///{tmp_path}/quick.db"
    assert pool("add", "quick", uri, "--options", '{"synchronous": "NORMAL"}')[0] == 0

    assert ask("ls")["pools"][0]["options"] == ["synchronous"]
    assert pool("set", "quick", "--options", "{}")[0] == 0
    assert ask("ls")["pools"][0]["options"] == []
    assert pool("set", "quick", "--options", '{"synchronous": "NEVER"}')[0] == 1
    assert pool("set", "quick", "--options", "synchronous")[0] == 2


def test_the_size_of_a_store_is_shown(stored, pool, ask):
    declare(stored, "orders")

    (found,) = ask("health")["pools"]

    assert found["answers"] is True
    assert found["size"] > 0
    assert any(unit in pool("health")[1][1][2] for unit in ("B", "kB", "MB"))
