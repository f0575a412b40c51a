"""Child processes that declare, use and delete the same queues at once; each does one thing a line, and answers."""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from amqp.exceptions import ConsumerCancelled, NotFound
from kombu import Connection

from kombu_pool import errors
from tests.support.limits import LIMIT
from tests.support.transport.child_programs import heard, say


def publish(channel: Any, queue: str, body: str) -> bool:
    """Publish a mandatory message; return whether it was stored, and not returned."""
    returned: list[Any] = []
    channel.events["basic_return"] = {lambda *answer: returned.append(answer)}
    try:
        channel.basic_publish(channel.prepare_message(body), "", queue, mandatory=True)
    except errors.ConnectionError:
        return False  # the channel had declared the queue, which is gone
    return not returned


def declare_and_publish(url: str, options: dict[str, Any]) -> None:
    with Connection(url, transport_options=options) as connection:
        channel = connection.channel()
        say("ready")
        while queue := heard().strip():
            channel.queue_declare(queue)
            say("stored" if publish(channel, queue, "body") else "returned")


def delete(url: str, options: dict[str, Any]) -> None:
    with Connection(url, transport_options=options) as connection:
        channel = connection.channel()
        say("ready")
        while queue := heard().strip():
            channel.queue_delete(queue)
            say("deleted")


def publish_until_told(url: str, options: dict[str, Any], name: str) -> None:
    """Publish to one queue; answer with (body, time before) of each message that was stored."""
    with Connection(url, transport_options=options) as connection:
        channel = connection.channel()
        say("ready")
        heard()
        stored, told = [], threading.Event()
        threading.Thread(target=lambda: (heard(), told.set()), daemon=True).start()
        while not told.is_set():
            body, started = f"{name}-{len(stored)}", time.monotonic()
            if publish(channel, "q", body):
                stored.append((body, started))
            time.sleep(0.002)
        say(json.dumps(stored))


def attach(url: str, options: dict[str, Any]) -> None:
    """Declare an auto-delete queue and consume from it, again when the queue went meanwhile; tell of a message."""
    with Connection(url, transport_options=options) as connection:
        channel = connection.channel()
        say("ready")
        while queue := heard().strip():
            got: list[Any] = []
            for _ in range(100):
                try:
                    channel.queue_declare(queue, auto_delete=True)
                    channel.basic_consume(queue, no_ack=True, callback=got.append, consumer_tag=queue)
                    break
                except (ConsumerCancelled, NotFound, errors.ConnectionError):
                    pass
            say("consumes")
            until = time.monotonic() + LIMIT
            while not got and time.monotonic() < until:
                with suppress(TimeoutError):
                    connection.drain_events(timeout=1)
            say("got" if got else "nothing")


def leave(url: str, options: dict[str, Any]) -> None:
    """Consume from each queue of a line, and cancel each consumer at the next line."""
    with Connection(url, transport_options=options) as connection:
        channel = connection.channel()
        say("ready")
        while queue := heard().strip():
            channel.queue_declare(queue, auto_delete=True)
            channel.basic_consume(queue, callback=lambda message: None, consumer_tag=queue)
            say("consumes")
            heard()
            channel.basic_cancel(queue)
            say("left")


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
