"""The processor time that we spend above the store, beside all that Kombu's own ``memory`` transport spends.

Everything happens in one process, on a store in memory. Ours is the time of all threads of that process, less what the
memory driver takes when it is driven directly: with the same posts, and with the same claims and acknowledgements, in
the order and in the sizes in which the transport made them. The publish is a ``Producer.publish``; the consume is a
raw callback on the channel that acknowledges, with a prefetch limit of 64.
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

#: What the transport asked of the store: "claim" or "ack", and of how many messages.
Call = tuple[str, int]


def through_kombu(broker: brokers.Broker, messages: int) -> dict[str, Any]:
    """Publish and consume; return the microseconds of each for one message, and what was asked of the store."""
    calls: list[Call] = []
    _record(calls)
    with brokers.connected(broker) as channel:
        producer = Producer(channel, exchange=brokers.QUEUE.exchange, routing_key="bench", auto_declare=False)
        publishing = _microseconds(partial(_repeat, messages, partial(producer.publish, brokers.BODY)), messages)
        consuming = _microseconds(partial(_consume, channel, messages), messages)
    return {"publish": publishing, "consume": consuming, "calls": calls}


def _microseconds(work: Callable[[], None], messages: int) -> float:
    """Return the processor time of all threads, for each message."""
    began = time.process_time()
    work()
    return 1e6 * (time.process_time() - began) / messages


def _repeat(times: int, call: Callable[[], Any]) -> None:
    for _ in range(times):
        call()


def _consume(channel: Any, messages: int) -> None:
    left = messages

    def arrived(message: Any) -> None:
        nonlocal left
        message.ack()
        left -= 1

    channel.basic_qos(0, brokers.PREFETCH, False)
    channel.basic_consume("bench", no_ack=False, callback=arrived, consumer_tag="bench")
    client = channel.connection.client
    while left:
        client.drain_events(timeout=5)
    channel.basic_cancel("bench")


def _record(calls: list[Call]) -> None:
    """Note every claim and acknowledgement that comes out of pooling, which costs next to nothing for each message."""
    ack_and_claim, delete = ClaimController.ack_and_claim, MessageController.delete_claimed

    def noted_swap(self: Any, queue: str, held: Any, *arguments: Any) -> Any:
        if held:
            calls.append(("ack", len(held)))
        refused, claim_id, lent = ack_and_claim(self, queue, held, *arguments)
        calls.append(("claim", len(lent)))
        return refused, claim_id, lent

    def noted_delete(self: Any, queue: str, held: Any, *arguments: Any) -> Any:
        calls.append(("ack", len(held)))
        return delete(self, queue, held, *arguments)

    setattr(ClaimController, "swap", noted_swap)  # noqa: B010 - to the type checker a method is for good
    setattr(MessageController, "delete_claimed", noted_delete)  # noqa: B010


def through_driver(messages: int, calls: Sequence[Call]) -> dict[str, float]:
    """Post, claim and acknowledge in the store itself; return the microseconds for one message."""
    driver = kombu_pool.open_data("memory://bench")
    driver.queue_controller.create("bench")
    post = partial(driver.message_controller.post, "bench", ({"ttl": None, "body": _envelope()},), None, None)
    posting = _microseconds(partial(_repeat, messages, post), messages)
    return {"publish": posting, "consume": _microseconds(partial(_replay, driver, calls), messages)}


def _envelope() -> dict[str, Any]:
    """What the transport posts for a message."""
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
            claim_id, lent = driver.claim_controller.create("bench", CLAIM, None, count or 1)
            held.extend((message["id"], claim_id) for message in lent)
        else:
            driver.message_controller.delete_claimed("bench", [held.popleft() for _ in range(count)])


def kombu(broker: Callable[[Path], brokers.Broker], messages: int, calls: list[Call], folder: Path) -> dict[str, float]:
    """Measure a broker in a process of its own, and leave in ``calls`` what it asked of the store."""
    found: dict[str, Any] = ask(through_kombu, folder, broker=broker(folder), messages=messages)
    calls[:] = found.pop("calls")
    return found


def measure(run: Run) -> Iterator[figures.Figure]:
    """Measure us, the peer, and the driver with the calls that we made."""
    messages = run.choose(30_000, 3000)
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
            f"{median(ours):.1f} µs ({median(whole):.1f} less {median(below):.1f})",
            f"{PEER} {median(other):.1f} µs",
            figures.ratio(ours, other),
            target,
            at_most=True,
        )


BENCHMARK = Benchmark("overhead", "What do pooling and the transport cost above the store?", measure)
