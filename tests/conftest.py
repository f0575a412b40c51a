from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.scheduling import LongestFirst


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst | None:
    from tests.support.scheduling import LongestFirst  # noqa: PLC0415 - xdist may be missing

    return LongestFirst(config, log) if config.getoption("dist") == "loadscope" else None
