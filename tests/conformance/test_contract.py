"""The conformance suite, over every store of ours."""

from __future__ import annotations

from kombu_pool.testing.conformance import *  # noqa: F403 - the tests and their fixtures
from tests.support.conformance.stores import STORES_OF_ONE_PROCESS

STORES = STORES_OF_ONE_PROCESS
