"""The settings of public projects work as they stand, with another broker URL: honoured, or named in one log line."""

from __future__ import annotations

import re

import pytest

from tests.support.celery.project_settings import PROJECT, PROJECTS
from tests.support.celery.site import Site
from tests.support.celery.worker import eventually
from tests.support.docs.pages import ROOT

#: A line of the log about what has no effect: where it was given, and the rest.
UNUSED = re.compile(r"WARNING/MainProcess\] (\w+): without effect on a pool:// broker: (.*)")
#: An option in such a line, and Celery's name of a setting.
NAMED, SETTING = re.compile(r"(?:\A|; )'(\w+)[^']*': "), re.compile(r"\(in Celery: (\w+)\)")


@pytest.fixture(params=sorted(PROJECTS))
def project(request):
    return request.param


@pytest.fixture
def site(broker, tmp_path, project, monkeypatch):
    # A worker of root refuses pickle otherwise, which two of the projects use.
    monkeypatch.setenv("C_FORCE_ROOT", "yes")
    site = Site(tmp_path, broker.url, **{PROJECT: project})
    yield site
    site.close()


def test_a_worker_with_the_settings_of_a_project_runs_its_tasks_and_names_what_has_no_effect(site, project):
    given = PROJECTS[project]
    worker = site.worker("--concurrency=1", "--without-mingle", "--without-gossip")

    for number in range(3):
        site.send("note", str(number), **({"queue": given.queue} if given.queue else {}))
    eventually(lambda: sorted(site.journal.texts()) == ["0", "1", "2"], why=lambda: worker.log)
    (stats,) = site.inspect(worker).stats().values()
    (consumed,) = site.inspect(worker).active_queues().values()

    assert stats["prefetch_count"] == given.settings.get("worker_prefetch_multiplier", 4)
    assert len(consumed) == len(given.queues)
    unused = dict(UNUSED.findall(worker.log))
    assert set(NAMED.findall(unused.get("broker_transport_options", ""))) == given.unused_options
    assert set(SETTING.findall(unused.get("connection", ""))) == given.named
    assert len(UNUSED.findall(worker.log)) == bool(given.unused_options) + bool(given.named)
    assert ("'visibility_timeout': needs nothing" in worker.log) is ("visibility_timeout" in given.options)
    assert "secret" not in worker.log
    assert not re.search(r"Traceback|ERROR|CRITICAL", worker.log)


def test_the_page_lists_the_projects_and_what_the_log_names():
    page = (ROOT / "docs" / "migrating.md").read_text()
    rows = dict(re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]*) \|$", page.partition("### Projects")[2], re.MULTILINE))

    named = {project: set(re.findall(r"`(\w+)`", cells)) for project, cells in rows.items()}
    assert len(PROJECTS) == 19
    assert {name: named.get(name) for name in PROJECTS} == {
        name: given.unused_options | given.named for name, given in PROJECTS.items()
    }
