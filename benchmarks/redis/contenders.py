"""Who is compared on Redis, each on a private server with the same settings, reached over the loopback interface."""

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
#: Where the messages of a round are, in a RabbitMQ that serves for all rounds.
_QUEUES = ("bench", "celery")


@contextmanager
def pool_redis(folder: Path) -> Iterator[Broker]:
    """Ours, on a server of its own."""
    with servers.redis(folder) as address:
        yield Broker(f"pool+redis://{address}/0", {})


@contextmanager
def redis(folder: Path) -> Iterator[Broker]:
    """Kombu's Redis transport, on a server of its own."""
    with servers.redis(folder) as address:
        yield Broker(f"redis://{address}/0", {})


def rabbitmq(folder: Path) -> AbstractContextManager[str | None]:
    """Run a RabbitMQ and lend its URL, or None where there is none: it starts too slowly for one each round."""
    return servers.rabbitmq(folder) if servers.has_rabbitmq() else nullcontext()


def amqp(url: str, **options: Any) -> Contender:
    """Kombu's AMQP transport with these transport options, on a RabbitMQ that may have served before."""

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
    """Compare the rates of two contenders, if the peer is here."""
    if peer not in samples:
        return figures.LeftOut(what, f"no {peer.split(maxsplit=1)[0]} here")
    return figures.rates(what, samples[ours], peer, samples[peer], target)
