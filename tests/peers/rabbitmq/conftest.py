from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu_pool.errors import InvalidMessage
from tests.support.conformance.stores import STORES
from tests.support.peers.brokers import Peer
from tests.support.servers import rabbitmq

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    # Its client raises errors of every kind for what it cannot write.
    peer = Peer(rabbitmq.shared_broker().url, (Exception,))
    yield peer
    peer.connection.close()


@pytest.fixture(scope="module", params=["sqlite", "redis", "mongodb"])
def ours(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    uri = STORES[request.param].uri(tmp_path_factory.mktemp("store"), "store")
    # Kombu itself refuses an odd expiration by the other errors.
    peer = Peer(f"pool+{uri}", (InvalidMessage, ValueError, TypeError, OverflowError))
    yield peer
    peer.connection.close()
