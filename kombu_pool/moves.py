"""The records of a queue's move from one pool to another.

Times are in seconds; points in time count from the Unix epoch.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

#: Phases of a move. The target is prepared, and the source sealed.
PLANNED: Final = "planned"
#: The target is open to producers; one process copies messages; no consumer claims.
COPYING: Final = "copying"
#: The target is open; consumers empty the source, and claim from the target what it does not have.
DRAINING: Final = "draining"
#: The source is empty. Its sealed queue stays until no producer can ask it for a post.
MOVED: Final = "moved"


class Tombstone(Struct, frozen=True):
    """A sealed queue that a move left empty in a pool: its incarnation, and when the move ended."""

    pool: str
    incarnation: str
    ended: float


class Move(Struct, frozen=True):
    """The move of a queue from one pool to another.

    ``sealed`` is the incarnation that the queue gets in the ``source``, ``opened`` the one that it has in the
    ``target``. ``copies``: its messages are copied at once; else only delayed ones are, and consumers empty the source.
    ``holder`` names the process that does the work, and ``epoch`` counts these processes; ``beats`` grows while the
    holder lives. ``copied`` counts messages, ``started`` is the time of the plan. ``tombstones`` are those of this move
    and of the moves before.
    """

    id: str
    source: str
    sealed: str
    target: str
    opened: str
    copies: bool
    phase: str
    holder: str
    started: float
    epoch: int = 1
    beats: int = 0
    copied: int = 0
    tombstones: tuple[Tombstone, ...] = ()

    @property
    def pools(self) -> tuple[str, ...]:
        """The pools that hold messages of the queue, or are about to."""
        return () if self.phase == MOVED else (self.source, self.target)


class MovedMessage(Struct, frozen=True):
    """A message on its way to another store, with all that a store keeps of it.

    ``id`` is the one that it has in the source. ``record`` is its encoded body, which need not be readable. ``expires``
    and ``due`` are None if it never expires, or is free. ``unique`` is the unique id that it holds, and whether it is
    held until the message is claimed only.
    """

    id: str
    record: bytes
    created: float
    ttl: float
    priority: int = 0
    expires: float | None = None
    due: float | None = None
    claim_count: int = 0
    key: str | None = None
    client: str | None = None
    dead_letter: dict[str, Any] | None = None
    unique: tuple[str, bool] | None = None
