"""Brokers that a test compares, each over a connection that an error does not end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, settings
from kombu import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

REFUSED = "refused"

#: Draws are the same in each run, and are not made smaller: each costs round trips to two brokers.
EXAMPLES = settings(
    phases=[Phase.explicit, Phase.generate],
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Peer:
    """A broker, over a connection that is opened again after an error."""

    def __init__(self, url: str, refusals: tuple[type[Exception], ...]) -> None:
        self._url, self._refusals = url, refusals
        self._open()

    def attempt(self, action: Callable[[Any], Any]) -> Any:
        """Return what an action on a channel returns, or REFUSED."""
        try:
            with self.connection.channel() as channel:
                return action(channel)
        except (*self._refusals, *self.connection.channel_errors):
            self.connection.close()
            self._open()
            return REFUSED

    def _open(self) -> None:
        # RabbitMQ answers what it refuses only where it confirms.
        self.connection = Connection(
            self._url, transport_options={"confirm_publish": True} if "amqp" in self._url else {}
        )
