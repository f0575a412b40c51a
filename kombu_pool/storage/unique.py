"""The unique messages of one post, of which several may have the same id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.model import REPLACE, PresentId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.storage.validation import ValidMessage


class UniquePost:
    """The messages of a post without those that others of it displace: the first of an id, or the last to replace it.

    What the messages that stay find in their store is the driver's part.
    """

    def __init__(self, messages: Sequence[ValidMessage]) -> None:
        self._messages = messages
        #: The place of the message that stands for each one.
        self._stands_for = list(range(len(messages)))
        by_id: dict[str, list[int]] = {}
        for place, message in enumerate(messages):
            if message.unique is not None:
                by_id.setdefault(message.unique.id, []).append(place)
        for places in by_id.values():
            stays = places[0]
            for place in places[1:]:
                unique = messages[place].unique
                stays = place if unique is not None and unique.conflict == REPLACE else stays
            for place in places:
                self._stands_for[place] = stays
        self._stay = sorted(set(self._stands_for))
        #: The messages that stay, and those of them that are stored.
        self.messages = [messages[place] for place in self._stay]
        self.stored: list[ValidMessage] = self.messages
        self._present_ids: Sequence[str | None] = [None] * len(self.messages)

    @staticmethod
    def takes_over(message: ValidMessage, key: str | None, *, waits: bool) -> bool:
        """Return whether a message holds an id from now on that another one with this key holds.

        So does the retry of a task, which is posted while the task is claimed.
        """
        return key is not None and key == message.key and not waits

    def drop(self, present: Sequence[str | None]) -> list[ValidMessage]:
        """Drop messages, given for each that stays the id of the one in its place, or None; return the others."""
        self._present_ids = present
        self.stored = [message for message, held in zip(self.messages, present, strict=True) if held is None]
        return self.stored

    def ids(self, stored: Sequence[str]) -> Sequence[str]:
        """Return the ids of all messages, given those of the stored ones."""
        each = iter(stored)
        ids = [next(each) if held is None else held for held in self._present_ids]
        by_place = dict(zip(self._stay, ids, strict=True))
        return [
            by_place[stays] if stays == place else self._present(by_place[stays], stays)
            for place, stays in enumerate(self._stands_for)
        ]

    def _present(self, message_id: str, place: int) -> str:
        if isinstance(message_id, PresentId):
            return message_id
        return PresentId.of(message_id, self._messages[place].key)


def has_unique(messages: Sequence[ValidMessage]) -> bool:
    """Return whether one of the messages is unique."""
    for message in messages:  # noqa: SIM110 - each post calls this, and any() takes four times as long for one message
        if message.unique is not None:
            return True
    return False
