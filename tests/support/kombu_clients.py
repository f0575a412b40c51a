"""Processes of plain Kombu that go on whatever becomes of their broker, and what they wrote down meanwhile."""

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
from tests.support.transport.child_programs import Programs, heard, say
from tests.support.transport.traffic import LIMIT, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kombu import Message

    from tests.support.transport.child_programs import Program

logger = logging.getLogger(__name__)

QUEUE = Queue("q")
PREFETCH = 16
PATIENCE = {"interval_start": 0.05, "interval_step": 0.1, "interval_max": 0.5}
#: Seconds without a message after which a consumer looks whether it was told to end.
TURN = 0.2


class Client(NamedTuple):
    """A process, and the file in which it writes."""

    program: Program
    record: Path

    def lines(self) -> list[list[str]]:
        text = self.record.read_text() if self.record.exists() else ""
        # A line without an end is still being written.
        return [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]


class Clients:
    """Publishers and consumers of one queue."""

    def __init__(self, folder: Path, url: str, **options: Any) -> None:
        self._programs = Programs(__name__)
        self._folder = folder
        self._arguments = {"url": url, "options": options}
        self.publishers: list[Client] = []
        self.consumers: list[Client] = []

    def start(self, publishers: int, consumers: int) -> None:
        """Start so many, and wait until all of them are at work, if somebody gives the consumers something to do."""
        self.consumers += [self._start("consume", f"c{number}") for number in range(consumers)]
        self.publishers += [self._start("publish", f"p{number}") for number in range(publishers)]
        if publishers:
            self.wait_for_all()

    def _start(self, program: str, name: str) -> Client:
        record = self._folder / name
        return Client(self._programs.start(program, name=name, record=str(record), **self._arguments), record)

    def wait_for_all(self, limit: float = LIMIT) -> None:
        """Wait until each of them has done something from now on."""
        self._wait_for_more(self.publishers, self.sent, limit)
        self._wait_for_more(self.consumers, self.seen, limit)

    def wait_for_errors(self) -> None:
        """Wait until each publisher has been told of an error from now on."""
        self._wait_for_more(self.publishers, self.retried)

    @staticmethod
    def _wait_for_more(clients: list[Client], what: Callable[[Client], list[Any]], limit: float = LIMIT) -> None:
        before = {client: len(what(client)) for client in clients}
        for client, count in before.items():
            eventually(partial(_has_more, client, what, count), limit)

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
        """Leave nobody behind."""
        self._programs.kill()

    # What they did.

    @staticmethod
    def sent(publisher: Client) -> list[str]:
        """Return what it was told is published."""
        return [body for what, body in publisher.lines() if what == "sent"]

    @staticmethod
    def retried(publisher: Client) -> list[str]:
        """Return what it published again after an error."""
        return [body for what, body in publisher.lines() if what == "failed"]

    @staticmethod
    def seen(consumer: Client) -> list[tuple[str, int]]:
        """Return what it was given, and how often that had been lent."""
        return [(body, int(lent)) for body, lent, _ in consumer.lines()]

    def came_back(self) -> Counter[tuple[str, str]]:
        """Count what came back of what each connection of each consumer was given: what was lent once more later."""
        given = [(consumer.record.name, *line) for consumer in self.consumers for line in consumer.lines()]
        last: dict[str, int] = {}
        for _, body, lent, _ in given:
            last[body] = max(int(lent), last.get(body, 0))
        return Counter((name, link) for name, body, lent, link in given if int(lent) < last[body])

    def all_sent(self) -> set[str]:
        return {body for publisher in self.publishers for body in self.sent(publisher)}

    def all_retried(self) -> Counter[str]:
        return Counter(body for publisher in self.publishers for body in self.retried(publisher))

    def all_seen(self) -> Counter[tuple[str, int]]:
        return Counter(pair for consumer in self.consumers for pair in self.seen(consumer))


def _has_more(client: Client, what: Callable[[Client], list[Any]], than: int) -> bool:
    return len(what(client)) > than


# What the processes run.


@contextmanager
def writing(record: str) -> Iterator[Callable[..., object]]:
    """Append lines to a file, each in one write: a process that is killed leaves whole ones."""
    with Path(record).open("ab", buffering=0) as file:
        yield lambda *words: os.write(file.fileno(), f"{' '.join(map(str, words))}\n".encode())


def told_to_end() -> threading.Event:
    ended = threading.Event()
    threading.Thread(target=lambda: (heard(), ended.set()), daemon=True).start()
    return ended


def publish(url: str, name: str, record: str, options: dict[str, Any]) -> None:
    """Publish numbered messages, each until it is published, until told to end."""
    ended, number = told_to_end(), 0
    with Connection(url, transport_options=options) as connection, writing(record) as write:
        producer = Producer(connection.ensure_connection(**PATIENCE), auto_declare=False)
        while not ended.is_set():
            body, number = f"{name}-{number}", number + 1
            policy = {**PATIENCE, "errback": lambda error, interval, body=body: write("failed", body)}
            producer.publish(body, routing_key=QUEUE.name, declare=[QUEUE], retry=True, retry_policy=policy)
            write("sent", body)


def consume(url: str, name: str, record: str, options: dict[str, Any]) -> None:
    """Consume, acknowledge and write down until told to end; connect again whenever the connection fails."""
    ended, links = told_to_end(), 0
    with writing(record) as write:

        def take(message: Message) -> None:
            write(message.payload, message.delivery_info["delivery_count"], links)
            message.ack()

        while not ended.is_set():
            links += 1
            with Connection(url, transport_options=options) as connection:
                connection.ensure_connection(**PATIENCE)
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
                connection.drain_events(timeout=TURN)


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
