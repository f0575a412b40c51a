"""The documentation leads to every page, and what it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from kombu_pool.drivers.mongodb import schema as mongodb
from kombu_pool.drivers.redis import server_check as redis
from kombu_pool.drivers.redis.permissions import CLUSTER_WAKING, COMMANDS, WAKING
from kombu_pool.drivers.sqlite import schema as sqlite
from tests.support.docs.pages import PAGES, ROOT, anchors, links

#: How a page names a test: ``tests/some/test_file.py::test_name``.
TEST = re.compile(r"(tests/[\w/]+\.py)::(test_\w+)")
#: How a page names a file of ours, relative to the package or to the project.
FILE = re.compile(r"`((?:kombu_pool|tests|examples|cli|transport|pooling|drivers|storage)/[\w/*.]+)`")
#: How a script names a command.
COMMAND = re.compile(r"redis\.p?call\(\s*'(\w+)'|(?:lookup|kept)\('(\w+)'")
INDEX = ROOT / "docs" / "index.md"


@cache
def names_in(path: str) -> frozenset[str]:
    file = ROOT / path
    if not file.exists():
        return frozenset()
    return frozenset(node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef))


def test_every_test_that_a_page_names_exists():
    named = [(page.name, path, name) for page in PAGES for path, name in TEST.findall(page.read_text())]

    assert named
    assert [each for each in named if each[2] not in names_in(each[1])] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page):
    broken = [
        (file.name, anchor)
        for file, anchor in links(page)
        if not file.exists() or (anchor and anchor not in anchors(file))
    ]

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page):
    named = FILE.findall(page.read_text())

    assert [name for name in named if not any(any(folder.glob(name)) for folder in (ROOT, ROOT / "kombu_pool"))] == []


def test_the_index_leads_to_every_page():
    reached, found = set(), [INDEX]
    while found:
        page = found.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            found += [file for file, _ in links(page)]

    assert set(PAGES) <= reached
    assert {file for file, _ in links(INDEX)} >= set((ROOT / "docs").glob("*.md")) - {INDEX}


def test_the_readme_is_short_and_begins_with_a_task():
    lines = (ROOT / "README.md").read_text().splitlines()
    first = "\n".join(lines[:20])

    assert len(lines) <= 120
    assert max(map(len, filter(lambda line: not line.startswith(("|", "$")), lines))) <= 140
    assert "@app.task" in first
    assert first.index("$ make quickstart") < first.index("$ make test") < first.index("@app.task")
    assert "Redis Cluster" in "\n".join(lines[:6])
    assert all(re.search(r"\d", line) for line in lines[2:5])


def test_the_layouts_are_those_that_the_drivers_check():
    text = (ROOT / "docs" / "upgrading.md").read_text()
    named = dict(re.findall(r"^\| (\w+) \|[^|]*\| (\d+) \|$", text, re.MULTILINE))

    layouts = {"SQLite": sqlite.LAYOUT_VERSION, "Redis": redis.LAYOUT_VERSION, "MongoDB": mongodb.LAYOUT_VERSION}
    assert {store: named[store] for store in layouts} == {store: str(number) for store, number in layouts.items()}


def test_the_permissions_of_a_redis_user_allow_every_command_of_the_scripts():
    text = (ROOT / "docs" / "redis.md").read_text()
    scripts = (ROOT / "kombu_pool" / "drivers" / "redis" / "lua").glob("**/*.lua")

    used = {name.lower() for script in scripts for pair in COMMAND.findall(script.read_text()) for name in pair if name}
    allowed = set(re.findall(r"\+(\w+)", text))

    assert {"zadd", "hrandfield", "zmscore"} <= used
    assert used - allowed == set()
    assert used - {*COMMANDS, *WAKING, *CLUSTER_WAKING} == set()
    assert {*COMMANDS, *WAKING, *CLUSTER_WAKING} - allowed == set()
