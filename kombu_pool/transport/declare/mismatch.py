"""The comparison of a declaration with the queue that exists: only what has an effect counts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kombu_pool import codec
from kombu_pool.errors import ConfigurationError
from kombu_pool.transport import amqp_errors
from kombu_pool.transport.declare.queue_arguments import SUPPORTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqp.exceptions import PreconditionFailed

    from kombu_pool.model import Metadata

logger = logging.getLogger(__name__)

#: The values of ``on_queue_mismatch``: what follows if a queue exists with another declaration.
RAISE, KEEP = "raise", "keep"

_EXCLUSIVE = "exclusive"


class Mismatches:
    """Compares declarations with queues; an option decides whether a difference is an error."""

    def __init__(self, on_mismatch: str) -> None:
        self._on_mismatch = on_mismatch
        self._warned: set[str] = set()

    def check(self, name: str, declared: Metadata, existing: Metadata) -> None:
        """Raise PreconditionFailed, or log once, if a queue exists otherwise than it is declared.

        An exclusive queue differs from any other in who may use it: that is an error in any case.
        """
        different = _difference(declared, existing)
        if different is None:
            return
        what, ours, theirs = different
        if self._on_mismatch != KEEP or what == _EXCLUSIVE:
            raise _error(name, what, ours, theirs)
        if name not in self._warned:
            self._warned.add(name)
            logger.warning("The queue %r keeps %s=%r; a declaration with %r has no effect", name, what, theirs, ours)


def _difference(declared: Metadata, existing: Metadata) -> tuple[str, Any, Any] | None:
    """Return the first property or argument that differs, and both values; None if there is none."""
    for name in (_EXCLUSIVE, "durable", "auto_delete"):
        ours, theirs = bool(declared[name]), bool(existing.get(name))
        if ours != theirs:
            return name, ours, theirs
    ours_given, theirs_given = _stored(_known(declared["arguments"])), _known(existing.get("arguments") or {})
    for name in sorted(ours_given.keys() | theirs_given.keys()):
        if ours_given.get(name) != theirs_given.get(name):
            return name, ours_given.get(name), theirs_given.get(name)
    return None


def _known(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that have an effect; None counts as absent."""
    return {name: value for name, value in arguments.items() if name in SUPPORTED and value is not None}


def _stored(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments as a store returns them: a tuple as a list."""
    try:
        stored: dict[str, Any] = codec.decode(codec.encode_deterministic(arguments))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigurationError(f"cannot be stored: {error}") from error
    return stored


def _error(name: str, what: str, ours: Any, theirs: Any) -> PreconditionFailed:
    kind = f"arg '{what}'" if what in SUPPORTED else what
    keep = "" if what == _EXCLUSIVE else ", or set the transport option on_queue_mismatch to 'keep'"
    return amqp_errors.precondition_failed(
        f"inequivalent {kind} for queue '{name}': this declaration has {ours!r}, the queue has {theirs!r}; declare it "
        f"as it is, delete it so that it is declared again (celery amqp queue.delete {name}){keep}",
        "queue_declare",
    )
