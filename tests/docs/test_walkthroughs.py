"""The pages that lead through an application, followed from their first line to their last."""

from __future__ import annotations

import pytest

from tests.support.docs.terminal import Terminal
from tests.support.docs.walkthrough import Walkthrough
from tests.support.servers.ports import free_port

pytestmark = pytest.mark.celery


@pytest.fixture
def terminal(tmp_path, redis):
    redis.ask("FLUSHALL")
    port = str(free_port())
    replaced = {
        "/var/lib/shop": str(tmp_path),
        "localhost:6379": redis.address,
        "localhost:8000": f"localhost:{port}",
        "runserver 8000": f"runserver {port}",
        "--port 8000": f"--port {port}",
    }
    terminal = Terminal(tmp_path, replaced)
    yield terminal
    terminal.close()


@pytest.mark.recipe("docs/django.md")
def test_a_django_site_sends_a_task_from_a_request(terminal):
    Walkthrough("docs/django.md", terminal).follow()

    terminal.run("python manage.py check")


@pytest.mark.recipe("docs/flask.md")
def test_a_flask_application_sends_a_task_from_a_request(terminal):
    Walkthrough("docs/flask.md", terminal).follow()

    terminal.run('python -c "import web"')


@pytest.mark.recipe("docs/fastapi.md")
def test_a_fastapi_application_sends_a_task_from_a_request(terminal):
    pytest.importorskip("fastapi")
    Walkthrough("docs/fastapi.md", terminal).follow()

    terminal.run('python -c "import web"')


@pytest.mark.recipe("docs/growing.md")
def test_what_waits_in_a_file_comes_along_to_a_redis(terminal):
    Walkthrough("docs/growing.md", terminal).follow()

    assert "default" in terminal.run("celery -A tasks pool ls")


@pytest.mark.recipe("docs/pools.md")
def test_pools_are_declared_added_and_retired(terminal):
    Walkthrough("docs/pools.md", terminal).follow()

    assert terminal.run("celery -A shop pool doctor") == "Nothing is wrong.\n"


@pytest.mark.recipe("docs/moving.md")
def test_a_queue_is_moved_and_a_pool_is_emptied(terminal):
    Walkthrough("docs/moving.md", terminal).follow()

    assert terminal.run("celery -A shop pool moves") == "No queue is moving.\n"


@pytest.mark.recipe("docs/unique-tasks.md")
def test_a_task_that_is_there_is_not_sent_again(terminal):
    Walkthrough("docs/unique-tasks.md", terminal).follow()

    assert terminal.run("celery -A reports pool dead") == "There are no dead letters.\n"
