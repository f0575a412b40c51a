"""Random operations on a store and on the memory store, which must return the same."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)

from kombu_pool import errors
from kombu_pool.testing.backend import Backend
from kombu_pool.testing.clock import ManualClock
from kombu_pool.testing.handles import QueueHandle
from kombu_pool.testing.stores import REFERENCE, Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

METADATA = {"_max_claim_count": 3, "_dead_letter_queue": "dead", "_default_message_ttl": 500}
seconds = st.sampled_from([0, 1, 5, 10, 60])
holders = st.sampled_from([None, "one", "two"])


class StoreComparison(RuleBasedStateMachine):
    """Makes every call on two stores. Their ids differ, so a message or a claim is a pair of ids here."""

    store: Store
    folder: Path
    messages: Bundle[Any] = Bundle("messages")
    claims: Bundle[Any] = Bundle("claims")
    _runs = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.backends, project = self.open_stores()
        self.queues = [QueueHandle(backend.driver, "queue", project) for backend in self.backends]
        self.dead = [QueueHandle(backend.driver, "dead", project) for backend in self.backends]
        self.number = itertools.count()

    def open_stores(self) -> tuple[ManualClock, list[Backend], str]:
        """Return the clock of two stores, the stores, and a project without queues."""
        clock, folder = ManualClock(), self.folder / str(next(self._runs))
        folder.mkdir()
        return clock, [Backend(store, folder, clock) for store in (REFERENCE, self.store)], "project"

    def teardown(self) -> None:
        for backend in self.backends:
            backend.close()

    def both(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Make the call on each queue, with its side of each argument that is a pair, and compare the results."""
        answers: list[Any] = []
        for side, queue in enumerate(self.queues):
            own = [argument[side] if isinstance(argument, tuple) else argument for argument in arguments]
            try:
                answers.append(call(queue, *own))
            except errors.KombuPoolError as error:
                answers.append(type(error).__name__)
        assert answers[0] == answers[1]
        return answers[0]

    @initialize()
    def create(self) -> None:
        for queue, dead in zip(self.queues, self.dead, strict=True):
            queue.create(**METADATA)
            dead.create()

    @rule(target=messages, count=st.integers(1, 4), ttl=seconds, delay=seconds, priority=st.integers(0, 2))
    def post(self, count: int, ttl: int, delay: int, priority: int) -> Any:
        posted = [next(self.number) for _ in range(count)]
        made = [queue.post(*posted, ttl=ttl, delay=delay, priority=priority) for queue in self.queues]
        return multiple(*zip(*made, strict=True))

    @rule(target=claims, limit=st.integers(1, 5), ttl=seconds, grace=seconds, holder=holders)
    def claim(self, limit: int, ttl: int, grace: int, holder: str | None) -> Any:
        held = [queue.claim(limit, ttl, grace, holder) for queue in self.queues]
        assert shape(held[0].messages) == shape(held[1].messages)
        return multiple() if held[0].id is None else (held[0].id, held[1].id)

    @rule(target=claims, first=messages, second=messages, ttl=seconds, grace=seconds)
    def claim_by_id(self, first: Any, second: Any, ttl: int, grace: int) -> Any:
        held = [queue.claim_by_id([first[side], second[side]], ttl, grace) for side, queue in enumerate(self.queues)]
        assert shape(held[0].messages) == shape(held[1].messages)
        return multiple() if held[0].id is None else (held[0].id, held[1].id)

    @rule(limit=st.integers(1, 3))
    def pop(self, limit: int) -> None:
        self.both(lambda queue: shape(queue.pop(limit), "claim"))

    @rule(claim=claims, ttl=seconds, grace=seconds)
    def renew(self, claim: Any, ttl: int, grace: int) -> None:
        self.both(lambda queue, claim_id: queue.renew(claim_id, ttl, grace), claim)

    @rule(claim=claims, other=claims, ttl=seconds, grace=seconds)
    def renew_all(self, claim: Any, other: Any, ttl: int, grace: int) -> None:
        def call(queue: QueueHandle, first: str, second: str) -> list[bool]:
            ended = queue.renew_all(dict.fromkeys((first, second)), ttl, grace)
            return [first in ended, second in ended]

        self.both(call, claim, other)

    @rule(holder=st.sampled_from(["one", "two"]))
    def end_claims(self, holder: str) -> None:
        self.both(lambda queue: queue.end_claims(holder))

    @rule(claim=consumes(claims))
    def end(self, claim: Any) -> None:
        self.both(lambda queue, claim_id: queue.end(claim_id), claim)

    @rule(claim=claims, message=messages)
    def release(self, claim: Any, message: Any) -> None:
        self.both(lambda queue, claim_id, message_id: queue.release(claim_id, [message_id]), claim, message)

    @rule(message=messages, claim=st.one_of(st.none(), claims))
    def delete(self, message: Any, claim: Any) -> None:
        self.both(lambda queue, message_id, claim_id: queue.delete(message_id, claim_id), message, claim)

    @rule(message=messages, claim=claims)
    def delete_claimed(self, message: Any, claim: Any) -> None:
        self.both(lambda queue, *pair: len(queue.delete_claimed([pair])), message, claim)

    @rule(message=messages, other=messages, claim=st.one_of(st.none(), claims))
    def delete_many(self, message: Any, other: Any, claim: Any) -> None:
        def call(queue: QueueHandle, first: str, second: str, claim_id: str | None) -> None:
            queue.delete_all([first, second], claim_ids=None if claim_id is None else [claim_id])

        self.both(call, message, other, claim)

    @rule(limit=st.integers(0, 2))
    def redrive(self, limit: int) -> None:
        done = [dead.redrive(limit=limit) for dead in self.dead]
        assert (done[0].moved, done[0].remaining, done[0].seen) == (done[1].moved, done[1].remaining, done[1].seen)

    @rule()
    def purge(self) -> None:
        self.both(lambda queue: queue.purge())

    @rule()
    def collect(self) -> None:
        for backend in self.backends:
            backend.driver.gc()

    @rule(by=st.sampled_from([0.5, 1, 4, 9, 60]))
    def advance(self, by: float) -> None:
        self.clock.advance(by)

    @rule(message=messages)
    def get(self, message: Any) -> None:
        self.both(lambda queue, message_id: shape([queue.get(message_id)]), message)

    @rule(claim=claims)
    def get_claim(self, claim: Any) -> None:
        def call(queue: QueueHandle, claim_id: str) -> Any:
            described, messages = queue.claim_of(claim_id)
            return described["age"], described["ttl"], shape(messages)

        self.both(call, claim)

    @rule(limit=st.integers(0, 3), claimed=st.booleans(), delayed=st.booleans())
    def page_through(self, limit: int, claimed: bool, delayed: bool) -> None:
        def call(queue: QueueHandle) -> list[Any]:
            seen: list[Any] = []
            marker = None
            while True:
                page, marker = queue.page(marker=marker, limit=limit, include_claimed=claimed, include_delayed=delayed)
                if not page:
                    return seen
                seen.append(shape(page))

        self.both(call)

    @rule(sort=st.sampled_from([1, -1]))
    def first(self, sort: int) -> None:
        self.both(lambda queue: shape([queue.first(sort)]))

    @rule()
    def count(self) -> None:
        self.both(lambda queue: (queue.count(), without_ids(queue.stats())))

    @rule()
    def read_dead_letters(self) -> None:
        # One that moved to another pool counts its age and its ttl from then on; both stores lose it at the same time.
        shapes = [shape(dead.page(limit=0)[0], "age", "ttl") for dead in self.dead]
        assert shapes[0] == shapes[1]


def shape(messages: Any, *without: str) -> list[dict[str, Any]]:
    """Return messages without the fields that differ from store to store."""
    hidden = {"id", "claim_id", "checksum", "dead_letter", *without}
    return [
        {
            **{key: value for key, value in message.items() if key not in hidden},
            "was claimed": "claim" in without or message["claim_id"] is not None,
            "is dead": message.get("dead_letter", {}).get("count"),
        }
        for message in messages
    ]


def without_ids(stats: dict[str, Any]) -> dict[str, Any]:
    return {key: value if isinstance(value, int) else value["age"] for key, value in stats.items()}


def test_every_store_answers_as_the_memory_store_does(compared: Store, tmp_path: Path) -> None:
    machine = type("StoreComparison", (StoreComparison,), {"store": compared, "folder": tmp_path})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=compared.examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
