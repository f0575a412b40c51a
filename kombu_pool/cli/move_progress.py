"""How far moves of queues are, on the standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from kombu_pool.cli.tables import escaped

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from kombu_pool.operator.moves import MoveProgress


class ProgressBar:
    """A bar of the messages of all queues that move, if the standard error is a terminal; else a line for each wait."""

    def __init__(self) -> None:
        self._now: dict[str, MoveProgress] = {}
        #: The messages of each queue, those among them that have left the source.
        self._totals: dict[str, int] = {}
        self._told: set[tuple[str, bool]] = set()
        self._bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = click.progressbar(length=1, label="Moving", file=sys.stderr)
            self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)

    def draw(self, now: MoveProgress) -> None:
        """Show how far a queue's move is."""
        self._now[now.queue] = now
        self._totals[now.queue] = max(self._totals.get(now.queue, 0), now.copied + (now.left or 0))
        if self._bar is None:
            self._tell(now)
            return
        left = sum(each.left or 0 for each in self._now.values())
        total = sum(self._totals.values())
        held = sum(each.held or 0 for each in self._now.values())
        outage = next((each.outage for each in self._now.values() if each.outage), None)
        waits = f"Moving: {_held(held)} held by workers" if held else "Moving"
        self._bar.label = escaped(waits if outage is None else outage)
        self._bar.length = max(total, 1)
        self._bar.update(total - left - self._bar.pos)

    def _tell(self, now: MoveProgress) -> None:
        """Print why a move waits, once for each reason."""
        is_held = bool(now.held) and now.held == now.left
        text = now.outage or (
            f"{now.queue}: {_held(now.held or 0)} held by workers; waiting for them" if is_held else ""
        )
        if text and (now.queue, bool(now.outage)) not in self._told:
            self._told.add((now.queue, bool(now.outage)))
            click.echo(escaped(text), err=True)


def _held(count: int) -> str:
    return "1 message is" if count == 1 else f"{count} messages are"
