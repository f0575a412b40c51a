"""Routes messages from an exchange to queues, by the bindings that all processes of a project share."""

from __future__ import annotations

import re
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import ExchangeDoesNotExist

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kombu_pool.model import Binding, Exchange, Project
    from kombu_pool.storage import BindingsController

TYPES = frozenset({"direct", "topic", "fanout", "headers"})

#: The argument that names the exchange for messages that this one cannot route.
ALTERNATE = "alternate-exchange"

#: Exchanges that exist without a declaration, as in AMQP.
PREDECLARED = {"amq.direct": "direct", "amq.topic": "topic", "amq.fanout": "fanout", "amq.headers": "headers"}

_WILDCARDS = {"*": r"\.[^.]*", "#": r"(?:\.[^.]*)*"}


@lru_cache(maxsize=4096)
def topic_pattern(key: str) -> re.Pattern[str]:
    """Return the pattern of a topic binding, each word after a dot: ``*`` is one word, ``#`` zero or more."""
    pattern = "".join(_WILDCARDS.get(word) or r"\." + re.escape(word) for word in key.split("."))
    return re.compile(pattern + r"\Z", re.DOTALL)


def topic_matches(key: str, routing_key: str) -> bool:
    """Return whether a topic binding matches a routing key."""
    return topic_pattern(key).match(f".{routing_key}") is not None


def headers_match(wanted: Mapping[str, Any], headers: Mapping[str, Any]) -> bool:
    """Return whether a headers binding matches a message: all its arguments (the default) or, by ``x-match``, any.

    An argument of None requires only the presence of the header. ``all-with-x`` and ``any-with-x`` include arguments
    that begin with ``x-``.
    """
    how = str(wanted.get("x-match", "all"))
    pairs = [
        (name, value)
        for name, value in wanted.items()
        if name != "x-match" and (how.endswith("-with-x") or not name.startswith("x-"))
    ]
    found = (name in headers and (value is None or headers[name] == value) for name, value in pairs)
    return any(found) if how.startswith("any") else all(found)


def _matches(kind: str, binding: Binding, routing_key: str, headers: Mapping[str, Any]) -> bool:
    if kind == "fanout":
        return True
    if kind == "topic":
        return topic_matches(binding["routing_key"], routing_key)
    if kind == "headers":
        return headers_match(binding["arguments"], headers)
    return binding["routing_key"] == routing_key


