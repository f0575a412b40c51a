"""Programs that the tests of the Redis driver run in other processes."""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import TYPE_CHECKING

from kombu_pool import drivers
from kombu_pool.testing import ManualClock, QueueHandle, bodies, ids
from tests.support.transport.child_programs import heard, say

if TYPE_CHECKING:
    from kombu_pool.model import NewMessage

#: Messages that a claim asks for.
BATCH = 16


class SoftLimit(Exception):  # noqa: N818 - as Celery's SoftTimeLimitExceeded is one
    """Raised by a signal handler at any point of the program."""


class HardLimit(BaseException):
    """The same, but no ``except Exception`` catches it."""


def post(uri: str, first: int, count: int) -> None:
    """Post numbered messages, a few at a time."""
    queue = QueueHandle(drivers.open_data(uri), "q", None)
    for number in range(first, first + count, 10):
        queue.post(*range(number, number + 10))
    queue.driver.close()


def consume(uri: str, ttl: float) -> None:
    """Claim and acknowledge until the queue is empty and marked as complete; print the acknowledged bodies."""
    queue = QueueHandle(drivers.open_data(uri), "q", None)
    watch = queue.driver.watch([(None, "q")])
    say("ready")
    while True:
        held = queue.claim(limit=BATCH, ttl=ttl)
        if held.id is None:
            if queue.stats()["total"] == 0 and queue.driver.queue_controller.get("q").get("complete"):
                break
            watch.wait(ttl)
            continue
        bodies_of = dict(zip(ids(held), bodies(held), strict=True))
        refused = queue.delete_claimed([(message_id, held.id) for message_id in bodies_of])
        say(json.dumps([body for message_id, body in bodies_of.items() if (message_id, held.id) not in refused]))
    say("done")
    watch.close()
    queue.driver.close()


def hold(uri: str, ttl: float) -> None:
    """Claim once, acknowledge nothing, and wait to be killed."""
    queue = QueueHandle(drivers.open_data(uri), "q", None)
    while queue.claim(limit=BATCH, ttl=ttl).id is None:
        time.sleep(0.001)
    say("holding")
    heard()


def dead_letter(uri: str, answers: int, later: float | None = None) -> None:
    """Print the body of each dead letter to publish; confirm ``answers`` of them, then block until killed.

    With ``later``: advance the clock by so many seconds, start on a signal, and end when no dead message is left.
    """
    clock = ManualClock()
    driver = drivers.open_data(uri, clock=clock)
    left = iter(range(answers))

    def publish(project: object, exchange: str, key: str | None, message: NewMessage) -> bool:
        say(json.dumps(message["body"]))
        if next(left, None) is None:
            heard()
        return True

    driver.dead_letter_hooks.publish = publish
    if later is not None:
        clock.advance(later)
        heard()
    while driver.dead_letter_all():
        pass
    say("done")


def be_interrupted(uri: str, times: int) -> None:
    """Work through interrupts by a signal handler; print the replies that belonged to another call."""
    queue = QueueHandle(drivers.open_data(uri), "q", None)
    signal.signal(signal.SIGALRM, interrupt)
    wrong: list[str] = []
    for number in range(times):
        try:
            # From before the first byte to after some calls; repeated, as a __del__ may swallow the exception.
            signal.setitimer(signal.ITIMER_REAL, 0.00005 + 0.00002 * number, 0.1)
            work(queue, number, wrong)
        except (SoftLimit, HardLimit):
            signal.setitimer(signal.ITIMER_REAL, 0)
        if number % 10 == 0:
            # Make the connections look idle for long.
            for connection in queue.driver._client._idle:
                connection._used_at -= 10
    queue.post("at the end")
    say(json.dumps(wrong))


def interrupt(number: int, frame: object) -> None:
    raise (SoftLimit if time.monotonic_ns() % 2 else HardLimit)


def work(queue: QueueHandle, number: int, wrong: list[str]) -> None:
    """Call until interrupted, and compare each reply with its call."""
    step = 0
    while True:
        step += 1
        body = [number, step]
        (message_id,) = queue.post(body)
        if (found := queue.get(message_id)["body"]) != body:
            wrong.append(f"{found} instead of {body}")
        metadata = {"step": body}
        queue.driver.queue_controller.set_metadata("q", metadata)
        if (read := queue.driver.queue_controller.get("q")) != metadata:
            wrong.append(f"{read} instead of {metadata}")
        queue.delete(message_id)
        if queue.get_all([message_id]) != []:
            wrong.append("it is still there")


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
