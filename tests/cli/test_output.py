"""What the commands print: on a terminal with and without rich, for programs, and without Celery."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from kombu import Queue

from kombu_pool.cli import main
from kombu_pool.operator import formats
from tests.support.limits import LIMIT


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture(params=["rich", "plain"])
def rendering(request, terminal, monkeypatch):
    """A terminal of 100 columns, with and without rich."""
    if request.param == "plain":
        monkeypatch.setitem(sys.modules, "rich.console", None)
    return request.param


def declare(app, *names, messages=0):
    with app.connection_for_write() as connection:
        for name in names:
            Queue(name)(connection.default_channel).declare()
            for _ in range(messages):
                connection.Producer().publish({}, routing_key=name)


def test_numbers_stand_right_and_what_is_wrong_is_red(app, pool, rendering):
    declare(app, "a")
    declare(app, "a-queue-with-a-longer-name", messages=12)

    lines = [line[0] for line in pool("queues")[1]]

    plain = [strip(line) for line in lines]
    assert all(len(line) <= 100 for line in plain)
    assert len({line.rstrip().rfind("READY") + 5 for line in plain[:1]} | {column_end(plain, "12", 2)}) == 1
    assert "\x1b[1m" in lines[0]
    assert "\x1b[31m" in lines[2]  # messages without a consumer
    assert "\x1b[31m" not in lines[1]


def strip(line):
    parts = line.split("\x1b[")
    return parts[0] + "".join(part.partition("m")[2] for part in parts[1:])


def column_end(lines, text, row):
    return lines[row].index(f" {text} ") + 1 + len(text)


def test_a_long_uri_is_folded_or_whole_and_never_cut(app, pool, rendering, tmp_path):
    uri = f"sqlite:///{tmp_path}/{'x' * 120}.db"
    assert pool("add", "quick", uri)[0] == 0

    shown = "".join(strip(line[0]).strip() for line in pool("ls")[1][1:])

    assert uri in shown.replace(" ", "")


def test_colour_may_be_turned_off(app, pool, rendering, monkeypatch):
    declare(app, "a", messages=1)
    monkeypatch.setenv("NO_COLOR", "1")

    assert "\x1b[31m" not in str(pool("queues"))


def test_a_sentence_stands_for_an_empty_table(app, pool):
    declare(app)
    with app.connection_for_write() as connection:
        connection.connect()

    assert pool("queues") == (0, [["There are no queues."]])
    assert pool("ls") == (0, [["There are no pools: the first queue gets one over the control store."]])
    assert pool("dead") == (0, [["There are no dead letters."]])


@pytest.mark.parametrize(
    "command",
    [
        ("queues",),
        ("queue", "a"),
        ("peek", "a"),
        ("ls",),
        ("health",),
        ("doctor",),
        ("dead",),
        ("dead", "a"),
        ("tasks",),
    ],
)
def test_json_is_one_document_whose_keys_are_documented(app, ask, command):
    declare(app, "a", messages=1)

    document = ask(*command)

    text = (importlib.resources.files("kombu_pool").parent / "docs" / "cli.md").read_text()
    missing = {key for key in keys_of(document) if f"`{key}`" not in text}
    assert missing == set()


def keys_of(document):
    if isinstance(document, list):
        return {key for value in document for key in keys_of(value)}
    if isinstance(document, dict):
        nested = [keys_of(value) for name, value in document.items() if name not in ("declared", "policy")]
        return {*document, *(key for keys in nested for key in keys)}
    return set()


def test_h_shows_the_help_of_each_command(pool):
    for name in (None, *main.commands):
        status, lines = pool(*([] if name is None else [name]), "-h")

        assert status == 0
        assert "Usage:" in lines[0][0]


def test_ages_and_sizes_are_in_their_largest_units():
    assert [formats.format_age(age) for age in (None, 0, 59.9, 61, 3_725, 90_000)] == [
        None, "0s", "59s", "1m01s", "1h02m", "1d01h",
    ]  # fmt: skip
    assert [formats.format_size(size) for size in (None, 999, 1500, 2_500_000, 3e9, 4e12)] == [
        None, "999 B", "1.5 kB", "2.5 MB", "3.0 GB", "4.0 TB",
    ]  # fmt: skip


def test_a_broker_url_serves_without_celery(app, tmp_path):
    declare(app, "orders", messages=2)
    url = f"pool+sqlite:///{tmp_path}/control.db"

    program = "import sys; sys.modules['celery'] = None; from kombu_pool.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "-b", url, "queues", "--json"],
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["queues"][0]["ready"] == 2


def test_a_module_is_run_by_its_name(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "kombu_pool", "-b", f"pool+sqlite:///{tmp_path}/no.db", "queues"],
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert "does not exist" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_broker_url_takes_a_project_and_transport_options(app, tmp_path):
    app.conf.broker_transport_options = {"project": "shop"}
    declare(app, "orders")
    url = f"pool+sqlite:///{tmp_path}/control.db"

    def names(*options):
        done = CliRunner().invoke(main, ["-b", url, *options, "queues", "--json"])
        assert done.exit_code == 0, done.output
        return [row["queue"] for row in json.loads(done.output)["queues"]]

    assert names() == []
    assert names("--project", "shop") == names("--transport-options", '{"project": "shop"}') == ["orders"]
    assert CliRunner().invoke(main, ["-b", url, "--transport-options", "[1]", "queues"]).exit_code == 2


def test_another_broker_or_none_is_an_error():
    for arguments in (["-b", "amqp://localhost", "queues"], ["-b", "memory://", "queues"]):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 1
        assert "is not a pool:// broker" in done.output
    assert CliRunner().invoke(main, ["queues"]).exit_code == 2


def test_a_password_of_a_broker_url_is_masked():
    done = CliRunner().invoke(main, ["-b", "pool+redis://app:hunter2@127.0.0.1:1/0", "queues"])

    assert done.exit_code == 1
    assert "hunter2" not in done.output


def test_the_command_line_needs_no_generic_parameter_types():
    program = """
import click

class Plain(click.ParamType):
    __class_getitem__ = None

click.ParamType = Plain
import kombu_pool.cli
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_ctrl_c_ends_a_command_with_its_own_status(app, pool, monkeypatch, tmp_path):
    declare(app, "orders")

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("kombu_pool.cli.queues.look", interrupt)

    assert pool("watch")[0] == 130
    assert CliRunner().invoke(main, ["-b", f"pool+sqlite:///{tmp_path}/control.db", "watch"]).exit_code == 130
