"""Publishers and consumers of plain Kombu, in processes that continue through outages and record their messages."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu import Connection, Consumer, Producer, Queue

import kombu_pool  # noqa: F401 - importing it is what makes pool:// known to Kombu
from tests.support.limits import LIMIT
from tests.support.transport.child_programs import Programs, heard, say
from tests.support.transport.traffic import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kombu import Message

    from tests.support.transport.child_programs import Program

logger = logging.getLogger(__name__)

QUEUE = Queue("q")
PREFETCH = 16
RETRY_POLICY = {"interval_start": 0.05, "interval_step": 0.1, "interval_max": 0.5}
#: Timeout of a drain, in seconds, after which a consumer checks whether it must end.
DRAIN_TIMEOUT = 0.2


class Client(NamedTuple):
    """A process and the file of its records."""

    program: Program
    record: Path

    def lines(self) -> list[list[str]]:
        text = self.record.read_text() if self.record.exists() else ""
        # A line without a newline is not complete yet.
        return [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]


class Clients:
    """Publishers and consumers of one queue.

    ``pause``: seconds between two publishes of a publisher, which leave the processor to the others.
    """

    def __init__(self, folder: Path, url: str, pause: float = 0.0, **options: Any) -> None:
        self._programs = Programs(__name__)
        self._folder = folder
        self._pause = pause
        self._arguments = {"url": url, "options": options}
        self.publishers: list[Client] = []
        self.consumers: list[Client] = []

    def start(self, publishers: int, consumers: int) -> None:
        """Start the processes; with publishers, wait until all processes have sent or received a message."""
        self.consumers += [self._start("consume", f"c{number}") for number in range(consumers)]
        self.publishers += [self._start("publish", f"p{number}", pause=self._pause) for number in range(publishers)]
        if publishers:
            self.wait_for_all()

    def _start(self, program: str, name: str, **arguments: Any) -> Client:
        record = self._folder / name
        given = {**self._arguments, **arguments}
        return Client(self._programs.start(program, name=name, record=str(record), **given), record)

    def wait_for_all(self, limit: float = LIMIT) -> None:
        """Wait until each process has sent or received another message."""
        self._wait_for_more(self.publishers, self.sent, limit)
        self._wait_for_more(self.consumers, self.seen, limit)

    def wait_for_errors(self) -> None:
        """Wait until each publisher has met another error."""
        self._wait_for_more(self.publishers, self.retried)

    @staticmethod
    def _wait_for_more(clients: list[Client], records: Callable[[Client], list[Any]], limit: float = LIMIT) -> None:
        before = {client: len(records(client)) for client in clients}
        for client, count in before.items():
            eventually(partial(_has_more, client, records, count), limit)

    def stop_publishing(self) -> None:
        self._stop(self.publishers)

    def stop_consuming(self) -> None:
        self._stop(self.consumers)

    @staticmethod
    def _stop(clients: list[Client]) -> None:
        for client in clients:
            client.program.tell()
        for client in clients:
            client.program.finish()

    def kill(self) -> None:
        """Kill the processes that are still running."""
        self._programs.kill()

    # The records.

    @staticmethod
    def sent(publisher: Client) -> list[str]:
        """Return the bodies of the confirmed publishes."""
        return [body for kind, body in publisher.lines() if kind == "sent"]

    @staticmethod
    def retried(publisher: Client) -> list[str]:
        """Return the bodies that were published again after an error."""
        return [body for kind, body in publisher.lines() if kind == "failed"]

    @staticmethod
    def seen(consumer: Client) -> list[tuple[str, int]]:
        """Return the received bodies with their delivery counts."""
        return [(body, int(count)) for body, count, _ in consumer.lines()]

    def redelivered(self) -> Counter[tuple[str, str]]:
        """Count, for each connection of each consumer, the messages that were delivered again later."""
        deliveries = [(consumer.record.name, *line) for consumer in self.consumers for line in consumer.lines()]
        last: dict[str, int] = {}
        for _, body, count, _ in deliveries:
            last[body] = max(int(count), last.get(body, 0))
        return Counter((name, number) for name, body, count, number in deliveries if int(count) < last[body])

    def all_sent(self) -> set[str]:
        return {body for publisher in self.publishers for body in self.sent(publisher)}

    def all_retried(self) -> Counter[str]:
        return Counter(body for publisher in self.publishers for body in self.retried(publisher))

    def all_seen(self) -> Counter[tuple[str, int]]:
        return Counter(pair for consumer in self.consumers for pair in self.seen(consumer))


def _has_more(client: Client, records: Callable[[Client], list[Any]], than: int) -> bool:
    return len(records(client)) > than


# The programs of the processes.


@contextmanager
def writing(record: str) -> Iterator[Callable[..., object]]:
    """Append lines to a file, each in one write, so that a killed process leaves only complete lines."""
    with Path(record).open("ab", buffering=0) as file:
        yield lambda *words: os.write(file.fileno(), f"{' '.join(map(str, words))}\n".encode())


def end_requested() -> threading.Event:
    ended = threading.Event()
    threading.Thread(target=lambda: (heard(), ended.set()), daemon=True).start()
    return ended


def publish(url: str, name: str, record: str, options: dict[str, Any], pause: float) -> None:
    """Publish numbered messages, retrying each until it is confirmed, until a line on stdin."""
    ended, number = end_requested(), 0
    with Connection(url, transport_options=options) as connection, writing(record) as write:
        producer = Producer(connection.ensure_connection(**RETRY_POLICY), auto_declare=False)
        while not ended.wait(pause):
            body, number = f"{name}-{number}", number + 1
            policy = {**RETRY_POLICY, "errback": lambda error, interval, body=body: write("failed", body)}
            producer.publish(body, routing_key=QUEUE.name, declare=[QUEUE], retry=True, retry_policy=policy)
            write("sent", body)


def consume(url: str, name: str, record: str, options: dict[str, Any]) -> None:
    """Consume, acknowledge and record until a line on stdin; reconnect after each connection error."""
    ended, connections = end_requested(), 0
    with writing(record) as write:

        def take(message: Message) -> None:
            write(message.payload, message.delivery_info["delivery_count"], connections)
            message.ack()

        while not ended.is_set():
            connections += 1
            with Connection(url, transport_options=options) as connection:
                connection.ensure_connection(**RETRY_POLICY)
                try:
                    drain(connection, take, ended)
                except connection.connection_errors:
                    logger.exception("the connection failed")
    say("done")


def drain(connection: Connection, take: Callable[[Message], None], ended: threading.Event) -> None:
    consumer = Consumer(connection, [QUEUE], on_message=take, prefetch_count=PREFETCH)
    with consumer:
        while not ended.is_set():
            with suppress(TimeoutError):
                connection.drain_events(timeout=DRAIN_TIMEOUT)


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
