"""Answers of the stores that all open pages share for a few seconds."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, TypeVar

from kombu_pool.errors import KombuPoolError
from kombu_pool.web.control_gate import ControlOutage

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")

#: Answers that are kept.
_MAX_KEPT = 200


class _Slot:
    """One answer, or the error in its place, and the lock of the thread that asks."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.at = float("-inf")
        self.answer: Any = None
        #: The last answer that was no error, in a tuple; None if there is none.
        self.last: tuple[Any] | None = None


class SharedAnswers:
    """Asks once for all that want the same answer within its time to live."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._slots: OrderedDict[Hashable, _Slot] = OrderedDict()

    def get(self, key: Hashable, ttl: float, ask: Callable[[], T]) -> T:
        """Return the answer, which is at most ``ttl`` seconds old; the last one while the control store is down.

        Raises:
            KombuPoolError: what was raised in place of the answer, also before, within the time to live.
        """
        slot = self._slot(key)
        with slot.lock:
            if self._now() - slot.at >= ttl:
                _ask(slot, ask)
                slot.at = self._now()
            answer = slot.answer
        if isinstance(answer, KombuPoolError):
            raise answer
        found: T = answer
        return found

    def clear(self) -> None:
        """Ask again for everything: an action has changed something."""
        with self._lock:
            self._slots.clear()

    def _slot(self, key: Hashable) -> _Slot:
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
            while len(self._slots) > _MAX_KEPT:
                self._slots.popitem(last=False)
            return slot


def _ask(slot: _Slot, ask: Callable[[], object]) -> None:
    try:
        slot.answer = ask()
    except ControlOutage as error:
        slot.answer = error if slot.last is None else slot.last[0]
    except KombuPoolError as error:
        slot.answer = error
    else:
        slot.last = (slot.answer,)
