"""Options of other transports end no process: each is named once, with what takes its place."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import amqp
import kombu.transport
import pytest

from kombu_pool.transport import foreign_options, options
from tests.support.transport.traffic import declare, publish, take_all

#: How Kombu's transports name the options of a connection.
OPTIONS = re.compile(r"(transport_opt|topts|options$|\bopts$)")


def is_read_option(node):
    """Return the part of an expression that names an option of a connection; None if it does not read one."""
    owner, name = None, None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"get", "pop"}:
        owner, name = node.func.value, node.args and node.args[0]
    elif isinstance(node, ast.Subscript):
        owner, name = node.value, node.slice
    found = isinstance(name, ast.Constant) and OPTIONS.search(ast.unparse(owner))
    return name if found else None


def listed(node):
    """Return the constants in the list of options that a channel takes over."""
    is_list = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "from_transport_options"
    return [part for part in ast.walk(node.value) if isinstance(part, ast.Constant)] if is_list else []


def options_of_kombu():
    """Return the names of all options that Kombu's transports read, and of those of py-amqp, which gets all of them."""
    names = set(inspect.signature(amqp.Connection.__init__).parameters) - {"self", "kwargs"}
    for file in Path(kombu.transport.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            read = is_read_option(node)
            names |= {part.value for part in (*listed(node), *([read] if read else ())) if isinstance(part.value, str)}
    return sorted(names)


@pytest.fixture(autouse=True)
def warnings(caplog, monkeypatch):
    """Return the warnings of unused options; each test starts as a process does."""
    monkeypatch.setattr(foreign_options, "_warned", set())
    caplog.set_level("WARNING", foreign_options.logger.name)
    return lambda: [record.getMessage() for record in caplog.records if record.name == foreign_options.logger.name]


def test_every_option_of_kombu_is_named_once_and_ends_nothing(warnings):
    names = [name for name in options_of_kombu() if name not in options.OURS]
    assert {"visibility_timeout", "unacked_restore_limit", "wait_time_seconds", "client_properties", "ssl"} < set(names)

    for _ in range(3):
        options.read("memory://x", dict.fromkeys(names, 1))

    (told,) = warnings()
    quiet = foreign_options.OF_KOMBU
    assert [name for name in names if (f"'{name}': " in told) is (name in quiet)] == []


def test_steps_of_priorities_are_named_unless_their_order_is_chosen(warnings):
    options.read("memory://x", {"priority_steps": [0, 3, 6, 9], "priority_order": "redis"})
    assert warnings() == []

    options.read("memory://x", {"priority_steps": [0, 3, 6, 9]})

    (told,) = warnings()
    assert "set the option priority_order to 'redis'" in told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("visibility_timeout", "claim_ttl"),
        ("socket_timeout", "as in pool+redis://HOST/0?socket_timeout=..."),
        ("synchronous", "as in pool+sqlite:///FILE?synchronous=..."),
        ("ssl", "broker_use_ssl"),
        ("master_name", "pool+redis+sentinel://HOST1,HOST2/MASTER/0"),
        ("colour", "no option of kombu_pool"),
    ],
)
def test_the_warning_says_what_to_do_instead(warnings, name, told):
    options.read("memory://x", {name: 1})

    (warning,) = warnings()
    assert told in warning


def test_a_policy_of_retries_which_kombu_adds_is_no_news(warnings):
    options.read("memory://x", dict.fromkeys(foreign_options.OF_KOMBU, 1))

    assert warnings() == []


def test_an_option_that_is_unset_is_no_news(warnings):
    options.read("memory://x", {"visibility_timeout": None, "colour": None})

    assert warnings() == []


@pytest.mark.parametrize("name", foreign_options.PREFIXES)
def test_installations_that_a_prefix_kept_apart_stay_apart(connect, warnings, name):
    mine, others = connect(**{name: "mine-"}), connect(**{name: "others-"})
    for connection, body in ((mine, "a"), (others, "b")):
        declare(connection.default_channel, "q")
        publish(connection.default_channel, "q", body)

    assert take_all(mine.default_channel, "q") == ["a"]
    assert take_all(others.default_channel, "q") == ["b"]
    assert warnings() == []


def test_a_project_stands_above_a_prefix(warnings):
    read = options.read("memory://x", {"project": "p", "global_keyprefix": "x"})

    assert read.project == "p"
    assert "'global_keyprefix': set the option project" in warnings()[0]


def test_of_two_prefixes_the_one_without_effect_is_named(warnings):
    read = options.read("memory://x", {"global_keyprefix": "x", "queue_name_prefix": "y"})

    assert read.project == "x"
    assert "'queue_name_prefix'" in warnings()[0]
    assert "'global_keyprefix'" not in warnings()[0]
