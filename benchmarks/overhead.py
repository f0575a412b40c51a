"""The processor time of pooling and transport above the store, compared with that of Kombu's ``memory`` transport.

Everything happens in one process, on a store in memory. The figure is the time of all threads of that process, minus
that of the memory driver when it is called directly: with the same posts, and with the same claims and
acknowledgements, in the order and sizes of the transport. The publish is a ``Producer.publish``; the consume is a raw
callback on the channel that acknowledges, with a prefetch limit of 64.
"""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from kombu import Producer
from kombu.serialization import dumps

import kombu_pool
from benchmarks import brokers, figures
from benchmarks.children import ask
from benchmarks.runs import Benchmark
from kombu_pool.pooling import ClaimController, MessageController

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from benchmarks.runs import Run
    from kombu_pool.model import ClaimMetadata

CLAIM: ClaimMetadata = {"ttl": 60, "grace": 60}
OURS, PEER, DRIVER = "pool+memory", "memory", "the driver alone"

#: A call of the transport to the store: "claim" or "ack", and the number of messages.
Call = tuple[str, int]


def through_kombu(broker: brokers.Broker, messages: int) -> dict[str, Any]:
    """Publish and consume; return the microseconds of each for one message, and the calls to the store."""
    calls: list[Call] = []
    _record(calls)
    with brokers.connected(broker) as channel:
        producer = Producer(channel, exchange=brokers.QUEUE.exchange, routing_key="bench", auto_declare=False)
        publishing = _microseconds(partial(_repeat, messages, partial(producer.publish, brokers.BODY)), messages)
        consuming = _microseconds(partial(_consume, channel, messages), messages)
    return {"publish": publishing, "consume": consuming, "calls": calls}


def _microseconds(work: Callable[[], None], messages: int) -> float:
    """Return the processor time of all threads for one message, in microseconds."""
    began = time.process_time()
    work()
    return 1e6 * (time.process_time() - began) / messages


def _repeat(times: int, call: Callable[[], Any]) -> None:
    for _ in range(times):
        call()


def _consume(channel: Any, messages: int) -> None:
    remaining = messages

    def arrived(message: Any) -> None:
        nonlocal remaining
        message.ack()
        remaining -= 1

    channel.basic_qos(0, brokers.PREFETCH, False)
    channel.basic_consume("bench", no_ack=False, callback=arrived, consumer_tag="bench")
    client = channel.connection.client
    while remaining:
        client.drain_events(timeout=5)
    channel.basic_cancel("bench")


def _record(calls: list[Call]) -> None:
    """Record every claim and acknowledgement that pooling makes; the cost for one message is negligible."""
    ack_and_claim, delete = ClaimController.ack_and_claim, MessageController.delete_claimed

    def recorded_ack_and_claim(self: Any, queue: str, held: Any, *arguments: Any, **options: Any) -> Any:
        if held:
            calls.append(("ack", len(held)))
        refused, claim_id, messages = ack_and_claim(self, queue, held, *arguments, **options)
        calls.append(("claim", len(messages)))
        return refused, claim_id, messages

    def recorded_delete(self: Any, queue: str, held: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(("ack", len(held)))
        return delete(self, queue, held, *arguments, **options)

    setattr(ClaimController, "ack_and_claim", recorded_ack_and_claim)  # noqa: B010 - the type checker forbids assignment
    setattr(MessageController, "delete_claimed", recorded_delete)  # noqa: B010


def through_driver(messages: int, calls: Sequence[Call]) -> dict[str, float]:
    """Post, claim and acknowledge directly in the store; return the microseconds for one message."""
    driver = kombu_pool.open_data("memory://bench")
    driver.queue_controller.create("bench")
    post = partial(driver.message_controller.post, "bench", ({"ttl": None, "body": _envelope()},), None, None)
    posting = _microseconds(partial(_repeat, messages, post), messages)
    return {"publish": posting, "consume": _microseconds(partial(_replay, driver, calls), messages)}


def _envelope() -> dict[str, Any]:
    """Return the envelope that the transport posts for a message."""
    return {
        "body": dumps(brokers.BODY)[2],
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {},
        "properties": {"delivery_mode": 2, "priority": 0},
        "exchange": "bench",
        "routing-key": "bench",
    }


def _replay(driver: Any, calls: Sequence[Call]) -> None:
    held: deque[tuple[str, str]] = deque()
    for verb, count in calls:
        if verb == "claim":
            claim_id, messages = driver.claim_controller.create("bench", CLAIM, None, count or 1)
            held.extend((message["id"], claim_id) for message in messages)
        else:
            driver.message_controller.delete_claimed("bench", [held.popleft() for _ in range(count)])


def kombu(broker: Callable[[Path], brokers.Broker], messages: int, calls: list[Call], folder: Path) -> dict[str, float]:
    """Measure a broker in a separate process, and store its calls to the store in ``calls``."""
    measured: dict[str, Any] = ask(through_kombu, folder, broker=broker(folder), messages=messages)
    calls[:] = measured.pop("calls")
    return measured


def measure(run: Run) -> Iterator[figures.Figure]:
    """Measure kombu_pool, the peer, and the driver with the calls of kombu_pool."""
    messages = run.choose(30_000, 1000)
    calls: list[Call] = []
    subjects: dict[str, Callable[[Path], dict[str, float]]] = {
        OURS: partial(kombu, brokers.pool_memory, messages, calls),
        PEER: partial(kombu, brokers.memory, messages, []),
        DRIVER: lambda folder: ask(through_driver, folder, messages=messages, calls=calls),
    }
    samples = run.interleave(subjects, rounds=5)
    for verb, what, target in (("publish", "publish", 1), ("consume", "consume with ack", 0.5)):
        whole, other, below = ([each[verb] for each in samples[name]] for name in (OURS, PEER, DRIVER))
        ours = [mine - driver for mine, driver in zip(whole, below, strict=True)]
        yield figures.Figure(
            f"processor above the driver, {what}",
            f"{median(ours):.1f} µs ({median(whole):.1f} minus {median(below):.1f})",
            f"{PEER} {median(other):.1f} µs",
            figures.ratio(ours, other),
            target,
            at_most=True,
        )


BENCHMARK = Benchmark("overhead", "What do pooling and the transport cost above the store?", measure)
