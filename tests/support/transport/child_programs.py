"""Child processes: the functions that they run, and how a test starts, reads and kills them."""

from __future__ import annotations

import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from kombu import Connection, Producer
from kombu.pidbox import Mailbox

import kombu_pool  # noqa: F401 - importing it is what makes pool:// known to Kombu
from tests.support.forks.server import ROOT, ForkedProcess, ForkServer
from tests.support.limits import LIMIT

HERE = "tests.support.transport.child_programs"


#: What child programs import.
_MODULES = (
    *("kombu.pidbox", "kombu.simple", "kombu.mixins", "kombu_pool.transport", "kombu_pool.pooling"),
    *(
        "kombu_pool.drivers.memory",
        "kombu_pool.drivers.sqlite",
        "kombu_pool.drivers.redis",
        "kombu_pool.drivers.mongodb",
    ),
    *("kombu_pool.testing", "tests.support.limits", "tests.support.transport.traffic"),
)
_server = ForkServer(*_MODULES)
#: Modules that must be the first to import the standard library, to replace parts of it.
_NOT_FORKED = ("tests.support.transport.greenlet_program",)


def start(
    module: str, name: str, arguments: str, files: tuple[int, int, int]
) -> ForkedProcess | subprocess.Popen[bytes]:
    """Start a program with these files as its stdin, stdout and stderr."""
    if module not in _NOT_FORKED:
        return _server.start(module, name, arguments, files=files)
    stdin, stdout, stderr = files
    command = [sys.executable, "-m", module, name, arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, cwd=ROOT, env=environment)


