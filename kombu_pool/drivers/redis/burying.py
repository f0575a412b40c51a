"""Buries what is dead: by whoever finds it, one at a time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.dead_letter_records import dead, letter, source
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import KombuPoolError
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterOutcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.redis.dead_letter_records import Letter, Source
    from kombu_pool.drivers.redis.dead_letters import DeadLetters
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import Project

logger = logging.getLogger(__name__)

_DYING = script("queues_with_dead", repeatable=True, writes=False)
_LOOK = script("take_dead", repeatable=True, writes=False)
_TAKE = script("take_dead", writes=False)
#: Dead messages that one run of a script takes at the most, and queues that are looked at in one round trip.
_AT_ONCE = 200
#: Seconds after which who uses a queue tries again to bury what was out of reach; bury() does so at once.
_RETRY = 5.0


class Burying:
    """Takes the dead of a queue, and has them delivered."""

    def __init__(self, store: Store, dead_letters: DeadLetters) -> None:
        self._store = store
        self._dead_letters = dead_letters

    def bury_all(self) -> int:
        """Bury what is dead in any queue; return how many were buried."""
        store = self._store
        queues: Sequence[bytes] = store.link.call(_DYING, (store.queues_with_dead,), store.now())
        buried = 0
        for start in range(0, len(queues), _AT_ONCE):
            scopes = [store.scope(queue) for queue in queues[start : start + _AT_ONCE]]
            looks = [(store.keys(*scope).dead_lettering, (store.now(), 0, 0)) for scope in scopes]
            answers = store.link.calls(_LOOK, looks)
            buried += sum(
                self.dead_letter(queue, project)
                for (project, queue), answer in zip(scopes, answers, strict=True)
                if answer is not None and answer[0]
            )
        return buried

    def bury_besides(self, queue: str, project: Project) -> None:
        """Bury what is dead in a queue after something else was done there, which must not fail for it."""
        try:
            self.dead_letter(queue, project)
        except KombuPoolError as error:
            logger.warning("What is dead in the queue %r waits to be buried: %s", queue, error)

    def dead_letter(self, queue: str, project: Project) -> int:
        """Bury what is dead in a queue; return how many were buried."""
        keys = self._store.keys(project, queue)
        buried, left, is_more = 0, [], True
        while is_more:
            answer = self._store.link.call(_TAKE, keys.dead_lettering, self._store.now(), _AT_ONCE, RESERVATION_TTL)
            if answer is None:
                break
            more, now, metadata, ids, kept = answer
            of = source(self._store, queue, project, metadata, b"", float(now))
            letters = [letter(of, dead(*one)) for one in zip(codec.split(ids, codec.DEAD_BYTES), kept, strict=True)]
            failed = self._bury(of, letters)
            buried += len(letters) - len(failed)
            left += failed
            # Where not one of so many could be buried, the rest need not be tried.
            is_more = bool(more) and (not letters or len(failed) < len(letters))
        if left:
            self._dead_letters.put_off(of, left, _RETRY)
        return buried

    def _bury(self, of: Source, letters: Sequence[Letter]) -> list[Letter]:
        """Bury letters; return those that are out of reach."""
        failed = []
        for one, delivery in self._dead_letters.deliver(of, letters):
            if delivery is DeadLetterOutcome.UNREACHABLE:
                failed.append(one)
            elif delivery is DeadLetterOutcome.UNROUTABLE and one.is_unreadable:
                self._dead_letters.keep_unreadable(of, one)
            elif delivery is DeadLetterOutcome.UNROUTABLE:
                self._dead_letters.forget(of, [one])
        return failed
