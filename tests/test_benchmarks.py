"""The benchmarks run, compare their figures with the targets, and write their page; speed itself is not tested."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from benchmarks import overhead, report, servers
from benchmarks.figures import Figure, LeftOut, ratio
from benchmarks.mongodb import questions as about_mongodb
from benchmarks.redis import commands
from benchmarks.redis import questions as about_redis
from tests.support.limits import LIMIT, LONG_TEST
from tests.support.servers.mongodb.program import require_mongod
from tests.support.servers.programs import require

ROOT = Path(__file__).parents[1]

FAST = Figure("publish", "900/s", "other 100/s", value=9, target=8)
SLOW = Figure("latency", "5 ms", "other 100 ms", value=1 / 20, target=1 / 50, at_most=True)
FLAT = Figure("memory", "0 MB", "", value=0, target=10, unit="MB", at_most=True)


LEFT_OUT = LeftOut("publish, Redis", "no RabbitMQ here")

ON_REDIS = [question.BENCHMARK.name for question in about_redis.QUESTIONS]
ON_MONGODB = [question.BENCHMARK.name for question in about_mongodb.QUESTIONS]
#: Question -> the beginning of a line of its answer.
SUBJECTS = {
    "redis-publish": "\npublish, Redis  ",
    "redis-batch": "\npublish in batches of 100, Redis  ",
    "redis-consume": "\nconsume and ack, Redis  ",
    "redis-latency": "\nlatency when idle, p50, Redis  ",
    "redis-tasks": "\nno-op Celery tasks, Redis  ",
    "redis-commands": "\nRedis commands for a message  ",
    "redis-backlog": "\nclaim, Redis, 5,000 waiting  ",
    "mongodb-publish": "\npublish, MongoDB  ",
    "mongodb-batch": "\npublish in batches of 100, MongoDB  ",
    "mongodb-consume": "\nconsume and ack, MongoDB  ",
    "mongodb-latency": "\nlatency when idle, p50, MongoDB  ",
    "mongodb-tasks": "\n100 no-op Celery tasks, MongoDB  ",
    "mongodb-backlog": "\nclaim, MongoDB, 5,000 waiting  ",
    "mongodb-claimers": "\n8 claimers of one queue, MongoDB  ",
}
#: Seconds for all questions about a store on a busy machine.
RUN_TIMEOUT = LONG_TEST


def run_quickly(folder, *questions, **environment):
    """Run benchmarks with few messages and one round."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--folder", str(folder)]
        + [argument for question in questions for argument in ("--only", question)],
        cwd=ROOT,
        env=os.environ | {"XDG_STATE_HOME": str(folder)} | environment,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT,
        check=False,
    )


@pytest.fixture
def quick_run(tmp_path):
    """Return a function that runs benchmarks quickly."""
    return partial(run_quickly, tmp_path)


@pytest.fixture(scope="module")
def redis_run(tmp_path_factory):
    """A folder, and the quick run in it of all questions about Redis."""
    require("redis-server")
    folder = tmp_path_factory.mktemp("redis")
    return folder, run_quickly(folder, *ON_REDIS)


@pytest.fixture(scope="module")
def mongodb_run(tmp_path_factory):
    """A folder, and the quick run in it of all questions about MongoDB."""
    require_mongod()
    folder = tmp_path_factory.mktemp("mongodb")
    return folder, run_quickly(folder, *ON_MONGODB)


def test_a_quick_run_answers_the_questions_that_it_is_asked(quick_run, tmp_path):
    done = quick_run("publish", "consume", "overhead")

    assert done.returncode == 0, done.stdout + done.stderr
    subjects = ["publish, SQLite FULL", "consume and ack, SQLite FULL", "processor above the driver, consume with ack"]
    assert [subject for subject in subjects if subject not in done.stdout] == []
    assert "of 6 targets met." in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(RUN_TIMEOUT + LIMIT)
@pytest.mark.parametrize("question", ON_REDIS)
def test_a_quick_run_answers_a_question_about_redis(question, redis_run):
    folder, done = redis_run

    assert done.returncode == 0, done.stdout + done.stderr
    assert SUBJECTS[question] in done.stdout
    assert "Redis" in done.stdout
    assert "no Redis here" not in done.stdout
    assert list(folder.iterdir()) == []


@pytest.mark.timeout(RUN_TIMEOUT + LIMIT)
@pytest.mark.parametrize("question", ON_MONGODB)
def test_a_quick_run_answers_a_question_about_mongodb(question, mongodb_run):
    folder, done = mongodb_run

    assert done.returncode == 0, done.stdout + done.stderr
    assert SUBJECTS[question] in done.stdout
    assert "MongoDB" in done.stdout
    assert "no MongoDB here" not in done.stdout
    assert list(folder.iterdir()) == []