class Program:
    """A process that runs one of the functions below, or of another module with the same last lines."""

    def __init__(self, name: str, arguments: dict[str, Any], module: str = HERE) -> None:
        pipes = [os.pipe() for _ in range(3)]
        (stdin, write), (read, stdout), (read_log, stderr) = pipes
        theirs = (stdin, stdout, stderr)
        self._process = start(module, name, json.dumps(arguments), theirs)
        for file in theirs:
            os.close(file)
        self.pid = self._process.pid
        self._input = os.fdopen(write, "w")
        self._outputs = [os.fdopen(read), os.fdopen(read_log)]
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.log: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(stream, take), daemon=True)
            for stream, take in zip(self._outputs, (self._lines.put, self.log.append), strict=True)
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: Any, take: Any) -> None:
        for line in stream:
            take(line.rstrip("\n"))

    def line(self, limit: float = LIMIT) -> str:
        """Return the next line of its output."""
        try:
            return self._lines.get(timeout=limit)
        except queue.Empty:
            raise AssertionError(f"it said nothing within {limit} s; its log: {self.log}") from None

    def tell(self, line: str = "") -> None:
        """Write a line to its input."""
        try:
            self._input.write(line + "\n")
            self._input.flush()
        except BrokenPipeError:
            raise AssertionError(f"it has ended; its log: {self.log}") from None

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it with SIGKILL, unless it has ended."""
        self._process.send_signal(signal.SIGKILL)
        self._process.send_signal(signal.SIGCONT)
        self._end()

    def finish(self, limit: float = LIMIT) -> None:
        """Wait until it ends by itself."""
        assert self._process.wait(limit) == 0, self.log
        self._end()

    def dies(self, limit: float = LIMIT) -> None:
        """Wait until it ends by SIGKILL."""
        assert self._process.wait(limit) == -signal.SIGKILL, self.log
        self._end()

    def _end(self) -> None:
        self._process.wait(LIMIT)
        for reader in self._readers:
            reader.join(LIMIT)
        with suppress(BrokenPipeError):  # a line that it did not read
            self._input.close()
        for stream in self._outputs:
            stream.close()


class Programs:
    """The processes of one test."""

    def __init__(self, module: str = HERE) -> None:
        self._module = module
        self._started: list[Program] = []

    def start(self, program: str, /, **arguments: Any) -> Program:
        """Start a process that runs the function of this name."""
        started = Program(program, arguments, self._module)
        self._started.append(started)
        return started

    def run(self, program: str, /, **arguments: Any) -> None:
        """Run the function in a process, and wait for its end."""
        self.start(program, **arguments).finish()

    def kill(self) -> None:
        for program in self._started:
            program.kill()


def say(line: Any) -> None:
    print(line, flush=True)  # noqa: T201 - the test reads it


def heard() -> str:
    return sys.stdin.readline()


def bind(url: str, exchange: str, queue: str, key: str = "") -> None:
    """Declare an exchange and a queue, and bind them."""
    with Connection(url) as connection:
        channel = connection.channel()
        channel.exchange_declare(exchange, "direct")
        channel.queue_declare(queue)
        channel.queue_bind(queue, exchange, key)


def unbind(url: str, exchange: str, queue: str, key: str = "") -> None:
    """Remove a binding."""
    with Connection(url) as connection:
        connection.channel().queue_unbind(queue, exchange, key)


def publish(url: str, queue: str, name: str, number: int, exchange: str = "") -> None:
    """Publish ``number`` messages called name-0, name-1, ..."""
    with Connection(url) as connection:
        producer = Producer(connection.channel())
        for each in range(number):
            producer.publish(f"{name}-{each}", exchange=exchange, routing_key=queue)


def produce(url: str, queue: str, name: str, size: int, record: str) -> None:
    """Publish name-0, name-1, ... for ever, each ``size`` times in one batch, and print each published name."""
    with Connection(url) as connection, Path(record).open("ab", buffering=0) as told:
        producer = Producer(connection.channel())
        for number in itertools.count():
            with producer.batch() if size > 1 else nullcontext():
                for _ in range(size):
                    producer.publish(f"{name}-{number}", routing_key=queue)
            told.write(f"{name}-{number}\n".encode())


def own(url: str, queue: str, options: dict[str, Any], **declaration: Any) -> None:
    """Declare a queue, consume from it, and run on."""
    connection = Connection(url, transport_options=options)
    channel = connection.channel()
    channel.queue_declare(queue, **declaration)
    channel.basic_consume(queue, callback=lambda message: None)
    say("ready")
    heard()


def hold(url: str, queue: str, number: int, options: dict[str, Any]) -> None:
    """Consume and print ``number`` messages; acknowledge them on the next input line, and close."""
    connection = Connection(url, transport_options=options)
    channel = connection.channel()
    channel.basic_qos(prefetch_count=number)
    held = []

    def take(message: Any) -> None:
        held.append(message)
        say(message.payload)

    channel.basic_consume(queue, callback=take)
    while len(held) < number:
        connection.drain_events(timeout=LIMIT)
    heard()
    for message in held:
        message.ack()
    connection.release()
    say("closed")


def hold_without_consumer(url: str, queue: str, number: int, options: dict[str, Any]) -> None:
    """Consume and print messages, cancel the consumer, and acknowledge the messages on the next input line."""
    with Connection(url, transport_options=options) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=number)
        held: list[Any] = []
        tag = "tag"
        channel.basic_consume(queue, callback=held.append, consumer_tag=tag)
        while len(held) < number:
            connection.drain_events(timeout=LIMIT)
        channel.basic_cancel(tag)
        for message in held:
            say(message.payload)
        heard()
        for message in held:
            message.ack()
    say("closed")


def leave(url: str, queue: str, number: int, options: dict[str, Any]) -> None:
    """Consume and print messages; close on the next input line, without acknowledging any."""
    with Connection(url, transport_options=options) as connection:
        channel = connection.channel()
        held = []
        channel.basic_consume(queue, callback=lambda message: (held.append(message), say(message.payload)))
        while len(held) < number:
            connection.drain_events(timeout=LIMIT)
        heard()
    say("closed")


def slow(url: str, queue: str, options: dict[str, Any]) -> None:
    """Consume, take one message, wait for an input line, and print whether there is another one to take."""
    with Connection(url, transport_options=options) as connection:
        channel = connection.channel()
        channel.basic_consume(queue, callback=lambda message: say(message.payload))
        while channel.queue_declare(queue, passive=True).message_count:
            time.sleep(0.01)
        connection.drain_events(timeout=LIMIT)
        heard()
        try:
            connection.drain_events(timeout=0.5)
        except TimeoutError:
            say("nothing more")


def block(url: str, queue: str, seconds: float, options: dict[str, Any]) -> None:
    """Consume one message, and block in its callback before acknowledging it."""
    with Connection(url, transport_options=options) as connection:

        def work(message: Any) -> None:
            say("begun")
            time.sleep(seconds)
            message.ack()

        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(queue, callback=work)
        connection.drain_events(timeout=LIMIT)
    say("done")


def work(url: str, queue: str, record: str, options: dict[str, Any]) -> None:
    """Consume with a prefetch limit of 64, record and acknowledge each message, until the next input line."""
    ended = threading.Event()
    threading.Thread(target=lambda: (heard(), ended.set()), daemon=True).start()
    with (
        Connection(url, transport_options=options) as connection,
        Path(record).open("a", encoding="utf-8") as seen,  # one write a line: a killed process leaves whole lines
    ):

        def take(message: Any) -> None:
            held = channel.qos.outstanding()
            os.write(seen.fileno(), f"{message.payload} {message.delivery_info['delivery_count']} {held}\n".encode())
            message.ack()

        channel = connection.channel()
        channel.basic_qos(prefetch_count=64)
        channel.basic_consume(queue, callback=take)
        say("ready")
        while not ended.is_set():
            try:
                connection.drain_events(timeout=0.2)
            except TimeoutError:
                continue
    say("done")


def serve(url: str, name: str) -> None:
    """Serve a mailbox."""
    with Connection(url) as connection:
        node = Mailbox("test", type="direct", accept=["json"])(connection).Node(name)
        node.handler(double)
        with node.listen(channel=connection.channel()):
            say("ready")
            while True:
                connection.drain_events(timeout=LIMIT)


def serve_many(url: str, name: str, number: int, options: dict[str, Any]) -> None:
    """Serve ``number`` mailboxes over as many connections, each with a reply queue, and run on."""
    kept = []
    for each in range(number):
        connection = Connection(url, transport_options=options)
        mailbox = brief_mailbox(connection)
        consumer = mailbox.Node(f"{name}-{each}").listen(channel=connection.channel())
        mailbox.reply_queue(connection.channel()).declare()
        kept.append((connection, consumer))
    say("ready")
    heard()


def brief_mailbox(connection: Connection) -> Mailbox:
    """Return a mailbox whose queues expire at most a second after their owner's end."""
    return Mailbox("test", type="fanout", accept=["json"], queue_expires=1.0, reply_queue_expires=1.0)(connection)


def double(state: Any, n: int) -> int:
    return n * 2


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
