"""Leads a message from an exchange to its queues, by the bindings that every process of the project shares."""

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

#: The argument that names the exchange which gets what this one leads nowhere.
ALTERNATE = "alternate-exchange"

#: Exchanges that are there without being declared, as AMQP has them.
PREDECLARED = {"amq.direct": "direct", "amq.topic": "topic", "amq.fanout": "fanout", "amq.headers": "headers"}


@lru_cache(maxsize=4096)
def topic_pattern(key: str) -> re.Pattern[str]:
    """Return the pattern of a topic binding, each word with a dot before it: ``*`` is one, ``#`` zero or more."""
    pattern = "".join(_word(word) for word in key.split("."))
    return re.compile(pattern + r"\Z", re.DOTALL)


def _word(word: str) -> str:
    """Return the pattern of one word, with the dot before it."""
    if word == "#":
        return r"(?:\.[^.]*)*"
    return r"\.[^.]*" if word == "*" else r"\." + re.escape(word)


def topic_matches(key: str, routing_key: str) -> bool:
    """Tell whether a topic binding takes a routing key."""
    return topic_pattern(key).match(f".{routing_key}") is not None


def headers_match(wanted: Mapping[str, Any], headers: Mapping[str, Any]) -> bool:
    """Tell whether a headers binding takes a message: ``x-match`` is all (the default) or any of its other arguments.

    An argument that is None asks only for the header's presence. ``all-with-x`` and ``any-with-x`` look at arguments
    that begin with ``x-`` too.
    """
    how = str(wanted.get("x-match", "all"))
    pairs = [
        (name, value)
        for name, value in wanted.items()
        if name != "x-match" and (how.endswith("-with-x") or not name.startswith("x-"))
    ]
    found = (name in headers and (value is None or headers[name] == value) for name, value in pairs)
    return any(found) if how.startswith("any") else all(found)


def _takes(kind: str, binding: Binding, routing_key: str, headers: Mapping[str, Any]) -> bool:
    if kind == "fanout":
        return True
    if kind == "topic":
        return topic_matches(binding["routing_key"], routing_key)
    if kind == "headers":
        return headers_match(binding["arguments"], headers)
    return binding["routing_key"] == routing_key


class Router:
    """Routes messages of one project, and remembers where they went for as long as nothing changes.

    Safe to use from several threads: what is remembered is replaced, never changed.
    """

    def __init__(
        self, bindings: BindingsController, project: Project, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._bindings = bindings
        self._project = project
        self._now = now
        self._trust = bindings.generation_ttl
        self._exchanges: dict[str, _Table] = {}

    def route(self, exchange: str, routing_key: str, headers: Mapping[str, Any]) -> Sequence[str]:
        """Return the queues, each once, that a message published to ``exchange`` goes to.

        What another process bound is seen at once where asking is cheap, and at the latest after the control store's
        ``generation_ttl`` seconds; at once in any case for a fanout exchange, and for a message that would go nowhere.

        What an exchange leads nowhere goes to its alternate exchange, if it has one.

        Raises:
            ExchangeDoesNotExist: there is none of that name.
        """
        table = self._table(exchange, fresh=False)
        if not table.plain:
            return self._spread(exchange, routing_key, headers)
        queues = table.queues(routing_key, headers)
        return queues or self._table(exchange, fresh=True).queues(routing_key, headers)

    def _spread(self, exchange: str, routing_key: str, headers: Mapping[str, Any]) -> Sequence[str]:
        """Follow bindings from exchange to exchange, and to alternate exchanges, each exchange once."""
        found: dict[str, None] = {}
        seen: set[str] = set()
        ahead = [exchange]
        while ahead:
            name = ahead.pop()
            if name in seen:
                continue
            seen.add(name)
            table = self._reached(name, exchange)
            if table is not None:
                queues, exchanges = table.queues(routing_key, headers), table.exchanges(routing_key, headers)
                found.update(dict.fromkeys(queues))
                ahead.extend(exchanges)
                if table.alternate and not queues and not exchanges:
                    ahead.append(table.alternate)
        return tuple(found)

    def _reached(self, name: str, first: str) -> _Table | None:
        """Return the table of an exchange on the way; an alternate exchange need not be there."""
        try:
            return self._table(name, fresh=name == first)
        except ExchangeDoesNotExist:
            if name == first:
                raise
            return None

    def forget(self, *exchanges: str) -> None:
        """Read these exchanges again before the next message."""
        for name in exchanges:
            self._exchanges.pop(name, None)

    def predeclare(self, *exchanges: str) -> None:
        """Create those of the exchanges that AMQP has without a declaration, unless they are there."""
        for name in exchanges:
            if name in PREDECLARED:
                self._bindings.create_exchange(name, PREDECLARED[name], project=self._project)

    def _table(self, exchange: str, *, fresh: bool) -> _Table:
        table = self._exchanges.get(exchange)
        now = self._now() if self._trust else 0.0
        if table is not None and not fresh and now < table.trusted_until:
            return table
        if table is not None and self._bindings.generation(exchange, self._project) == table.generation:
            self._trust_in(table, now)
            return table
        return self._read(exchange, now)

    def _trust_in(self, table: _Table, now: float) -> None:
        """Spare the next publishes the question, but never a broadcast: it must reach whoever is bound by now."""
        table.trusted_until = 0.0 if table.kind == "fanout" else now + self._trust

    def _read(self, exchange: str, now: float) -> _Table:
        self._exchanges.pop(exchange, None)
        try:
            record = self._bindings.get_exchange(exchange, self._project)
        except ExchangeDoesNotExist:
            if exchange not in PREDECLARED:
                raise
            self.predeclare(exchange)
            record = self._bindings.get_exchange(exchange, self._project)
        # The generation is read before the bindings: a change between the two is seen the next time.
        table = _Table(record, self._bindings.list(exchange, self._project))
        self._trust_in(table, now)
        self._exchanges[exchange] = table
        return table


class _Table:
    """The bindings of one exchange, at one generation, and the ways found in them."""

    MOST_KEYS = 10_000

    def __init__(self, exchange: Exchange, bindings: Sequence[Binding]) -> None:
        self.kind = exchange["type"]
        self.generation = exchange["generation"]
        self.alternate = exchange["arguments"].get(ALTERNATE)
        self.trusted_until = 0.0
        self._to_queues = [binding for binding in bindings if binding["destination_type"] == "queue"]
        self._to_exchanges = [binding for binding in bindings if binding["destination_type"] != "queue"]
        self.plain = not self._to_exchanges and not self.alternate
        self._known: dict[str, Sequence[str]] = {}

    def queues(self, routing_key: str, headers: Mapping[str, Any]) -> Sequence[str]:
        if self.kind == "headers":
            return self._destinations(self._to_queues, routing_key, headers)
        queues = self._known.get(routing_key)
        if queues is None:
            queues = self._destinations(self._to_queues, routing_key, headers)
            if len(self._known) >= self.MOST_KEYS:
                self._known = {}
            self._known[routing_key] = queues
        return queues

    def exchanges(self, routing_key: str, headers: Mapping[str, Any]) -> Sequence[str]:
        return self._destinations(self._to_exchanges, routing_key, headers)

    def _destinations(self, bindings: Sequence[Binding], routing_key: str, headers: Mapping[str, Any]) -> Sequence[str]:
        return tuple(
            dict.fromkeys(
                binding["destination"] for binding in bindings if _takes(self.kind, binding, routing_key, headers)
            )
        )
