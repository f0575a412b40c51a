"""The queues that one connection declared: a publish to one that is gone fails, so that it is declared again.

Kombu declares an entity once a connection. A queue that another client deletes would otherwise stay absent for a
producer that names it in ``declare``, and every message to it would be dropped as unroutable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool import errors
from kombu_pool.transport.declare.queue_arguments import lifetime_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kombu_pool.transport.declare.exchanges import Router


class DeclaredQueues:
    """The queues that a connection declared, and their bindings that it made.

    ``exists`` returns whether a queue exists. A queue that only a deletion ends fails one publish when it is gone, and
    is then unroutable as in AMQP.
    """

    def __init__(self, router: Router, exists: Callable[[str], bool]) -> None:
        self._router = router
        self._exists = exists
        #: Whether each ends only with a deletion.
        self._declared: dict[str, bool] = {}
        #: The last declared queue that has not been used yet, and how it was declared.
        self._unused: tuple[str, Mapping[str, Any]] = ("", {})
        #: By exchange: the bindings when they were last checked, and the queues that this connection bound to it.
        self._bound: dict[str, tuple[object, set[str]]] = {}

    def __contains__(self, queue: str) -> bool:
        return queue in self._declared

    def add(self, queue: str, declaration: Mapping[str, Any]) -> None:
        """Take note of a queue, and of the arguments of ``queue_declare``."""
        ends_by_itself = declaration["exclusive"] or declaration["auto_delete"]
        self._declared[queue] = not ends_by_itself and lifetime_of(queue, declaration["arguments"]) is None
        self._unused = (queue, declaration)

    def unused(self, queue: str) -> Mapping[str, Any] | None:
        """Return how the queue was declared, if it has not been used since; else None."""
        name, declaration = self._unused
        return declaration if name == queue else None

    def discard(self, queue: str) -> None:
        """Forget a queue that this connection deletes."""
        self._declared.pop(queue, None)
        self._unused = ("", {})
        for _, queues in self._bound.values():
            queues.discard(queue)

    def bound(self, exchange: str, queue: str) -> None:
        """Take note of a binding to a queue that the connection declared."""
        self._unused = ("", {})
        if self._declared.get(queue):
            _, queues = self._bound.get(exchange, (None, set()))
            self._bound[exchange] = (None, queues | {queue})

    def unbound(self, exchange: str, queue: str) -> None:
        """Forget the bindings of a queue to an exchange, of which this connection removes one."""
        if exchange in self._bound:
            self._bound[exchange][1].discard(queue)

    def require(self, queue: str) -> None:
        """Raise, once, if the connection declared this queue, which does not exist, and only a deletion ends it.

        Raises:
            ConnectionError: it did.
        """
        if self._declared.get(queue):
            self.discard(queue)
            raise gone(queue)

    def require_bound(self, exchange: str) -> None:
        """Raise as :meth:`require` does if a deletion removed a binding that the connection made to this exchange."""
        bound = self._bound.get(exchange)
        if bound is None:
            return
        checked, queues = bound
        bindings = self._router.cached_bindings(exchange)
        if bindings is checked or bindings is None:  # None: another thread dropped them from the cache
            return
        for queue in queues - bindings.destinations:
            if self._exists(queue):
                queues.discard(queue)  # another client removed the binding only
            else:
                self.require(queue)
        # Not before: an error here, or the first queue that is gone, leaves the others to the next publish.
        self._bound[exchange] = (bindings, queues)


def gone(queue: str) -> errors.ConnectionError:
    """Return the error for a queue that the connection declared, and that is gone."""
    return errors.ConnectionError(
        f"queue {queue!r} was deleted since this connection declared it; the next connection declares it again"
    )
