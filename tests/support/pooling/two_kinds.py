"""A broker over two pools of different kinds, "a" and "b"."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from kombu_pool import drivers
from kombu_pool.pooling import DataDriver
from kombu_pool.testing.handles import QueueHandle
from tests.support.conformance.stores import STORES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kombu_pool.clock import Clock
    from kombu_pool.storage import DeadLetterHooks


class TwoKinds:
    """The pools, and a driver over them."""

    def __init__(
        self, driver: DataDriver, control: str, kinds: dict[str, str], uris: dict[str, str], clock: Clock
    ) -> None:
        self.driver = driver
        self._control = control
        self._kinds = kinds
        self._uris = uris
        self._clock = clock

    @contextmanager
    def another_driver(self) -> Iterator[DataDriver]:
        """Open a driver over the same pools, as another process has it."""
        driver = DataDriver(None, None, self._control, clock=self._clock)
        try:
            yield driver
        finally:
            driver.close()

    def queue(self, name: str, pool: str, **metadata: object) -> QueueHandle:
        """Create a queue in a pool."""
        self.driver.control.catalogue_controller.insert(None, name, pool)
        self.driver.queue_controller.create(name, metadata)
        return QueueHandle(self.driver, name, None)

    def corrupt(self, pool: str, name: str, message_id: str) -> None:
        """Make the record of a message unreadable."""
        corrupt = STORES[self._kinds[pool]].corrupt
        assert corrupt is not None
        corrupt(self._uris[pool], None, name, message_id)

    def bodies_in(self, pool: str, name: str) -> list[object]:
        """Return the bodies that a pool's own queue of that name has."""
        leaf = drivers.open_data(self._uris[pool], clock=self._clock)
        try:
            return QueueHandle(leaf, name, None).all()
        finally:
            leaf.close()


@contextmanager
def two_kinds(
    folder: Path, kinds: tuple[str, str], clock: Clock, hooks: DeadLetterHooks | None = None
) -> Iterator[TwoKinds]:
    """Open a broker over new stores of the kinds."""
    kind_of = dict(zip("ab", kinds, strict=True))
    uris = {pool: STORES[kind].uri(folder, pool) for pool, kind in kind_of.items()}
    control = f"sqlite:///{folder / 'control.db'}"
    driver = DataDriver(None, None, control, clock=clock, dead_letter_hooks=hooks)
    for pool, uri in uris.items():
        driver.control.pools_controller.create(pool, 100, uri)
    try:
        yield TwoKinds(driver, control, kind_of, uris, clock)
    finally:
        driver.close()
