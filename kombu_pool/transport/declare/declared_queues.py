"""The queues that one connection declared: a publish to one that is gone fails, so that it is declared again.

Kombu declares an entity once a connection. A queue that another client deletes would otherwise stay absent for a
producer that names it in ``declare``, and every message to it would be dropped as unroutable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.transport.declare.exchanges import Router


class DeclaredQueues:
    """The queues that a connection declared and that nothing but a deletion ends, and their bindings that it made.

    ``exists`` returns whether a queue exists. A missing queue fails one publish, and is then unroutable as in AMQP.
    """

    def __init__(self, router: Router, exists: Callable[[str], bool]) -> None:
        self._router = router
        self._exists = exists
        self._declared: set[str] = set()
        #: By exchange: the bindings when they were last checked, and the queues that this connection bound to it.
        self._bound: dict[str, tuple[object, set[str]]] = {}

    def add(self, queue: str) -> None:
        """Take note of a declaration."""
        self._declared.add(queue)

    def discard(self, queue: str) -> None:
        """Forget a queue that this connection deletes."""
        self._declared.discard(queue)
        for _, queues in self._bound.values():
            queues.discard(queue)

    def bound(self, exchange: str, queue: str) -> None:
        """Take note of a binding to a queue that the connection declared."""
        if queue in self._declared:
            _, queues = self._bound.get(exchange, (None, set()))
            self._bound[exchange] = (None, queues | {queue})

    def unbound(self, exchange: str, queue: str) -> None:
        """Forget the bindings of a queue to an exchange, of which this connection removes one."""
        if exchange in self._bound:
            self._bound[exchange][1].discard(queue)

    def require(self, queue: str) -> None:
        """Raise, once, if the connection declared this queue, which does not exist.

        Raises:
            ConnectionError: it did.
        """
        if queue in self._declared:
            self.discard(queue)
            raise errors.ConnectionError(
                f"queue {queue!r} was deleted since this connection declared it; the next connection declares it again"
            )

    def require_bound(self, exchange: str) -> None:
        """Raise as :meth:`require` does if a deletion removed a binding that the connection made to this exchange."""
        bound = self._bound.get(exchange)
        if bound is None:
            return
        checked, queues = bound
        bindings = self._router.cached_bindings(exchange)
        if bindings is checked:
            return
        self._bound[exchange] = (bindings, queues)
        for queue in queues - (bindings.destinations if bindings else frozenset()):
            if self._exists(queue):
                queues.discard(queue)  # another client removed the binding only
            else:
                self.require(queue)
