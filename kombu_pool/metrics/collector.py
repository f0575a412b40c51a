"""Prometheus's metrics of a broker: the queues, their counters and the pools, as of the newest sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector as PrometheusCollector
from prometheus_client.samples import Sample as Value

from kombu_pool.errors import KombuPoolError
from kombu_pool.metrics.sampler import INTERVAL
from kombu_pool.metrics.source import SampleSource
from kombu_pool.operator.queues import is_internal
from kombu_pool.operator.summaries import reason_name
from kombu_pool.storage.counters import Counter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric

    from kombu_pool.metrics.sample import Sample
    from kombu_pool.operator.moves import MoveRow
    from kombu_pool.operator.pools import PoolHealth
    from kombu_pool.operator.queues import QueueRow

PREFIX = "kombu_pool_"
#: Longest wait of a scrape for the first sample, in seconds.
FIRST_TIMEOUT = 2.0
#: Intervals after which a sample is too old to stand for the present, and the shortest time, in seconds.
_MAX_INTERVALS, _MIN_MAX_AGE = 4, 15.0
#: The vhost of the project that has no name: RabbitMQ's default one.
DEFAULT_VHOST = "/"


class _Gauge(NamedTuple):
    """A metric of a queue: its name, its description, and its value out of a row; None has no value."""

    name: str
    text: str
    value: Callable[[QueueRow], float | None]


_GAUGES = (
    _Gauge("messages_ready", "Messages that wait for a consumer.", lambda row: row.ready),
    _Gauge("messages_unacked", "Messages that a consumer has, and has not acknowledged.", lambda row: row.claimed),
    _Gauge("messages_delayed", "Messages that are not due yet.", lambda row: row.delayed),
    _Gauge("messages", "All messages: ready, unacked and delayed.", lambda row: row.total),
    _Gauge(
        "oldest_age_seconds",
        "Age of the oldest ready message; 0 without one.",
        lambda row: None if row.ready is None else row.oldest_age or 0.0,
    ),
    _Gauge("consumers", "Consumers.", lambda row: row.consumers),
    _Gauge(
        "paused",
        "1 if its consumers get nothing until it is resumed.",
        lambda row: None if row.ready is None else float(row.paused),
    ),
)
#: Name and description of each counter of a queue, by its name in the control store.
_COUNTERS = {
    Counter.PUBLISHED: ("messages_published", "Messages that were stored."),
    Counter.DELIVERED: ("messages_delivered", "Messages that a consumer got, each time that one did."),
    Counter.REDELIVERED: ("messages_redelivered", "Those that a consumer had got before."),
    Counter.ACKED: ("messages_acked", "Messages that were acknowledged."),
    Counter.REJECTED: ("messages_rejected", "Messages that were rejected for good."),
    Counter.LOST_CLAIMS: ("claims_lost", "Messages that came back as the process that had them died."),
}
_DEAD_LETTERED = Counter.dead_lettered("")


class Collector(PrometheusCollector):
    """Collects the metrics of a broker, for ``prometheus_client``'s registry.

    ``broker`` is a broker URL with its ``transport_options``, a Celery application, or an opened
    :class:`~kombu_pool.operator.broker.Broker`, or a function that returns one, which the caller closes. The first
    scrape opens it, and begins to sample at the ``interval``, in seconds. A scrape answers from the newest sample, and
    asks no store.

    Raises:
        ConfigurationError: the interval is too short.
    """

    def __init__(
        self, broker: Any, *, interval: float = INTERVAL, transport_options: Mapping[str, Any] | None = None
    ) -> None:
        self.source = SampleSource(broker, interval=interval, transport_options=transport_options)

    def describe(self) -> Sequence[Metric]:
        """Return nothing: so a registry opens no broker when this is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; of a broker that does not answer, or that no process samples, ``kombu_pool_up`` 0."""
        try:
            latest = self.source.latest(FIRST_TIMEOUT)
            vhost = self.source.project or DEFAULT_VHOST
        except KombuPoolError:
            latest, vhost = None, ""
        is_up = latest is not None and latest.age <= max(_MAX_INTERVALS * latest.sample.interval, _MIN_MAX_AGE)
        yield GaugeMetricFamily(f"{PREFIX}up", "1 if the queues were sampled lately.", float(is_up))
        if latest is not None:
            yield GaugeMetricFamily(f"{PREFIX}sample_age_seconds", "Age of the newest sample.", latest.age)
        if latest is not None and is_up:
            yield from _of_queues(latest.sample, vhost)
            yield from _of_moves(latest.sample.moves, vhost)
            yield from _of_pools(latest.sample.pools)

    def close(self) -> None:
        """End the sampler, and close the broker if it was opened here. Idempotent: the next scrape opens it again."""
        self.source.close()


def _of_queues(sample: Sample, vhost: str) -> Iterator[Metric]:
    labelled = [
        (row, {"vhost": vhost, "queue": row.queue, "pool": row.pool})
        for row in sample.report.queues
        if not is_internal(row.queue, row.pool)
    ]
    for name, text, value in _GAUGES:
        family = GaugeMetricFamily(f"{PREFIX}queue_{name}", text)
        values = ((labels, value(row)) for row, labels in labelled)
        yield _with_values(family, family.name, ((labels, value) for labels, value in values if value is not None))
    counted = [(labels, sample.counters.get(row.queue, {})) for row, labels in labelled]
    for key, (name, text) in _COUNTERS.items():
        counter = CounterMetricFamily(f"{PREFIX}queue_{name}", text)
        # From 0 on, so that the first message is an increase.
        yield _with_values(
            counter, f"{counter.name}_total", ((labels, counters.get(key, 0)) for labels, counters in counted)
        )
    yield _dead_lettered(counted)


def _dead_lettered(counted: Iterable[tuple[dict[str, str], Mapping[str, int]]]) -> Metric:
    text = "Messages that became dead letters elsewhere, by the reason that x-death has."
    family = CounterMetricFamily(f"{PREFIX}queue_messages_dead_lettered", text)
    found = (
        ({**labels, "reason": reason_name(key.removeprefix(_DEAD_LETTERED))}, count)
        for labels, counters in counted
        for key, count in counters.items()
        if key.startswith(_DEAD_LETTERED)
    )
    return _with_values(family, f"{family.name}_total", found)


def _of_moves(moves: Sequence[MoveRow], vhost: str) -> Iterator[Metric]:
    for name, text, values in (
        ("left", "Messages that a queue that is moving has in its old pool.", [move.left for move in moves]),
        ("copied", "Messages that were copied to its new pool.", [move.copied for move in moves]),
    ):
        family = GaugeMetricFamily(f"{PREFIX}queue_move_messages_{name}", text)
        labelled = (
            ({"vhost": vhost, "queue": move.queue, "pool": move.source}, value)
            for move, value in zip(moves, values, strict=True)
            if value is not None
        )
        yield _with_values(family, family.name, labelled)


def _of_pools(pools: Sequence[PoolHealth]) -> Iterator[Metric]:
    up = ((_pool_labels(pool), float(pool.answers)) for pool in pools)
    yield _with_values(GaugeMetricFamily(f"{PREFIX}pool_up", "1 if the pool answers."), f"{PREFIX}pool_up", up)
    text = "What the pool's store takes, on disk or in its server's memory."
    sizes = ((_pool_labels(pool), float(pool.size)) for pool in pools if pool.size is not None)
    yield _with_values(GaugeMetricFamily(f"{PREFIX}pool_bytes", text), f"{PREFIX}pool_bytes", sizes)


def _pool_labels(pool: PoolHealth) -> dict[str, str]:
    return {"pool": pool.pool}


def _with_values(family: Metric, name: str, values: Iterable[tuple[dict[str, str], float]]) -> Metric:
    family.samples = [Value(name, labels, value) for labels, value in values]
    return family
