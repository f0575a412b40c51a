"""The world of a queue that moves between two pools, and what processes do to it."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kombu_pool import errors
from kombu_pool.drivers.memory import moving as memory_moving
from kombu_pool.drivers.memory import shared
from kombu_pool.model import ACTIVE, IdempotencyKey
from kombu_pool.moves import MOVED
from kombu_pool.pooling import DataDriver, outages, queue_lives
from kombu_pool.pooling.moving import claims, unanswered
from kombu_pool.storage import IDEMPOTENCY_WINDOW
from tests.support.model.history import ABSENT, Queue
from tests.support.model.schedules import Process
from tests.support.model.world import POOLS, QUEUE, Operations, World, stepwise_pools

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from kombu_pool.model import Assignment
    from kombu_pool.testing import ManualClock

#: Shorter than what the world waits for at its end, so that a claim of a process that stopped is over then.
_CLAIM: Any = {"ttl": 60, "grace": 0}
#: Steps in which a mover gets nothing done, after which it leaves the rest to the end.
_MOST_STEPS = 6
#: Steps after which a move must be over, if one process makes them and consumers take what is left.
_STEPS_TO_THE_END = 30


class MoveWorld(World):
    """A world whose moves go on to their ends before it is judged."""

    def __init__(
        self, uri: Callable[[str], str], clock: ManualClock, operations: type[Operations] | None = None
    ) -> None:
        unanswered._posts.clear()
        outages._current.clear()
        super().__init__(uri, clock, operations or MoveOperations)
        #: Whether some consumer got messages in an order that can be judged.
        self.is_ordered = True
        #: Whether a process stops: what it was about to create in a pool may stay there, empty and unknown to all.
        self.has_stopped = False
        #: What consumers got, in order, and at the end what was left.
        self.received: list[str] = []
        self.rest: list[str] = []
        #: Claimed before the processes began: message, its id, and its claim.
        self.held = ("", "", "")
        #: Posts that a store has not received yet.
        self.late: list[Callable[[], Any]] = []
        self._named: set[str] = set()
        self.violations: list[str] = []

    def run(self, schedule: Any, works: Any) -> None:
        # Only the stores in memory tell at no cost.
        schedule.on_step = self._check_open if self._uri(QUEUE).startswith("memory:") else None
        super().run(schedule, works)

    def _check_open(self) -> None:
        """Record a violation if two pools have the queue open to posts."""
        life = shared.control_store("model-control").catalogue.get((None, QUEUE))
        if life is not None and life.state == ACTIVE:
            self._named.add(life.incarnation)
        stored = [shared.data_store(f"model-{pool}").queues.get((None, QUEUE)) for pool in POOLS]
        if sum(queue is not None and queue.incarnation in self._named for queue in stored) > 1:
            self.violations.append(f"two pools are open after step {self.schedule.step}")

    def settle(self) -> None:
        super().settle()
        data = DataDriver(None, None, self.control, clock=self.clock)
        data.catalog.counters.close()
        for _ in range(_STEPS_TO_THE_END):
            is_over, got = self._go_on(data), self._consume(data)
            if is_over and not got:
                break
        else:
            self.violations.append(f"the move does not end: {data.catalog.moves.find(QUEUE)}")
        self.clock.advance(IDEMPOTENCY_WINDOW + 1)
        data.queue_controller.end_deletions()
        found = data.catalog.moves.find(QUEUE)
        if found is not None:
            data.catalog.moves.step(QUEUE, None, found)
        data.close()

    def _go_on(self, data: DataDriver) -> bool:
        """Take the queue's move over, and make a step; return whether it is over."""
        moves = data.catalog.moves
        found = moves.find(QUEUE)
        if found is None or found.move is None or found.move.phase == MOVED:
            return True
        taken = moves.take_over(QUEUE, None, found, "the last")
        if taken is not None:
            moves.step(QUEUE, None, taken)
        return False

    def _consume(self, data: DataDriver) -> bool:
        claim, messages = data.claim_controller.create(QUEUE, _CLAIM, limit=1)
        for message in messages:
            self.rest.append(message["body"])
            if data.message_controller.delete_claimed(QUEUE, [(message["id"], claim or "")]):
                self.violations.append(f"a claim was refused: {message}")
        return bool(messages)

    def faults(self) -> list[str]:
        found = self.control.catalogue_controller.find(None, QUEUE)
        declared = self.control.queue_controller.exists(QUEUE)
        held = {pool: self._leaf(pool) for pool in POOLS}
        faults = [*self.violations, *self._misplaced(found, held)]
        if found is not None and (found.state != ACTIVE or found.move is not None):
            faults.append(f"not at its end: {found}")
        if declared is not (found is not None):
            faults.append(f"declared: {declared}, assigned: {found}")
        if self.is_ordered:
            faults += self._disorder()
        end = self._end(declared, found, held)
        if not faults and not self.history.explains(self.start, end):
            faults.append(f"no order explains {end}: {self.history.actions}")
        return [*faults, *self._used_pools(found)]

    def _misplaced(self, found: Assignment | None, held: dict[str, frozenset[str] | None]) -> list[str]:
        faults = []
        for pool in POOLS:
            is_named = found is not None and found.pool == pool
            if held[pool] is None and is_named:
                faults.append(f"not in its pool {pool}")
            elif held[pool]:
                faults.append(f"pool {pool} keeps {held[pool]}")
            elif held[pool] is not None and not is_named and not self.has_stopped:
                faults.append(f"the catalogue names no queue in pool {pool}")
        return faults

    def _disorder(self) -> list[str]:
        sequence = [body for body in (*self.received, *self.rest) if body != self.held[0]]
        numbered = [found for body in sequence if (found := re.fullmatch(r"(.*)-(\d)", body))]
        by_producer: dict[str, list[str]] = {}
        for found in numbered:
            by_producer.setdefault(found[1], []).append(found[2])
        return [f"not in order: {sequence}" for each in by_producer.values() if each != sorted(each)]

    def _used_pools(self, found: Assignment | None) -> list[str]:
        faults = []
        for pool in POOLS:
            try:
                self.control.pools_controller.delete(pool)
            except errors.KombuPoolError as error:
                if found is None or found.pool != pool:
                    faults.append(f"cannot be removed: {error}")
            else:
                if found is not None and found.pool == pool:
                    faults.append(f"pool {pool} was removed while it had the queue")
        return faults

    def _end(self, declared: bool, found: Assignment | None, held: dict[str, frozenset[str] | None]) -> Queue:
        if not declared or found is None:
            return ABSENT
        end = super()._end(declared, found, held)
        messages = frozenset(self.rest)
        twice = {f"{body} again" for body in messages if self.rest.count(body) > 1}
        return end._replace(messages=messages | twice)


