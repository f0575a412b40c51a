"""What processes did to one queue, and whether some order of it explains all the answers and what is left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Queue(NamedTuple):
    """The queue as AMQP tells of it: absent, or with messages, holders and a binding; ``is_over``: its lifetime is."""

    is_stored: bool = False
    messages: frozenset[str] = frozenset()
    holders: frozenset[str] = frozenset()
    is_bound: bool = False
    is_over: bool = False
    #: Messages that are claimed, and that only their holder can settle.
    held: frozenset[str] = frozenset()

    @property
    def has_expired(self) -> bool:
        """Whether the queue is stored, but exists for no caller any more."""
        return self.is_stored and self.is_over and not self.holders

    @property
    def exists(self) -> bool:
        return self.is_stored and not self.has_expired


ABSENT = Queue()


@dataclass
class Action:
    """One call: its first and last step, and its answer; ``last`` is None if it never ended."""

    name: str
    subject: str = ""
    first: int = 0
    last: int | None = None
    answer: Any = None

    def precedes(self, other: Action) -> bool:
        """Return whether this call ended before the other began."""
        return self.last is not None and self.last < other.first

    def effects(self, queue: Queue) -> Iterator[Queue]:
        """Yield the queue as it may be after this call, if it may have given its answer."""
        answers = [self.answer] if self.last is not None else [True, False]
        for answer in answers:
            yield from getattr(self, f"_{self.name}")(queue, answer)

    def _declare(self, queue: Queue, answer: Any) -> Iterator[Queue]:
        if self.last is None and queue.has_expired:
            yield ABSENT  # It is deleted before the next one is created.
        if answer is not queue.exists:
            yield queue if queue.exists else Queue(is_stored=True)

    def _post(self, queue: Queue, answer: Any) -> Iterator[Queue]:
        if answer is queue.exists:
            yield queue._replace(messages=queue.messages | {self.subject}) if queue.exists else queue

    def _consume(self, queue: Queue, answer: Any) -> Iterator[Queue]:
        # The answer of one that never ended is what it had claimed.
        taken = self.answer or frozenset()
        if taken <= queue.messages - queue.held:
            yield queue._replace(messages=queue.messages - taken)
        if self.last is None:
            yield queue

    def _settle(self, queue: Queue, answer: Any) -> Iterator[Queue]:
        is_held = self.subject in queue.messages & queue.held
        if answer is is_held:
            taken = frozenset({self.subject}) if is_held else frozenset()
            yield queue._replace(messages=queue.messages - taken, held=queue.held - taken)

    def _release(self, queue: Queue, answer: Any) -> Iterator[Queue]:
        if answer is (self.subject in queue.messages & queue.held):
            yield queue._replace(held=queue.held - {self.subject})

    def _delete(self, queue: Queue, answer: Any) -> Iterator[Queue]:
        yield ABSENT

    def _expire(self, queue: Queue, answer: Any) -> Iterator[Queue]:
        if answer is queue.has_expired:
            yield ABSENT if answer else queue

    def _attach(self, queue: Queue, answer: Any) -> Iterator[Queue]:
        if answer is queue.exists:
            yield queue._replace(holders=queue.holders | {self.subject}) if queue.exists else queue

    def _bind(self, queue: Queue, answer: Any) -> Iterator[Queue]:
        if answer is queue.exists:
            yield queue._replace(is_bound=True) if queue.exists else queue

    def _detach(self, queue: Queue, answer: Any) -> Iterator[Queue]:
        left = queue.holders - {self.subject}
        # Only queues whose lifetime begins with their last consumer's end have one that leaves.
        yield queue._replace(holders=left, is_over=not left) if self.subject in queue.holders else queue

    def _expire_unused(self, queue: Queue, answer: Any) -> Iterator[Queue]:
        if answer:
            if queue.is_stored and not queue.holders:
                yield ABSENT
        else:
            # Another life of the queue may be unused, too, and is not this consumer's to delete.
            yield queue


@dataclass
class History:
    """The calls of all processes."""

    actions: list[Action] = field(default_factory=list)
    #: Calls of processes that stopped before the others began.
    unfinished: list[Action] = field(default_factory=list)

    def begin(self) -> None:
        """Forget the calls that made the start."""
        self.actions = [*self.unfinished]

    def explains(self, start: Queue, end: Queue) -> bool:
        """Return whether some order of the calls leads from the queue at the start to that at the end."""
        return _explains(start, end, self.actions)


def _explains(queue: Queue, end: Queue, left: Sequence[Action]) -> bool:
    if not any(action.last is not None for action in left) and queue[:4] == end[:4]:
        return True
    for action in left:
        if any(other.precedes(action) for other in left):
            continue
        rest = [other for other in left if other is not action]
        if any(_explains(after, end, rest) for after in action.effects(queue)):
            return True
    return False
