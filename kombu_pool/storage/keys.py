"""The verbs of the contract that find, cancel and change messages by their key.

A key is a text that the producer gives a message, as ``key`` of :class:`~kombu_pool.model.NewMessage`; Celery's
messages have the id of their task. Several messages may have the same key: the retry of a task is posted before its
first message is deleted. A key is meant for a handful of messages, not for a group of thousands.
"""

from __future__ import annotations

from abc import ABC
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import DoesNotExist, InvalidMessage, NotPermitted
from kombu_pool.model import FoundMessage, KeyResult
from kombu_pool.storage.validation import check_priority, is_key, is_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kombu_pool.model import Message, Project
    from kombu_pool.storage.queues import QueueController

#: States of a message that a key finds.
FREE, DELAYED, CLAIMED = "free", "delayed", "claimed"


class KeyMethods(ABC):
    """What a controller of messages does with those of a key.

    Without a ``queue`` each verb concerns all queues of the project in the store; pooling asks all pools. What it does
    with one message is one step. A pool that does not answer is then in ``unreachable`` of the result, and costs at
    most 1 s. With a ``queue`` its error is raised. No message has an absent, empty or malformed key; an absent queue
    has none.
    """

    queues: QueueController

    def find(self, key: str, queue: str | None = None, project: Project = None) -> KeyResult:
        """Return the free, delayed and claimed messages with a key, by queue and in order.

        Without an override this reads every message of the queues.
        """
        result = KeyResult()
        for name in self._named(key, queue, project):
            result.messages += _listed(self, key, name, project)
        return result

    def cancel(self, key: str, queue: str | None = None, project: Project = None) -> KeyResult:
        """Delete the free and delayed messages with a key, but no dead letters, and return them.

        No consumer receives a returned message. Those that a claim holds stay, and are in ``claimed`` of the result;
        dead letters stay as they are, and are in ``dead_letters``: a key of which only these have messages was not
        cancelled.

        Raises:
            NotPermitted: the store cannot do it.
        """
        raise NotPermitted(f"{type(self).__module__} cannot cancel messages that wait")

    def cancel_many(self, keys: Iterable[str], project: Project = None) -> KeyResult:
        """Cancel the messages of many keys in all queues, as :meth:`cancel` does for one."""
        result = KeyResult()
        for key in keys:
            result.add(self.cancel(key, None, project))
        return result

    def change(
        self,
        key: str,
        due: float | None = None,
        priority: int | None = None,
        queue: str | None = None,
        project: Project = None,
    ) -> KeyResult:
        """Change when the free and delayed messages with a key are due, or their priority; None leaves it as it is.

        Returns the messages as they are now. ``due`` counts from the Unix epoch: until then a
        message is delayed; with a time that is over it is free at once. Its expiry, if it has one, moves by as much,
        counted from now for a message that was free and for a time that is over. A message may get another id, and
        keeps its place among those of its priority. Those that a claim holds stay as they are, and are in ``claimed``
        of the result.

        Raises:
            InvalidMessage: there is nothing to change, or one of the values is invalid.
            NotPermitted: the store cannot do it.
        """
        check_change(due, priority)
        raise NotPermitted(f"{type(self).__module__} cannot change messages that wait")

    def _named(self, key: object, queue: str | None, project: Project) -> Iterator[str]:
        """Yield the names of the queues that a call concerns."""
        if not is_key(key):
            return
        if queue is not None:
            yield queue
            return
        listing = self.queues.list(project, limit=0)
        yield from [each["name"] for each in next(listing)]


def check_change(due: object, priority: object) -> None:
    """Raise InvalidMessage unless the arguments of :meth:`KeyMethods.change` change something, and are valid."""
    if due is None and priority is None:
        raise InvalidMessage("there is nothing to change: neither a due time nor a priority is given")
    if due is not None and not is_time(due):
        raise InvalidMessage(f"due must be a time in seconds since the epoch, not {due!r}")
    if priority is not None:
        check_priority(priority)


def found_message(message: Message, queue: str, state: str, due: float | None = None) -> FoundMessage:
    """Return a message as a key finds it."""
    return FoundMessage(**message, queue=queue, state=state, due=due)


def _messages(controller: KeyMethods) -> Any:
    """Return the controller as the class of all its verbs, which extends this one."""
    return controller


def _listed(controller: KeyMethods, key: str, queue: str, project: Project) -> list[FoundMessage]:
    messages = _messages(controller)
    found: dict[str, FoundMessage] = {}
    with suppress(DoesNotExist):
        for state, claimed, delayed in ((CLAIMED, True, True), (DELAYED, False, True), (FREE, False, False)):
            listing = messages.list(
                queue, project, limit=0, echo=True, include_claimed=claimed, include_delayed=delayed
            )
            for message in next(listing):
                if message.get("key") == key:
                    found[message["id"]] = found_message(message, queue, state)
    return [*found.values()]
