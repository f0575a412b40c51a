"""Programs that the chaos scenarios run in child processes."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kombu import Connection, Producer
from kombu.pidbox import Mailbox

import kombu_pool  # noqa: F401 - importing it is what makes pool:// known to Kombu
from tests.support.kombu_clients import QUEUE, RETRY_POLICY, end_requested, writing
from tests.support.limits import LIMIT
from tests.support.transport.child_programs import say

if TYPE_CHECKING:
    from collections.abc import Callable


def fork(url: str, record: str, pauses: list[float], options: dict[str, Any]) -> None:
    """Publish in a thread, and fork meanwhile: each child publishes over the inherited connection."""
    ended = threading.Event()
    connection = Connection(url, transport_options=options)
    with writing(record) as write:
        producer = Producer(connection.ensure_connection(**RETRY_POLICY), auto_declare=False)
        QUEUE(connection.default_channel).declare()
        thread = threading.Thread(target=_publish_until, args=(producer, write, ended))
        thread.start()
        for number, pause in enumerate(pauses):
            time.sleep(pause)
            _fork_one(connection, write, f"child-{number}")
        ended.set()
        thread.join()
    connection.release()
    say("done")


def _publish_until(producer: Producer, write: Callable[..., object], ended: threading.Event) -> None:
    number = 0
    while not ended.is_set():
        producer.publish(f"parent-{number}", routing_key=QUEUE.name)
        write("sent", f"parent-{number}")
        number += 1


def _fork_one(connection: Connection, write: Callable[..., object], name: str) -> None:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            producer = Producer(connection.default_channel, auto_declare=False)
            for number in range(3):
                producer.publish(f"{name}-{number}", routing_key=QUEUE.name)
                write("sent", f"{name}-{number}")
            status = 0
        finally:
            os._exit(status)
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0, f"{name} ended with {status}"
            return
        time.sleep(0.002)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError(f"{name} did not end")


def _mailbox(connection: Connection, expires: float) -> Mailbox:
    """Return the mailbox of Celery's remote control."""
    return Mailbox("celery", type="fanout", accept=["json"], queue_expires=expires, reply_queue_expires=expires)(
        connection
    )


def serve(url: str, names: list[str], expires: float, options: dict[str, Any]) -> None:
    """Serve the mailboxes of these workers until a line on stdin."""
    ended = end_requested()
    with Connection(url, transport_options=options) as connection:
        mailbox = _mailbox(connection, expires)
        consumers = []
        for name in names:
            node = mailbox.Node(name, state={}, handlers={"ping": lambda state, **_: "pong"})
            consumers.append(node.listen(channel=connection.channel()))
        say("ready")
        while not ended.is_set():
            with suppress(TimeoutError, socket.timeout):
                connection.drain_events(timeout=0.2)
        for consumer in consumers:
            consumer.cancel()
    say("done")


def ask(url: str, expires: float, seconds: float, options: dict[str, Any]) -> None:
    """Ping all workers, and wait the whole time for further replies."""
    with Connection(url, transport_options=options) as connection:
        say("asking")
        mailbox = _mailbox(connection, expires)
        say(len(mailbox._broadcast("ping", reply=True, timeout=seconds) or []))


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