class Router:
    """Routes messages of one project, with a cache of the bindings.

    Thread-safe: a cached table is replaced, never changed.
    """

    def __init__(
        self, bindings: BindingsController, project: Project, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._bindings = bindings
        self._project = project
        self._now = now
        self._generation_ttl = bindings.generation_ttl
        self._exchanges: dict[str, Bindings] = {}

    def route(self, exchange: str, routing_key: str, headers: Mapping[str, Any]) -> Sequence[str]:
        """Return the queues, each once, that a message published to ``exchange`` goes to.

        A binding that another process made is used at once where reading the generation is cheap, and at most
        ``generation_ttl`` seconds later elsewhere; always at once for a fanout exchange, and for an unroutable message.
        A message that an exchange cannot route goes to its alternate exchange, if it has one.

        Raises:
            ExchangeDoesNotExist: there is none of that name.
        """
        table = self._table(exchange, fresh=False)
        if not table.leads_to_queues_only:
            return self._traverse(exchange, routing_key, headers)
        queues = table.queues(routing_key, headers)
        return queues or self._table(exchange, fresh=True).queues(routing_key, headers)

    def _traverse(self, exchange: str, routing_key: str, headers: Mapping[str, Any]) -> Sequence[str]:
        """Return the queues reached from exchange to exchange, and through alternate exchanges, each exchange once."""
        found: dict[str, None] = {}
        seen: set[str] = set()
        to_visit = [exchange]
        while to_visit:
            name = to_visit.pop()
            if name in seen:
                continue
            seen.add(name)
            try:
                table = self._table(name, fresh=name == exchange)
            except ExchangeDoesNotExist:
                if name == exchange:
                    raise
                # An alternate exchange need not exist.
                continue
            queues, exchanges = table.queues(routing_key, headers), table.exchanges(routing_key, headers)
            found.update(dict.fromkeys(queues))
            to_visit.extend(exchanges)
            if table.alternate and not queues and not exchanges:
                to_visit.append(table.alternate)
        return tuple(found)

    def cached_bindings(self, exchange: str) -> Bindings | None:
        """Return the bindings by which the last message of the exchange was routed; another object after a change."""
        return self._exchanges.get(exchange)

    def forget(self, *exchanges: str) -> None:
        """Drop these exchanges from the cache."""
        for name in exchanges:
            self._exchanges.pop(name, None)

    def predeclare(self, *exchanges: str) -> None:
        """Create those of the exchanges that AMQP predeclares, unless they exist."""
        for name in exchanges:
            if name in PREDECLARED:
                self._bindings.create_exchange(name, PREDECLARED[name], project=self._project)

    def _table(self, exchange: str, *, fresh: bool) -> Bindings:
        table = self._exchanges.get(exchange)
        now = self._now() if self._generation_ttl else 0.0
        if table is not None and not fresh and now < table.valid_until:
            return table
        if table is not None and self._bindings.generation(exchange, self._project) == table.generation:
            self._mark_valid(table, now)
            return table
        return self._read(exchange, now)

    def _mark_valid(self, table: Bindings, now: float) -> None:
        """Use the table unchecked until the ttl; never for a broadcast, which must reach every queue bound by now."""
        table.valid_until = 0.0 if table.kind == "fanout" else now + self._generation_ttl

    def _read(self, exchange: str, now: float) -> Bindings:
        self._exchanges.pop(exchange, None)
        try:
            record = self._bindings.get_exchange(exchange, self._project)
        except ExchangeDoesNotExist:
            if exchange not in PREDECLARED:
                raise
            self.predeclare(exchange)
            record = self._bindings.get_exchange(exchange, self._project)
        # The generation is read before the bindings: a change between the two is noticed by the next check.
        table = Bindings(record, self._bindings.list(exchange, self._project))
        self._mark_valid(table, now)
        self._exchanges[exchange] = table
        return table


class Bindings:
    """Those of one exchange at one generation, and the routes found in them."""

    #: The most routing keys whose routes are cached.
    MAX_KEYS = 10_000

    def __init__(self, exchange: Exchange, bindings: Sequence[Binding]) -> None:
        self.kind = exchange["type"]
        self.generation = exchange["generation"]
        self.alternate = exchange["arguments"].get(ALTERNATE)
        self.valid_until = 0.0
        self._to_queues = [binding for binding in bindings if binding["destination_type"] == "queue"]
        self.destinations = frozenset(binding["destination"] for binding in self._to_queues)
        self._to_exchanges = [binding for binding in bindings if binding["destination_type"] != "queue"]
        self.leads_to_queues_only = not self._to_exchanges and not self.alternate
        self._routes: dict[str, Sequence[str]] = {}

    def queues(self, routing_key: str, headers: Mapping[str, Any]) -> Sequence[str]:
        if self.kind == "headers":
            return self._destinations(self._to_queues, routing_key, headers)
        queues = self._routes.get(routing_key)
        if queues is None:
            queues = self._destinations(self._to_queues, routing_key, headers)
            if len(self._routes) >= self.MAX_KEYS:
                self._routes = {}
            self._routes[routing_key] = queues
        return queues

    def exchanges(self, routing_key: str, headers: Mapping[str, Any]) -> Sequence[str]:
        return self._destinations(self._to_exchanges, routing_key, headers)

    def _destinations(self, bindings: Sequence[Binding], routing_key: str, headers: Mapping[str, Any]) -> Sequence[str]:
        return tuple(
            dict.fromkeys(
                binding["destination"] for binding in bindings if _matches(self.kind, binding, routing_key, headers)
            )
        )
