"""Zaqar's own storage tests, over each store alone and over four pools of it."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.conformance.stores import STORES

# Skipped by "make test" only: "make peers" installs the package.
base = pytest.importorskip(
    "zaqar.tests.unit.storage.base", reason="zaqar is not installed; make peers installs it", exc_type=ImportError
)

from tests.peers.zaqar import adapters  # noqa: E402 - it needs zaqar

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:(zaqar|oslo|osprofiler|stevedore|testtools|webob)")

KINDS = ("memory", "sqlite", "redis", "mongodb")
DATA_TESTS = {
    base.QueueControllerTest: adapters.Queue,
    base.MessageControllerTest: adapters.Message,
    base.ClaimControllerTest: adapters.Claim,
    base.SubscriptionControllerTest: adapters.Subscription,
}
CONTROL_TESTS = {
    base.PoolsControllerTest: adapters.Pools,
    base.CatalogueControllerTest: adapters.Catalogue,
    base.FlavorsControllerTest1: adapters.Flavors,
}
#: Number of data stores of a test, and the driver over them; without one the control store is tested.
DRIVERS = {0: None, 1: adapters.DataDriver, 4: adapters.PooledDriver}


class OnStore:
    """Opens empty stores for each test of one of Zaqar's classes."""

    #: Longest wait of a test for an expired message to go, in seconds.
    gc_interval = 1

    def setUp(self):
        # Before Zaqar's own: it gives each test another folder for temporary files, and a server outlives a test.
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        control, *data = (STORES[self.kind].uri(Path(folder.name), f"store{n}") for n in range(1 + self.stores))
        self.control_driver_class = type("ControlDriver", (adapters.ControlDriver,), {"uri": control})
        driver = DRIVERS[self.stores]
        self.driver_class = type("DataDriver", (driver,), {"uris": data}) if driver else self.control_driver_class
        super().setUp()
        if self._testMethodName == "test_delay_queue":
            # A delay of one second would be over at the next whole second.
            time.sleep(1 - time.time() % 1)

    def _purge_databases(self):
        self.driver.close()
        self.control.close()


def over(kind, stores, tests, controller):
    """Return one of Zaqar's classes over that number of stores of a kind."""
    name = f"{tests.__name__}_{kind}{'_pooled' if stores > 1 else ''}"
    return type(name, (OnStore, tests), {"kind": kind, "stores": stores, "controller_class": controller})


ALL = [
    over(kind, stores, *pair)
    for kind in KINDS
    for stores in DRIVERS
    for pair in (DATA_TESTS if stores else CONTROL_TESTS).items()
]
# pytest collects the classes that are attributes of the module.
globals().update({tests.__name__: tests for tests in ALL})
