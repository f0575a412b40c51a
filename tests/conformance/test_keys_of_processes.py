"""Messages cancelled while other processes claim them, and unique ones posted by processes that are killed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing

import pytest

import kombu_pool
from kombu_pool.model import UNFINISHED, PresentId, Uniqueness
from tests.support.conformance.stores import STORES
from tests.support.limits import LIMIT

#: Stores that processes share, each once.
SHARED = ("sqlite", "redis", "mongodb")
MESSAGES, CANCELLED, CONSUMERS = 1000, 200, 4
IDS, PRODUCERS, KILLED = 100, 8, 4

CONSUMER = """
import json, sys, kombu_pool
driver = kombu_pool.open(sys.argv[1])
messages, claims, ran = driver.message_controller, driver.claim_controller, []
print("ready", flush=True)
sys.stdin.readline()
while messages.count("q"):
    claim, found = claims.create("q", {"ttl": 60, "grace": 0}, limit=7)
    ran += [message["body"] for message in found]
    assert not messages.delete_claimed("q", [(message["id"], claim) for message in found])
print(json.dumps(ran))
"""
PRODUCER = """
import sys, kombu_pool
from kombu_pool.model import Uniqueness
driver = kombu_pool.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    unique = Uniqueness(str(number), "unfinished")
    driver.message_controller.post("q", [{"ttl": None, "body": number, "unique": unique}], None)
"""


@pytest.fixture(params=SHARED)
def uri(request, tmp_path):
    uri = STORES[request.param].uri(tmp_path, "store")
    with closing(kombu_pool.open(uri)) as driver:
        driver.queue_controller.create("q")
    return uri


@pytest.fixture
def start(uri):
    """Start a program that waits for a line; kill those that still run after the test."""
    started = []

    def start(program, *arguments):
        command = [sys.executable, "-c", program, uri, *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def begin(processes):
    """Let programs go on together."""
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * len(processes)
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()


def test_each_message_is_claimed_or_cancelled_and_none_is_both_or_lost(uri, start):
    with closing(kombu_pool.open(uri)) as driver:
        messages = driver.message_controller
        messages.post("q", [{"ttl": None, "body": n, "key": f"k{n}"} for n in range(MESSAGES)], None)
        consumers = [start(CONSUMER) for _ in range(CONSUMERS)]
        begin(consumers)

        keys = random.sample(range(MESSAGES), CANCELLED)
        cancelled = [one["body"] for key in keys for one in messages.cancel(f"k{key}").messages]
        ran = [body for each in consumers for body in json.loads(each.communicate(timeout=LIMIT)[0])]

    assert Counter(cancelled + ran) == Counter(range(MESSAGES))
    assert {*cancelled} <= {*keys}


def test_killed_producers_leave_one_message_of_each_id_and_no_id_without_one(uri, start):
    producers = [start(PRODUCER, str(IDS)) for _ in range(PRODUCERS)]
    begin(producers)
    for producer in producers[:KILLED]:
        producer.send_signal(signal.SIGKILL)
    for producer in producers[KILLED:]:
        producer.communicate(timeout=LIMIT)
        assert producer.returncode == 0

    with closing(kombu_pool.open(uri)) as driver:
        messages = driver.message_controller
        assert Counter(one["body"] for one in messages.pop("q", 10 * IDS)) == Counter(range(IDS))
        again = [
            messages.post("q", [{"ttl": None, "body": n, "unique": Uniqueness(str(n), UNFINISHED)}], None)[0]
            for n in range(IDS)
        ]
        assert not any(isinstance(one, PresentId) for one in again)
