"""The pages for those who run workers: their blocks, their commands, and the log lines that they explain."""

from __future__ import annotations

import re
import shlex
import sqlite3
from contextlib import closing, suppress

import click
import pytest

from kombu_pool.cli import main, pool
from tests.support.docs.applications import ADDING, RESULTS, application
from tests.support.docs.pages import PAGES, ROOT

#: A command of ours within a line of text, and a line of the log in the first column of a table.
COMMAND = re.compile(r"`(celery -A \w+ pool [^`]+|python -m kombu_pool -b [^`]+)`")
LOGGED = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)
COMMANDS = sorted(
    {
        command
        for page in PAGES
        for command in COMMAND.findall(page.read_text())
        if not {"COMMAND", "..."} & {*command.split()}
    }
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_a_page_names_has_these_options(command):
    group, words = (
        (pool, shlex.split(command)[4:]) if command.startswith("celery") else (main, shlex.split(command)[3:])
    )
    context = group.make_context("pool", words)
    name, found, rest = group.resolve_command(context, [*context._protected_args, *context.args])

    # A sentence may name a command without its arguments, and a file that is not here.
    with suppress(click.BadParameter):
        found.make_context(name, rest, parent=click.Context(group))


def test_a_log_line_that_the_page_explains_is_one_that_is_logged():
    page = (ROOT / "docs" / "troubleshooting.md").read_text().partition("## What the log says")[2]
    sources = "".join(file.read_text() for file in (ROOT / "kombu_pool").rglob("*.py"))
    logged = " ".join(re.sub(r'"\s*\n\s*f?"', "", sources).split())

    lines = LOGGED.findall(page)
    parts = {line: [part.strip() for part in re.split(r"'\.\.\.'|\bN\b", line)] for line in lines}

    assert len(lines) >= 5
    assert [line for line, texts in parts.items() if not all(text in logged for text in texts)] == []


@pytest.mark.celery
@pytest.mark.recipe(
    "docs/migrating.md",
    "$ celery -A tasks migrate redis://cache:6379/1 pool+redis://cache:6379/0 --timeout 5 --ack-messages",
)
def test_what_waits_on_another_broker_comes_along(recipe, redis, redis_terminal):
    (migrate,) = recipe
    old, new = f"redis://{redis.address}/1", f"pool+redis://{redis.address}/0"
    redis_terminal.create("tasks.py", application(broker=new, backend=RESULTS))
    sent = "[tasks.add.delay([n]) for n in range(30)]; tasks.add.apply_async(([1],), countdown=3600)"
    redis_terminal.run(f'CELERY_BROKER_URL={old} python -c "import tasks; {sent}"')

    redis_terminal.console(migrate)

    listed = redis_terminal.run("celery -A tasks pool queues celery")
    assert "celery\tdefault\t30\t1\t0" in listed


@pytest.mark.celery
@pytest.mark.recipe(
    "docs/production.md",
    'app.conf.broker_url = "pool+sqlite:////var/lib/shop/broker.db"',
    "import sqlite3",
)
def test_a_copy_of_a_file_in_use_has_all_that_was_published(recipe, terminal):
    one_file, copying = recipe
    (terminal.folder / "backups").mkdir()
    terminal.replaced = {**terminal.replaced, "/var/backups": str(terminal.folder / "backups")}
    terminal.create(
        "tasks.py", f"from celery import Celery\napp = Celery('tasks')\n{terminal.substitute(one_file.text)}{ADDING}"
    )
    terminal.run("""python -c "import tasks; [tasks.add.delay([n]) for n in range(50)]" """)

    terminal.python(copying)

    with closing(sqlite3.connect(terminal.folder / "backups" / "broker.db")) as copy:
        assert copy.execute("SELECT count(*) FROM message").fetchone() == (50,)
