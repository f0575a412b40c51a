"""``celery pool transfer``: what waits goes to another broker, delayed tasks with their time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone

import pytest
from kombu import Connection, Queue
from redis import Redis

from kombu_pool.errors import ConnectionError  # noqa: A004 - Zaqar's name for it
from kombu_pool.operator.broker import BrokerUrl, open_broker
from kombu_pool.operator.other_broker import OtherBroker, open_other_broker
from kombu_pool.operator.transfer import Transfer
from tests.support.celery.worker import eventually
from tests.support.limits import LIMIT
from tests.support.servers import rabbitmq
from tests.support.servers.redis_shared import fresh_uri


def rabbitmq_url():
    if rabbitmq.program() is None:
        pytest.skip("RabbitMQ is not installed")
    return rabbitmq.shared_broker().url


LATER = datetime.now(timezone.utc) + timedelta(hours=2)
#: The other brokers: a name -> its URL, out of a folder.
OTHERS = {
    "rabbitmq": lambda folder: rabbitmq_url(),
    "redis": lambda folder: fresh_uri(),
    "pool": lambda folder: f"pool+sqlite:///{folder}/other.db",
}


@pytest.fixture
def queue(request):
    """The name of a queue that no other test has, as a server may be shared."""
    return f"orders-{abs(hash(request.node.nodeid))}"


@pytest.fixture(params=OTHERS)
def other(request, tmp_path):
    return OTHERS[request.param](tmp_path)


def fill(app, queue, ready=30, delayed=5):
    """Send tasks, of which some are delayed; return the ids of both."""
    app.conf.task_queues = [Queue(queue)]
    ids = [app.send_task("pay", (number,), queue=queue).id for number in range(ready)]
    return ids, [app.send_task("remind", (number,), queue=queue, eta=LATER).id for number in range(delayed)]


def received(url, queue, count):
    """Consume the messages of another broker; return the headers of each."""
    headers = []
    with Connection(url) as connection:
        consumed = Queue(queue)(connection.default_channel)
        until = time.monotonic() + LIMIT
        while len(headers) < count and time.monotonic() < until:
            message = consumed.get()
            if message is not None:
                headers.append({**message.headers, "arguments": json.loads(message.body)[0]})
                message.ack()
        assert consumed.get() is None
    return headers


def report(ask_output):
    return {queue: (done["ready"], done["delayed"], done["remaining"]) for queue, done in ask_output["queues"].items()}


def test_all_that_waits_comes_to_the_other_broker_once_and_in_its_order(stored, ask, other, queue):
    ready, delayed = fill(stored, queue)

    done = ask("transfer", queue, "--to", other)

    assert report(done) == {queue: (30, 5, {})}
    (row,) = ask("queues", queue)["queues"]
    assert (row["ready"], row["delayed"], row["claimed"]) == (0, 0, 0)
    if other.startswith("pool"):
        with open_broker(BrokerUrl(other)) as broker:
            counts = broker.store.queue_controller.stats(queue, broker.project)["messages"]
            assert (counts["free"], len(broker.store.message_controller.delayed_ids(queue, broker.project))) == (35, 5)
        return
    found = received(other, queue, 35)
    assert [each["id"] for each in found if each["task"] == "pay"] == ready
    assert [each["arguments"][0] for each in found if each["task"] == "pay"] == list(range(30))
    assert {each["id"] for each in found if each["task"] == "remind"} == set(delayed)
    times = [datetime.fromisoformat(each["eta"]) for each in found if each["eta"]]
    assert len(times) == 5
    assert max(abs((when - LATER).total_seconds()) for when in times) < 1


def test_a_task_that_was_rescheduled_keeps_its_new_time(app, ask, queue):
    url = fresh_uri()
    _, (task_id,) = fill(app, queue, ready=0, delayed=1)
    ask("reschedule", task_id, "--in", "600s")
    due = time.time() + 600

    ask("transfer", queue, "--to", url)

    (found,) = received(url, queue, 1)
    assert abs(datetime.fromisoformat(found["eta"]).timestamp() - due) < LIMIT


def test_what_cannot_go_stays_and_is_named(app, pool, ask, queue):
    url = fresh_uri()
    fill(app, queue, ready=2, delayed=0)
    with app.connection_for_write() as connection:
        held = connection.default_channel.basic_get(queue)
        app.send_task("soon", queue=queue, countdown=3)
        with open_broker(app) as broker:
            broker.store.message_controller.post(queue, [{"ttl": 0, "body": "no task", "delay": 600}], "test")
        status, lines = pool("transfer", queue, "--to", url)
        held.ack()

    assert status == 1
    assert lines[1] == [
        queue, "1", "0", "3", "1 delayed, and no task, 1 due within 5 s, 1 held by consumers",
    ]  # fmt: skip
    assert len(received(url, queue, 1)) == 1


class Interrupted(OtherBroker):
    """A broker that stops to answer after some messages; it has the last one, and the answer is lost."""

    left = 0

    def publish(self, *arguments):
        if not self.left:
            raise ConnectionError("the network is cut")
        self.left -= 1
        super().publish(*arguments)


@pytest.mark.parametrize("left", [3, 20])
def test_a_transfer_that_was_broken_off_goes_on_where_it_ended(stored, ask, queue, left, monkeypatch):
    url = fresh_uri()
    ready, delayed = fill(stored, queue, ready=30, delayed=5)
    with open_broker(stored) as broker, open_other_broker(url, {}, *broker[:2]) as whole:
        cut = Interrupted(whole._connection)
        cut.left = left
        with pytest.raises(ConnectionError, match="cut"):
            Transfer(broker.store, broker.project, queue, cut).run()
    (row,) = ask("queues", queue)["queues"]

    done = ask("transfer", queue, "--to", url)

    assert row["ready"] + row["delayed"] == 35 - left
    assert row["claimed"] == 0
    assert sum(report(done)[queue][:2]) == 35 - left
    assert sorted(each["id"] for each in received(url, queue, 35)) == sorted(ready + delayed)


def test_a_transfer_that_is_stopped_ends_after_the_current_step(app, queue):
    url = fresh_uri()
    fill(app, queue, ready=120, delayed=0)
    with open_broker(app) as broker, open_other_broker(url, {}, *broker[:2]) as other:
        stopped = Transfer(broker.store, broker.project, queue, other).run(lambda done: True)
        whole = Transfer(broker.store, broker.project, queue, other).run()

    assert stopped.ready == 50
    assert whole.ready == 70


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("amqp://guest:hunter2@127.0.0.1:1//", "amqp://guest:**@127.0.0.1:1//: "),
        ("carrier-pigeon://", "No such transport: carrier-pigeon"),
        ("pool+reddis://h", "did you mean redis://?"),
        ("SAME", "is the broker that the messages are in: name another one"),
    ],
)
def test_another_broker_that_cannot_be_it_is_one_line(app, pool, queue, url, words):
    fill(app, queue, ready=1, delayed=0)

    status, lines = pool("transfer", queue, "--to", app.conf.broker_url if url == "SAME" else url)

    text = "\n".join("\t".join(line) for line in lines)
    assert status == 1
    assert words in text.splitlines()[-1]
    assert "hunter2" not in text


def test_a_message_keeps_what_is_left_of_its_life_its_priority_and_its_properties(app, ask, queue):
    url = rabbitmq_url()
    app.conf.task_queues = [Queue(queue, max_priority=9)]
    app.send_task("pay", queue=queue, priority=7, expires=600, reply_to="answers", correlation_id="c-1")

    ask("transfer", queue, "--to", url)

    with Connection(url) as connection:
        message = Queue(queue)(connection.default_channel).get()
        message.ack()
    assert message.properties["priority"] == 7
    assert message.properties["correlation_id"] == "c-1"
    assert message.properties["reply_to"] == "answers"
    assert 590_000 < int(message.properties["expiration"]) <= 600_000
    assert message.headers["expires"]


def test_a_killed_transfer_loses_nothing_and_doubles_one_message_at_most(app, queue):
    url = fresh_uri()
    ready, _ = fill(app, queue, ready=200, delayed=0)
    command = [sys.executable, "-m", "kombu_pool", "-b", app.conf.broker_url, "transfer", queue, "--to", url]
    with Redis.from_url(url) as there, subprocess.Popen(command) as process:
        eventually(lambda: there.llen(queue) >= 20 or process.poll() is not None)
        process.kill()
        process.wait()
        gone = there.llen(queue)
    with open_broker(app) as broker:
        listed = broker.store.message_controller.list(queue, broker.project, limit=200, echo=True, include_claimed=True)
        here = [message["body"]["headers"]["id"] for message in next(listed)]
    there = [each["id"] for each in received(url, queue, gone)]

    assert 0 < gone < 200
    assert {*here, *there} == {*ready}
    assert len(here) + len(there) - 200 in (0, 1)
