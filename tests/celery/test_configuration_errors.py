"""An error of the configuration is one line of a worker's log, and one line of the exception of ``delay()``."""

from __future__ import annotations

import getpass
import re
import subprocess
import sys

import pytest

from kombu_pool.errors import KombuPoolError
from tests.support.celery.site import Site
from tests.support.limits import LIMIT

#: A worker and a producer in which a package is not installed.
WITHOUT_PACKAGE = """
import sys
sys.modules[sys.argv[1]] = None
from celery import Celery
app = Celery("shop", broker=sys.argv[2])
app.worker_main(["worker", "--pool=solo", "--loglevel=INFO", "--without-mingle", "--without-gossip"])
"""
#: What is wrong -> the broker URL, settings, and what the line says.
WRONG = {
    "an option": ("memory", {"broker_transport_options": {"clam_ttl": 5}}, ["no option 'clam_ttl'", "'claim_ttl'?"]),
    "a value": ("memory", {"broker_transport_options": {"claim_ttl": "x"}}, ["invalid claim_ttl='x'", "a number"]),
    "a scheme": ("pool+reddis://:hunter2@h/0", {}, ["No driver for reddis://", "did you mean redis://?"]),
    "a server": ("pool://:hunter2@h:6379", {}, ["names a server", "pool+redis://h:6379/..."]),
    "a part": ("pool://", {"broker_use_ssl": True}, ["takes no ssl", "broker_use_ssl", "Remove it"]),
    "an option of the store": ("pool+sqlite:////x.db?sync=NORMAL", {}, ["no option 'sync'", "synchronous"]),
    "a folder": (
        "pool+sqlite:////proc/shop/broker.db", {},
        ["the folder /proc/shop cannot be made by the user " + getpass.getuser(), "Let that user write to the folder"],
    ),
    "a file": ("pool+sqlite:///{folder}/note.txt", {}, ["note.txt is not a SQLite database", "name another file"]),
    "a flavor": (
        "pool+sqlite:///{folder}/broker.db", {"broker_transport_options": {"queue_flavors": {"celery": "quick"}}},
        ["the queues 'celery' the flavor 'quick', which has no pool"],
    ),
}  # fmt: skip


@pytest.fixture(params=sorted(WRONG))
def wrong(request, tmp_path):
    """Return a site whose configuration cannot work, and what the error says."""
    (tmp_path / "note.txt").write_text("Not a database, and longer than the header of one." * 20)
    url, settings, words = WRONG[request.param]
    site = Site(tmp_path, "pool+memory://x" if url == "memory" else url.format(folder=tmp_path), **settings)
    yield site, words
    site.close()


def test_a_worker_logs_one_line_and_no_traceback_and_ends(wrong):
    site, words = wrong
    worker = site.lone_worker("--pool=solo", ready=False)

    assert worker.wait() == 1
    (line,) = re.findall(r"CRITICAL/MainProcess\] (.*)", worker.log)
    assert [word for word in words if word not in line] == []
    assert "Traceback" not in worker.log
    assert "hunter2" not in worker.log


def test_a_publish_raises_an_error_of_one_line(wrong):
    site, words = wrong

    with pytest.raises(KombuPoolError) as raised:
        site.send("add", 1, 1)

    text = str(raised.value)
    assert [word for word in words if word not in text] == []
    assert "\n" not in text
    assert "hunter2" not in text


def test_a_worker_logs_the_traceback_too_at_the_level_debug(tmp_path):
    site = Site(tmp_path, "pool+reddis://:hunter2@h/0")
    worker = site.lone_worker("--pool=solo", "--loglevel=debug", ready=False)

    assert worker.wait() == 1
    assert "Traceback" in worker.log
    assert "hunter2" not in worker.log
    site.close()


@pytest.mark.parametrize(
    ("package", "url", "extra"),
    [("redis", "pool+redis://h/0", "redis"), ("pymongo", "pool+mongodb://h/shop", "mongodb")],
)
def test_a_worker_names_the_extra_that_is_not_installed(package, url, extra):
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT_PACKAGE, package, url]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT)

    assert f"needs the package '{package}', which is not installed: pip install 'kombu-pool[{extra}]'" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
