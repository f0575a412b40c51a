from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.scheduling import LongestFirst


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst | None:
    from tests.support.scheduling import LongestFirst  # noqa: PLC0415 - xdist may be missing

    return LongestFirst(config, log) if config.getoption("dist") == "loadscope" else None


def pytest_collection_finish() -> None:
    """Keep the thousands of collected tests out of every later garbage collection, which would look at all of them."""
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Collect the garbage once: pytest and the interpreter would look five times and more at all that a run leaves."""
    gc.collect()
    gc.freeze()
