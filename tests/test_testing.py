"""The suite that ships with the package, as the author of another driver uses it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from kombu_pool.testing import conformance
from tests.support.conformance.stores import STORES
from tests.support.docs.pages import blocks
from tests.support.limits import LIMIT

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "own_driver"
#: Modules that reach every layer of the package.
MODULES = ["kombu_pool", "kombu_pool.drivers.memory", "kombu_pool.pooling", "kombu_pool.transport", "kombu_pool.cli"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The package as it is installed from a wheel, apart from this tree."""
    built, installed = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = built.glob("*.whl")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(installed)
    return installed


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of the example's project, with the metadata that its installation writes."""
    project = tmp_path / "own_driver"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("__pycache__"))
    metadata = project / "kombu_pool_onefile-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: kombu-pool-onefile\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text("[kombu_pool.drivers]\nonefile = onefile\n")
    return project


def run_pytest(project: Path, wheel: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in the project; ``-S`` hides the editable installation of this tree, and with it these tests."""
    places = [project, wheel, sysconfig.get_path("purelib")]
    return subprocess.run(
        [sys.executable, "-S", "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=4 * LIMIT,
        check=False,
    )


def test_a_driver_of_ones_own_passes_the_suite(project, wheel):
    done = run_pytest(project, wheel)

    assert done.returncode == 0, done.stdout + done.stderr
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1])}
    assert counts["passed"] > 500
    assert "failed" not in counts


def test_the_module_of_the_documentation_runs_the_suite(project, wheel):
    block = blocks()["docs/drivers.md", "from kombu_pool.testing import Store  # tests/test_conformance.py"]
    (project / "tests" / "test_conformance.py").write_text(block.text)

    done = run_pytest(project, wheel, "-k", "test_drivers and alive")

    assert "1 passed" in done.stdout


def test_what_a_store_lacks_is_skipped_with_the_reason(project, wheel):
    done = run_pytest(project, wheel, "-rs", "-k", "test_flavors or unreadable")

    assert "no Store of STORES has control=True" in done.stdout
    assert "this Store has no `corrupt`" in done.stdout
    assert " passed" not in done.stdout


def test_a_failure_shows_the_values_that_were_compared(project, wheel):
    driver = project / "onefile" / "__init__.py"
    driver.write_text(driver.read_text().replace("return sum(queue.advance(now)", "return 7 + sum(queue.advance(now)"))

    done = run_pytest(project, wheel, "-k", "gc_of_an_empty_store")

    assert "assert 7 == 0" in done.stdout


def test_a_module_without_stores_is_told_what_it_lacks(project, wheel):
    (project / "tests" / "test_conformance.py").write_text("from kombu_pool.testing.conformance import *\n")

    done = run_pytest(project, wheel, "-k", "test_flavors")

    assert done.returncode != 0
    assert "tests/test_conformance.py must define STORES" in done.stdout


def test_the_package_does_not_import_it():
    program = f"import {', '.join(MODULES)}, sys; print([name for name in sys.modules if 'testing' in name])"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "kombu_pool.testing" not in done.stdout


def test_the_suite_has_all_its_modules():
    folder = Path(conformance.__file__).parent

    exported = {name for name in conformance.__all__ if name.startswith("test_")}
    assert exported == {path.stem for path in folder.glob("test_*.py")}


def test_no_test_is_skipped_over_the_stores_of_ours():
    assert [name for name, store in STORES.items() if store.corrupt is None] == []
    assert [name for name, store in STORES.items() if store.control]
    assert [name for name, store in STORES.items() if not store.pools]