def test_without_a_rabbitmq_its_lines_are_left_out(quick_run, tmp_path_factory):
    programs = tmp_path_factory.mktemp("programs")
    (programs / "redis-server").symlink_to(require("redis-server"))

    done = quick_run("redis-batch", PATH=str(programs))

    assert "no RabbitMQ here" in done.stdout, done.stdout + done.stderr
    assert "0 of 0 targets met." in done.stdout


def test_without_a_redis_its_questions_are_left_out(quick_run, tmp_path):
    done = quick_run(*ON_REDIS, PATH=str(tmp_path), REDIS_SERVER="")

    assert done.stdout.count("no Redis here") == len(ON_REDIS), done.stdout + done.stderr
    assert done.returncode == 0


def test_without_a_mongodb_its_questions_are_left_out(quick_run, tmp_path_factory):
    # An empty package of the same name hides the one with the server.
    packages = tmp_path_factory.mktemp("packages")
    (packages / "fiftyone").mkdir()
    (packages / "fiftyone" / "__init__.py").touch()

    done = quick_run(*ON_MONGODB, PATH=str(packages), PYTHONPATH=str(packages))

    assert done.stdout.count("no MongoDB here") == len(ON_MONGODB), done.stdout + done.stderr
    assert done.returncode == 0


@pytest.fixture
def quick_run_on_sqlite(quick_run, tmp_path_factory):
    """Return a function that runs benchmarks quickly, as without any server."""
    packages = tmp_path_factory.mktemp("packages")
    (packages / "fiftyone").mkdir()
    (packages / "fiftyone" / "__init__.py").touch()
    return partial(quick_run, PATH=str(packages), PYTHONPATH=str(packages), REDIS_SERVER="")


def test_no_task_is_run_and_cancelled_or_posted_twice_under_load(quick_run_on_sqlite):
    done = quick_run_on_sqlite("cancellation", "unique", "keys")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "\ntasks both run and cancelled, or neither, or run twice, SQLite  0 of 200  " in done.stdout
    assert re.search(r"\nkeys without one message, or stuck, after \d+ kills, SQLite +0 of 100  ", done.stdout)
    assert "\nconsume with keys, SQLite  " in done.stdout


def test_many_producers_are_compared_with_one(quick_run_on_sqlite):
    done = quick_run_on_sqlite("writers")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n2 producers, SQLite FULL  " in done.stdout
    assert "\n2 producers, SQLite NORMAL, smallest share  " in done.stdout


def test_a_private_server_ends_with_its_block(tmp_path):
    require("redis-server")

    with servers.redis(tmp_path) as address:
        host, port = address.split(":")
        socket.create_connection((host, int(port))).close()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


def test_a_private_mongodb_takes_writes_until_its_block_ends(tmp_path):
    require_mongod()
    pymongo = pytest.importorskip("pymongo")

    with (
        servers.mongodb(tmp_path) as uri,
        pymongo.MongoClient(uri, serverSelectionTimeoutMS=1000 * LIMIT, w="majority", journal=True) as client,
    ):
        client.get_default_database().things.insert_one({})
        (address,) = client.nodes

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_the_commands_that_a_script_calls_are_not_counted(tmp_path):
    require("redis-server")
    redis = pytest.importorskip("redis")

    with (
        servers.redis(tmp_path) as address,
        commands.watched(address) as seen,
        redis.Redis.from_url(f"redis://{address}", socket_timeout=LIMIT) as client,
    ):
        client.eval("for _ = 1, 5 do redis.call('INCR', KEYS[1]) end", 1, "number")
        client.set("name", '0 lua] "GET"\n')

    assert seen["eval"] == 1
    assert seen["set"] == 1
    assert not seen.keys() & {"incr", "get", "echo"}


@pytest.mark.parametrize(("figure", "met", "margin"), [(FAST, True, 9 / 8), (SLOW, False, 0.4), (FLAT, True, 1000)])
def test_a_figure_knows_how_it_stands_to_its_target(figure, met, margin):
    assert figure.met is met
    assert figure.margin == pytest.approx(margin)


def test_a_slow_moment_of_the_machine_leaves_a_ratio_as_it_is():
    assert ratio([800, 80, 810], [100, 10, 100]) == 8


def test_the_page_has_a_line_for_each_figure_and_says_how_it_was_measured():
    page = report.page([FAST, LEFT_OUT, SLOW], [overhead.BENCHMARK], "2 cores")

    assert "| publish | 900/s | other 100/s | 9 x | ≥ 8 x | yes |" in page
    assert "| latency | 5 ms | other 100 ms | 0.05 x | ≤ 0.02 x | NO |" in page
    assert "| publish, Redis |  | no RabbitMQ here |  |  | left out |" in page
    assert "2 cores. 1 of 2 targets met." in page
    assert "Everything happens in one process" in page


def test_the_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")

    report.write(tmp_path, [FAST, SLOW, FLAT, LEFT_OUT], [overhead.BENCHMARK], "2 cores")

    assert (tmp_path / "benchmarks.png").read_bytes().startswith(b"\x89PNG")
