"""No output of a worker contains the password of its broker."""

from __future__ import annotations

import json

import pytest

from tests.support.celery.site import Site
from tests.support.servers.redis_quoted_password import QuotedPasswordServer

#: A broker URL without a server.
UNREACHABLE = "pool+redis://:gone@127.0.0.1:1/0"


@pytest.fixture
def server():
    with QuotedPasswordServer() as server:
        yield server


@pytest.fixture
def url(server):
    return f"pool+{server.uri()}&socket_timeout=5"


@pytest.fixture
def site(url, tmp_path):
    site = Site(tmp_path, url)
    yield site
    site.close()


def test_neither_its_answers_nor_its_log_hold_the_password(site, server):
    worker = site.worker("--pool=prefork", "--concurrency=1", "--loglevel=debug")

    answers = [getattr(site.inspect(worker), question)() for question in ("stats", "conf", "report")]

    assert site.answer(site.send("add", 1, 1)) == 2
    assert answers[0][worker.name]["broker"]["hostname"].startswith("pool+rediss://user:**@")
    assert not server.is_password_in(json.dumps(answers))
    assert not server.is_password_in(worker.log)


def test_an_outage_is_told_of_without_the_password(site, server):
    server.pause()
    worker = site.lone_worker("--pool=solo", "--loglevel=debug", ready=False)
    worker.wait_for_log("Trying again in")

    server.resume()

    assert site.answer(site.send("add", 1, 1)) == 2
    assert not server.is_password_in(worker.log)


def test_an_alternate_is_as_secret(tmp_path, url, server):
    site = Site(tmp_path, f"{UNREACHABLE};{url}")
    worker = site.lone_worker("--pool=solo", "--loglevel=debug")

    stats = json.dumps(site.inspect(worker).stats())

    assert site.answer(site.send("add", 1, 1)) == 2
    assert "127.0.0.1:1" in stats
    for text in (stats, worker.log):
        assert not server.is_password_in(text)
        assert ":gone@" not in text
    site.close()


@pytest.mark.parametrize("command", ["report", "list bindings"])
def test_no_command_prints_it(site, server, command):
    assert not server.is_password_in(site.run(*command.split()))
