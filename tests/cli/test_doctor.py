"""``celery pool doctor``, called as on the command line."""

from __future__ import annotations

import json
import shutil

import pytest
from kombu import Queue

import kombu_pool
from kombu_pool.operator import queues as operator_queues


@pytest.fixture
def findings(pool):
    """Call ``celery pool doctor --json``; returns the findings by their check."""

    def call():
        status, lines = pool("doctor", "--json")
        found = json.loads("\n".join("\t".join(line) for line in lines))["findings"]
        assert status == bool(found)
        return {finding["check"]: finding for finding in found}

    return call


def declare(app, *names):
    with app.connection_for_write() as connection:
        for name in names:
            Queue(name)(connection.default_channel).declare()


def test_nothing_is_wrong_with_a_broker_in_use(stored, pool):
    declare(stored, "orders", "mails")

    assert pool("doctor") == (0, [["Nothing is wrong."]])


def test_a_queue_whose_pool_is_gone_is_found(app, findings, tmp_path):
    declare(app, "orders")
    store = kombu_pool.open(f"sqlite:///{tmp_path}/control.db")
    store.control.catalogue_controller.insert(None, "lost", "nowhere")
    store.close()

    found = findings()

    assert found["no pool"]["subject"] == "lost"
    assert "'nowhere'" in found["no pool"]["problem"]


def test_queues_that_no_assignment_leads_to_are_found(app, pool, findings, tmp_path):
    pool("add", "quick", f"sqlite:///{tmp_path}/quick.db")
    declare(app, "orders")
    store = kombu_pool.open_data(f"sqlite:///{tmp_path}/quick.db")
    store.queue_controller.create("stray")
    store.close()

    assert findings() == {
        "orphans": {
            "check": "orphans",
            "subject": "quick",
            "problem": "its store has queues that the catalogue does not assign to it: 'stray'",
        }
    }


def test_a_store_in_place_of_another_is_found(app, pool, findings, tmp_path):
    pool("add", "quick", f"sqlite:///{tmp_path}/quick.db")
    declare(app, "orders")
    for file in tmp_path.glob("quick.db*"):
        file.unlink()
    kombu_pool.open_data(f"sqlite:///{tmp_path}/quick.db").queue_controller.create("q")

    found = findings()

    assert found["another store"]["subject"] == "quick"
    assert "'orders'" in found["another store"]["problem"]


def test_two_pools_over_one_store_are_found(app, pool, findings, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    pool("add", "quick", f"sqlite:///{tmp_path}/data/quick.db")
    pool("add", "same", f"sqlite:///{tmp_path}/link/quick.db")
    declare(app, "a", "b", "c", "d", "e")

    found = findings()

    assert list(found) == ["same store"]
    assert found["same store"]["subject"] == "quick"


def test_a_pool_that_does_not_answer_is_found_and_a_spare_one_is_not(app, pool, findings, tmp_path):
    pool("add", "quick", f"sqlite:///{tmp_path}/disk/quick.db")
    declare(app, "orders")
    shutil.rmtree(tmp_path / "disk")
    app.conf.broker_transport_options = {"pools": [{"name": "spare", "uri": f"sqlite:///{tmp_path}/spare.db"}]}

    found = findings()

    assert list(found) == ["unreachable"]
    assert "'quick'" in found["unreachable"]["problem"]
    assert not (tmp_path / "disk").exists()


def test_settings_that_differ_are_found(app, findings, tmp_path):
    declared = {"name": "main", "uri": f"sqlite:///{tmp_path}/main.db", "weight": 100}
    app.conf.broker_transport_options = {"pools": [declared]}
    declare(app, "orders")
    app.conf.broker_transport_options["pools"] = [{**declared, "weight": 5}]

    found = findings()

    assert found["settings"]["subject"] == "main"
    assert "weight 100 (settings: 5)" in found["settings"]["problem"]


def during_the_first_look(monkeypatch, act):
    """Let something happen between the first reading of the catalogue and the questions to the pools."""
    actions = [act]

    def ask(*given):
        if actions:
            actions.pop()()
        return operator_queues.ask(*given)

    monkeypatch.setattr("kombu_pool.operator.doctor.ask", ask)


def test_a_queue_that_is_declared_or_deleted_meanwhile_is_in_order(stored, pool, monkeypatch):
    declare(stored, "orders", "mails")

    def change():
        declare(stored, "new")
        with stored.connection_for_write() as connection:
            connection.default_channel.queue_delete("mails")

    during_the_first_look(monkeypatch, change)

    assert pool("doctor") == (0, [["Nothing is wrong."]])
