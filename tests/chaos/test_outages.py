"""Publishers and consumers during an outage of their store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from kombu import Connection

import kombu_pool
from tests.support.chaos.store_outages import SERVERS, disk, filled, limited
from tests.support.kombu_clients import PREFETCH, Clients
from tests.support.limits import LIMIT, LONG_TEST
from tests.support.servers.proxy import Proxy
from tests.support.transport.child_programs import Programs
from tests.support.transport.traffic import eventually, take_all

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.celery.brokers import Broker
    from tests.support.chaos.scale import Scale

PUBLISHERS, CONSUMERS, TTL = 2, 2, 2.0
#: Timeout of the recovery of all clients, in seconds.
RECOVERY = 2 * LIMIT

pytestmark = pytest.mark.timeout(LONG_TEST)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Clients]]:
    """Return a function that starts publishers and consumers."""
    started: list[Clients] = []

    def start(url: str) -> Clients:
        folder = tmp_path / "records"
        folder.mkdir()
        started.append(Clients(folder, url, claim_ttl=TTL))
        started[-1].start(PUBLISHERS, CONSUMERS)
        return started[-1]

    yield start
    for clients in started:
        clients.kill()


@pytest.fixture
def server(store: str) -> Iterator[Any]:
    server = SERVERS[store]()
    yield server
    server.close()


def left(url: str) -> int:
    store = kombu_pool.open(url)
    try:
        return store.queue_controller.stats("q")["messages"]["total"]
    finally:
        store.close()


def check_recovery(clients: Clients, url: str) -> dict[str, int]:
    """Wait until all clients work again, end them, and compare the consumed messages with the published ones."""
    try:
        clients.wait_for_all(RECOVERY)
    except AssertionError as error:
        logs = ["\n".join(client.program.log[-30:]) for client in (*clients.publishers, *clients.consumers)]
        raise AssertionError("\n---\n".join([str(error), *logs])) from None
    clients.stop_publishing()
    sent, retried = clients.all_sent(), clients.all_retried()
    eventually(lambda: sent <= {body for body, _ in clients.all_seen()} and not left(url), RECOVERY)
    clients.stop_consuming()
    seen = clients.all_seen()
    again = sum(count > 1 for _, count in seen)
    assert {body for body, _ in seen} == sent
    # A publish that failed may have taken effect.
    assert all(times <= 1 + retried[body] for (body, _), times in seen.items())
    # A client that reconnects while the store accepts only some writes may lose as many messages once more.
    assert all(count <= PREFETCH for count in clients.redelivered().values())
    return {
        "published": len(sent),
        "tried_again": sum(retried.values()),
        "consumed_again": again,
        "lost": len(sent - {body for body, _ in seen}),
    }


@pytest.mark.scenario("restart", "redis", "mongodb")
def test_a_store_is_killed_and_started_again(
    server: Any, start: Callable[[str], Clients], scale: Scale, tally: Callable[..., None]
) -> None:
    clients = start(server.url)

    server.kill()
    time.sleep(scale.down)
    server.restart()

    tally(down=scale.down, **check_recovery(clients, server.url))


@pytest.mark.scenario("cut network", "redis", "mongodb")
def test_the_network_carries_nothing_for_a_while(
    server: Any, start: Callable[[str], Clients], scale: Scale, tally: Callable[..., None]
) -> None:
    with Proxy(server.port) as proxy:
        clients = start(server.url_through(proxy))

        proxy.block()
        time.sleep(scale.cut)
        proxy.unblock()

        tally(cut=scale.cut, **check_recovery(clients, server.url))


@pytest.mark.scenario("locked file", "sqlite")
def test_another_process_locks_the_file(
    broker: Broker, start: Callable[[str], Clients], scale: Scale, tally: Callable[..., None]
) -> None:
    clients = start(broker.short_timeout_url)

    with broker.outage():
        time.sleep(scale.lock)

    tally(locked=scale.lock, **check_recovery(clients, broker.url))


@pytest.mark.scenario("full disk", "sqlite")
def test_the_disk_is_full(
    tmp_path: Path, start: Callable[[str], Clients], scale: Scale, tally: Callable[..., None]
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    with disk(folder) as mounted:
        url = f"pool+sqlite:///{folder}/broker.db"
        clients = start(url)
        pids = [client.program.pid for client in (*clients.publishers, *clients.consumers)]
        outage = filled(folder) if mounted else limited(pids, size=1)

        with outage:
            clients.wait_for_errors()
            time.sleep(scale.full)

        tally(full=scale.full, by="a small disk" if mounted else "a limit on files", **check_recovery(clients, url))
        clients.kill()


@pytest.mark.scenario("fork")
def test_a_process_forks_in_the_midst_of_publishing(
    broker: Broker, rng: random.Random, tmp_path: Path, scale: Scale, tally: Callable[..., None]
) -> None:
    programs, record = Programs("tests.support.chaos.child_programs"), tmp_path / "sent"
    options = {"claim_ttl": TTL}
    try:
        arguments = {"url": broker.url, "record": str(record), "options": options}
        program = programs.start("fork", pauses=[rng.uniform(0, 0.03) for _ in range(scale.forks)], **arguments)
        assert program.line() == "done"
        program.finish()
    finally:
        programs.kill()
    sent = [line.split()[1] for line in record.read_text().splitlines()]
    stored = bodies(broker.url)
    tally(forks=scale.forks, published=len(sent), lost=len(set(sent) - set(stored)))

    assert sorted(stored) == sorted(sent)


def bodies(url: str) -> list[str]:
    """Consume all messages of the queue."""
    with Connection(url) as connection:
        return take_all(connection.default_channel, "q")
