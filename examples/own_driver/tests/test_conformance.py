"""The conformance suite of kombu_pool, over ``onefile://``. Run it with ``pytest`` where the driver is installed."""

from kombu_pool.testing import Store
from kombu_pool.testing.conformance import *  # noqa: F403 - the tests and their fixtures

STORES = {"onefile": Store(lambda folder, name: f"onefile://{folder}/{name}.db")}
