"""Mailboxes: Kombu's remote control, which Celery uses."""

from __future__ import annotations

import threading

import pytest
from kombu.pidbox import Mailbox

from tests.support.limits import LIMIT
from tests.support.transport.traffic import eventually, exists


class Nodes:
    """Threads that serve a mailbox as workers do."""

    def __init__(self, connect):
        self._connect = connect
        self._stop = threading.Event()
        self._threads = []
        self.heard = []

    def start(self, name, type="direct"):
        connection = self._connect(ack_delay=0.004)
        mailbox = Mailbox("test", type=type, accept=["json"])(connection)
        node = mailbox.Node(name, state={"name": name})

        def double(state, n):
            self.heard.append((state["name"], n))
            return n * 2

        node.handler(double)
        channel = connection.channel()
        consumer = node.listen(channel=channel)

        def serve():
            while not self._stop.is_set():
                try:
                    connection.drain_events(timeout=0.1)
                except TimeoutError:
                    continue
            consumer.cancel()
            channel.close()

        thread = threading.Thread(target=serve)
        thread.start()
        self._threads.append(thread)

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(LIMIT)


@pytest.fixture
def nodes(connect):
    started = Nodes(connect)
    yield started
    started.stop()


@pytest.fixture
def mailbox(connection):
    return Mailbox("test", type="direct", accept=["json"])(connection)


def test_a_call_is_answered_by_the_node_that_it_names(nodes, mailbox):
    nodes.start("one")
    nodes.start("other")

    assert mailbox.call(["one"], "double", {"n": 4}, timeout=LIMIT, channel=mailbox.connection.channel()) == [
        {"one": 8}
    ]


def test_all_nodes_answer_a_call_to_everybody(nodes, connection):
    nodes.start("one", type="fanout")
    nodes.start("other", type="fanout")
    mailbox = Mailbox("test", type="fanout", accept=["json"])(connection)

    replies = mailbox.multi_call("double", {"n": 4}, timeout=LIMIT, limit=2)

    assert sorted(replies, key=str) == [{"one": 8}, {"other": 8}]


def test_nodes_hear_a_cast_without_answering(nodes, mailbox):
    nodes.start("one")

    mailbox.cast(["one"], "double", {"n": 5})

    eventually(lambda: nodes.heard == [("one", 5)])


def test_every_worker_receives_a_broadcast(nodes, connection):
    nodes.start("one", type="fanout")
    nodes.start("other", type="fanout")

    Mailbox("test", type="fanout", accept=["json"])(connection).abcast("double", {"n": 6})

    eventually(lambda: sorted(nodes.heard) == [("one", 6), ("other", 6)])


def test_one_client_may_ask_again_and_again(nodes, mailbox):
    nodes.start("one")

    answers = [mailbox.call(["one"], "double", {"n": n}, timeout=LIMIT) for n in range(5)]

    assert answers == [[{"one": 2 * n}] for n in range(5)]


def test_no_reply_queue_is_left(nodes, connect, elsewhere):
    nodes.start("one")
    with connect() as connection:
        mailbox = Mailbox("test", type="direct", accept=["json"])(connection)
        mailbox.call(["one"], "double", {"n": 4}, timeout=LIMIT)
        reply_queue = mailbox.reply_queue.name

    eventually(lambda: not exists(elsewhere.channel(), reply_queue))


def test_a_nodes_queue_goes_with_the_node(nodes, mailbox, channel):
    nodes.start("one")
    queue = mailbox.get_queue("one").name
    assert exists(channel, queue)

    nodes.stop()

    assert not exists(channel, queue)


def test_a_node_in_another_process_answers(shared_url, opened, programs):
    programs.start("serve", url=shared_url, name="one").line()

    with opened(shared_url) as connection:
        mailbox = Mailbox("test", type="direct", accept=["json"])(connection)
        answer = mailbox.call(["one"], "double", {"n": 21}, timeout=LIMIT)

    assert answer == [{"one": 42}]
