"""The pytest plugin of the suite: it collects the modules that a test module imports, over the stores named there."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.testing.stores import Store

SUITE = "kombu_pool.testing.conformance."

#: The fixtures that are repeated for the stores, each with the stores that it takes.
_REPEATED: dict[str, Callable[[Store], bool]] = {
    "backend": lambda _: True,
    "leaf": lambda store: not store.pools,
    "compared": lambda store: not store.is_reference,
    "control_store": lambda store: store.control,
}


class SuiteModule(pytest.Module):
    """A module of the suite, as part of the test module that imports it."""

    imported: ModuleType

    def _getobj(self) -> ModuleType:
        return self.imported

    @property
    def stores(self) -> dict[str, Store]:
        """The ``STORES`` of the test module.

        Raises:
            CollectError: it has none.
        """
        importer: Any = self.parent
        try:
            stores: dict[str, Store] = importer.obj.STORES
        except AttributeError:
            raise self.CollectError(
                f"{importer.nodeid} must define STORES, a dict of kombu_pool.testing.Store"
            ) from None
        return stores


def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> SuiteModule | None:
    """Collect an imported module of the suite."""
    if not (isinstance(obj, ModuleType) and obj.__name__ == SUITE + name):
        return None
    found: SuiteModule = SuiteModule.from_parent(
        collector, name=name, path=collector.path, nodeid=f"{collector.nodeid}::{name}"
    )
    found.imported = obj
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat each test of the suite for the stores that its fixtures take."""
    suite = metafunc.definition.getparent(SuiteModule)
    if suite is None:
        return
    for fixture in metafunc.fixturenames:
        if fixture in _REPEATED:
            stores = [pytest.param(store, id=name) for name, store in suite.stores.items() if _REPEATED[fixture](store)]
            metafunc.parametrize(fixture, stores or [pytest.param(None, id="none")], indirect=True)
