"""The posts of this process, and the time by which groups hold tasks, in the hands of a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import canvas  # noqa: F401 - importing the transport after it makes groups buffer

from kombu_pool.errors import PoolUnavailable
from kombu_pool.transport.publish import buffer
from kombu_pool.transport.publish.publishing import PublishingMethods

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest


class GroupClock:
    """The time by which groups hold tasks, which stands still until a test advances it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = 0.0
        monkeypatch.setattr(buffer, "time", self)

    def monotonic(self) -> float:
        return self._now

    def advance(self) -> None:
        """Let a group have held its tasks for long enough."""
        self._now += 2 * buffer.PublishBuffer.MAX_AGE


class Posts:
    """Counts the posts of this process, and makes some fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._post = PublishingMethods.post
        #: (queue, number of messages) of each post that succeeded.
        self.sizes: list[tuple[str, int]] = []
        #: How many of the next posts fail.
        self.failing = 0

        def post(*arguments: Any, **options: Any) -> None:
            self._count(*arguments, **options)

        monkeypatch.setattr(PublishingMethods, "post", post)

    def _count(self, channel: Any, queue: str, messages: Sequence[Any], *arguments: Any, **options: Any) -> None:
        if self.failing:
            self.failing -= 1
            raise PoolUnavailable("default", "simulated failure")
        self._post(channel, queue, messages, *arguments, **options)
        self.sizes.append((queue, len(messages)))