class MoveOperations(Operations):
    """What one process does to a queue that moves. Moves are no actions of the history: they change nothing."""

    _world: MoveWorld

    def plan(self, *, copies: bool, target: str | None = None) -> Assignment | None:
        found = self.driver.control.catalogue_controller.find(None, QUEUE)
        if found is None:
            return None
        other = target or next(pool for pool in POOLS if pool != found.pool)
        with suppress(errors.QueueDoesNotExist, errors.NotPermitted):
            return self.driver.catalog.moves.plan(QUEUE, None, other, copies=copies, holder=self._holder)
        return None

    def move(self, *, copies: bool) -> None:
        self._go_on(self.plan(copies=copies))

    def take_over(self) -> None:
        """Go on with a move of another process."""
        moves = self.driver.catalog.moves
        found = moves.find(QUEUE)
        if found is not None and found.move is not None and found.move.phase != MOVED:
            self._go_on(moves.take_over(QUEUE, None, found, self._holder))

    def collect(self) -> None:
        """Delete what moves left behind."""
        moves = self.driver.catalog.moves
        found = moves.find(QUEUE)
        if found is not None and found.move is not None and found.move.phase == MOVED:
            moves.step(QUEUE, None, found)

    def abort(self) -> None:
        moves = self.driver.catalog.moves
        found = moves.find(QUEUE)
        if found is not None:
            moves.abort(QUEUE, None, found)

    @property
    def world(self) -> MoveWorld:
        return self._world

    @property
    def _holder(self) -> str:
        return f"process {self.number}"

    def _go_on(self, found: Assignment | None) -> None:
        moves = self.driver.catalog.moves
        for _ in range(_MOST_STEPS):
            if found is None or found.move is None or found.move.phase == MOVED or found.move.holder != self._holder:
                return
            try:
                found = moves.step(QUEUE, None, found)
            except errors.KombuPoolError as error:
                self._world.violations.append(f"a step of a move failed: {error!r}")
                return
            found = found or moves.find(QUEUE)

    def consume(self) -> None:
        def call() -> frozenset[str]:
            claim, messages = self.driver.claim_controller.create(QUEUE, _CLAIM, limit=1)
            self.action.answer = frozenset(message["body"] for message in messages)
            self._world.received += self.action.answer
            pairs = [(message["id"], claim or "") for message in messages]
            refused = self.driver.message_controller.delete_claimed(QUEUE, pairs) if pairs else []
            if refused:
                # Deleted with its queue.
                self._world.received.remove(messages[0]["body"])
                return frozenset()
            return frozenset(message["body"] for message in messages)

        for _ in range(2):
            self._act("consume", call)

    def hold(self) -> None:
        """Claim the first message, which is settled later."""
        claim, (message,) = self.driver.claim_controller.create(QUEUE, _CLAIM, limit=1)
        self._world.held = (message["body"], message["id"], claim or "")

    def settle_held(self) -> None:
        body, message_id, claim = self._world.held
        settle = self.driver.message_controller.delete_claimed
        self._act("settle", lambda: not settle(QUEUE, [(message_id, claim)]), body)

    def release_held(self) -> None:
        body, message_id, claim = self._world.held
        release = self.driver.claim_controller.release
        self._act("release", lambda: release(QUEUE, claim, [message_id]) == 1, body)

    def post_again(self, body: str, lose: Callable[[Callable[[], Any]], object]) -> None:
        """Post a message, lose the call or its answer, and post it again."""
        key = IdempotencyKey(f"producer {self.number}".encode(), 1)

        def call() -> bool:
            process = Process.running()
            assert process is not None
            process.lost["post"] = lose
            for _ in range(2):
                try:
                    self.driver.message_controller.post(QUEUE, [{"ttl": 0, "body": body}], None, idempotency_key=key)
                except errors.QueueDoesNotExist:
                    return False
                except errors.ConnectionError:
                    continue
                break
            return True

        self._act("post", call, body)

    def arrive(self) -> None:
        """Let the store receive a post that was lost on its way."""
        process = Process.running()
        assert process is not None
        process.await_step()
        for call in self._world.late:
            with suppress(errors.KombuPoolError):
                call()


def stepwise_moves(patch: pytest.MonkeyPatch) -> None:
    """Run pools and moves stepwise, with a batch for each message, and let no process wait for another."""
    stepwise_pools(patch)
    patch.setattr(queue_lives, "_FIRST_WAIT", 0.0)
    patch.setattr(claims, "_EMPTY_TTL", 0.0)
    take = memory_moving.MoveController.take
    patch.setattr(
        memory_moving.MoveController,
        "take",
        lambda self, queue, project=None, limit=1, **kwargs: take(self, queue, project, limit, **kwargs),
    )
