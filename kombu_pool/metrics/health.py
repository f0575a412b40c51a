"""Whether a broker's control store answers, and its pools, for the program that supervises a process."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError
from kombu_pool.operator.pools import check_health
from kombu_pool.pooling import call_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.operator.broker import Broker
    from kombu_pool.operator.pools import PoolHealth

#: Longest wait for the control store and the pools together, and for the pools alone, in seconds.
_TIMEOUT, _POOLS_TIMEOUT = 0.9, 0.8


class Health(NamedTuple):
    """The health of a broker: ``{"answers": bool, "reason": text or None}`` of the control store, and by pool."""

    control_store: dict[str, Any]
    pools: dict[str, dict[str, Any]]

    @property
    def status(self) -> int:
        """200 if the control store answers, else 503.

        A pool that is down changes no status: a restart of this process would not mend it.
        """
        return 200 if self.control_store["answers"] else 503

    def body(self, *, reasons: bool = True) -> bytes:
        """Return the health as JSON; the ``reasons`` name addresses, without passwords."""
        found = {"control_store": self.control_store, "pools": self.pools}
        if not reasons:
            pools = {name: {"answers": pool["answers"]} for name, pool in self.pools.items()}
            found = {"control_store": {"answers": self.control_store["answers"]}, "pools": pools}
        return json.dumps(found).encode() + b"\n"


def check(broker: Callable[[], Broker]) -> Health:
    """Return within a second the health of the broker that a function returns, or would return later."""
    calls: dict[str, Callable[[], Any]] = {
        "control": partial(_epoch, broker),
        "pools": lambda: check_health(broker().store, _POOLS_TIMEOUT),
    }
    found = call_all(calls, _TIMEOUT)
    error, pools = found["control"], found["pools"]
    reason = mask(str(error)) if isinstance(error, KombuPoolError) else None
    return Health(_state(reason), {} if isinstance(pools, KombuPoolError) else {pool.pool: _of(pool) for pool in pools})


def _epoch(broker: Callable[[], Broker]) -> str:
    return broker().store.control.epoch()


def _state(reason: str | None) -> dict[str, Any]:
    return {"answers": reason is None, "reason": reason}


def _of(pool: PoolHealth) -> dict[str, Any]:
    return {"answers": pool.answers, "since": pool.since, "reason": pool.reason}
