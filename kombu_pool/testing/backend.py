"""One store under test."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from kombu_pool import drivers
from kombu_pool.pooling import DataDriver as PoolingDriver
from kombu_pool.testing.stores import memory_uri

if TYPE_CHECKING:
    from pathlib import Path

    from kombu_pool.model import Project
    from kombu_pool.storage import ControlDriver, DataDriver
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.stores import Store


class Backend:
    """A new store with a driver for it, and access to the store that bypasses the driver."""

    def __init__(self, store: Store, folder: Path, clock: ManualClock) -> None:
        self.clock = clock
        self.pools = [store.uri(folder, f"pool-{number}") for number in range(store.pools)]
        self.uri = store.uri(folder, "store")
        self._store = store
        self._folder = folder
        self._open = ExitStack()
        self._control = self._new_control() if store.pools else None
        self.driver = self.another()

    def another(self) -> DataDriver:
        """Open one more driver of the same store, as another process would."""
        driver: DataDriver
        if self._control is None:
            driver = drivers.open_data(self.uri, clock=self.clock)
        else:
            driver = PoolingDriver(None, None, self._control, clock=self.clock)
        self._open.callback(driver.close)
        return driver

    def place(self, queue: str, pool: int, project: Project = None) -> None:
        """Assign the queue to that pool, where there are several."""
        if self._control is not None:
            self._control.catalogue_controller.insert(project, queue, f"pool-{pool}")

    def corrupt(self, queue: str, message_id: str, project: Project = None) -> None:
        """Make the record of a message unreadable."""
        if self._store.corrupt is None:
            pytest.skip("this Store has no `corrupt`")
        self._store.corrupt(self._uri_of(queue, project), project, queue, message_id)

    def set_times(self, queue: str, message_id: str, created: float, ttl: float, project: Project = None) -> None:
        """Replace the stored time of a message's post and its ttl."""
        if self._store.set_times is None:
            pytest.skip("this Store has no `set_times`")
        self._store.set_times(self._uri_of(queue, project), project, queue, message_id, created, ttl)

    def _uri_of(self, queue: str, project: Project) -> str:
        if self._control is None:
            return self.uri
        pool = self._control.catalogue_controller.get(project, queue)["pool"]
        return self._control.pools_controller.get(pool)["uri"]

    def close(self) -> None:
        """Close every driver that was opened here."""
        self._open.close()

    def _new_control(self) -> ControlDriver:
        driver = drivers.load(drivers.parse(self.uri).scheme)
        uri = self.uri if hasattr(driver, "open_control") else memory_uri(self._folder, "control")
        control = drivers.open_control(uri, clock=self.clock)
        self._open.callback(control.close)
        for number, pool in enumerate(self.pools):
            control.pools_controller.create(f"pool-{number}", 100, pool)
        return control
