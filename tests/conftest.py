from __future__ import annotations

import gc
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.scheduling import LongestFirst

# A loaded machine makes examples slowly.
hypothesis.settings.register_profile("loaded", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("loaded")


# Collecting makes many objects, and next to no garbage.
gc.disable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst | None:
    from tests.support.scheduling import LongestFirst  # noqa: PLC0415 - xdist may be missing

    return LongestFirst(config, log) if config.getoption("dist") == "loadscope" else None


def pytest_collection_finish() -> None:
    """Keep the thousands of collected tests out of every later garbage collection, which would look at all of them."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Collect what a failed test left open: its resource warnings would fail another test, at whatever moment."""
    failed = item.session.testsfailed
    result = yield
    if item.session.testsfailed > failed:
        for name in ("last_exc", "last_value", "last_traceback"):
            vars(sys).pop(name, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
    return result


@pytest.fixture
def untraced() -> Iterator[None]:
    """No coverage: it keeps something of each thread, and makes code that only computes run four times as long."""
    here, others = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    yield
    threading.settrace(others)
    sys.settrace(here)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Collect the garbage once: pytest and the interpreter would look five times and more at all that a run leaves."""
    gc.collect()
    gc.freeze()
