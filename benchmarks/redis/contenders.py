"""The compared brokers on Redis, each on a private server with the same settings, over the loopback interface."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from kombu import Connection

from benchmarks import figures, servers
from benchmarks.brokers import Broker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from benchmarks.contenders import Contender

OURS, REDIS, RABBITMQ = "pool+redis", "redis://", "RabbitMQ"
#: Queues to delete before each round: one RabbitMQ server is used for all rounds.
_QUEUES = ("bench", "celery")


@contextmanager
def pool_redis(folder: Path) -> Iterator[Broker]:
    """Yield kombu_pool on a private server."""
    with servers.redis(folder) as address:
        yield Broker(f"pool+redis://{address}/0", {})


@contextmanager
def redis(folder: Path) -> Iterator[Broker]:
    """Yield Kombu's Redis transport on a private server."""
    with servers.redis(folder) as address:
        yield Broker(f"redis://{address}/0", {})


def rabbitmq(folder: Path) -> AbstractContextManager[str | None]:
    """Run a RabbitMQ server for all rounds, because it starts slowly; yield its URL, None if it is not installed."""
    return servers.rabbitmq(folder) if servers.has_rabbitmq() else nullcontext()


def amqp(url: str, **options: Any) -> Contender:
    """Return Kombu's AMQP transport with these transport options, on a running RabbitMQ server."""

    @contextmanager
    def emptied(_: Path) -> Iterator[Broker]:
        with Connection(url) as connection:
            for queue in _QUEUES:
                connection.default_channel.queue_delete(queue)
        yield Broker(url, options)

    return emptied


def compared(
    what: str, samples: Mapping[str, Sequence[float]], peer: str, target: float, ours: str = OURS
) -> figures.Figure | figures.LeftOut:
    """Compare the rates of two contenders; leave the figure out if the peer was not measured."""
    if peer not in samples:
        return figures.LeftOut(what, f"no {peer.split(maxsplit=1)[0]} here")
    return figures.rates(what, samples[ours], peer, samples[peer], target)
