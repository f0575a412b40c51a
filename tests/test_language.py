"""The project speaks the field's language, and the checks of that notice a fault of each kind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.language.check import faults_in
from tests.support.limits import LIMIT

ROOT = Path(__file__).parents[1]


@pytest.fixture
def few(tmp_path):
    """A copy of a file of each language in the package: to check all of them takes seconds."""
    for name in ("clock.py", "drivers/sqlite/sql/claims.sql", "drivers/redis/lua/claim.lua"):
        (copy := tmp_path / "kombu_pool" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "kombu_pool" / name, copy)
    return tmp_path


def copy_package(folder):
    """Copy the package and what its layers are checked by."""
    shutil.copytree(ROOT / "kombu_pool", folder / "kombu_pool", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_kombu_pool_entry.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def copy(tmp_path):
    """A copy of the package and of what its layers are checked by."""
    return copy_package(tmp_path)


@pytest.fixture(scope="module")
def checked_copy(tmp_path_factory):
    """The check of the layers of a copy without a fault."""
    return layers(copy_package(tmp_path_factory.mktemp("copy")))


def plant(path, text):
    """Add a line to a file, or a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + text)


def test_no_name_and_no_sentence_is_outside_the_fields_language():
    assert faults_in(ROOT) == []


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("kombu_pool/clock.py", "\n# Whoever reads this.\n", "'Whoever' in"),  # language: allow - a planted fault
        (
            "kombu_pool/clock.py",
            "\nPATIENCE = 1\n",
            "the name 'PATIENCE' has the word 'patience'",
        ),  # language: allow - a planted fault
        ("kombu_pool/clock.py", "\nclass InnerTurn: ...\n", "the name 'InnerTurn' has the word 'turn'"),
        ("kombu_pool/clock.py", "\nKEY = b'lent'\n", "the name 'lent' has the word 'lent'"),
        ("kombu_pool/drivers/sqlite/sql/claims.sql", "-- mourner: a statement\nSELECT 1\n", "the name 'mourner'"),
        (
            "kombu_pool/drivers/sqlite/sql/claims.sql",
            "-- one: -\nSELECT lent FROM claim\n",
            "the name 'lent'",
        ),
        ("kombu_pool/drivers/redis/lua/claim.lua", "local graves = 1\n", "the name 'graves'"),
        ("kombu_pool/drivers/redis/lua/mourn.lua", "", "the file's name has the word 'mourn'"),
        ("docs/page.md", "Nobody knows.\n", "'Nobody' in"),  # language: allow - a planted fault
    ],
)
def test_a_fault_is_noticed(few, path, text, told):
    plant(few / path, text)

    (fault,) = faults_in(few)

    assert fault.path == path
    assert fault.text.startswith(told)


def test_a_word_with_its_reason_is_allowed(few):
    plant(few / "kombu_pool/clock.py", "\n# Nobody knows.  language: allow - a quotation\n")

    assert faults_in(few) == []


def layers(folder):
    """Check the layers of a copy of the package."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT)


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("kombu_pool/transport/declare/exchanges.py", "kombu_pool.transport.declare.queues"),
        ("kombu_pool/transport/publish/envelope.py", "kombu_pool.transport.consume.leases"),
        ("kombu_pool/storage/validation.py", "kombu_pool.storage.driver"),
    ],
)
def test_a_circle_of_type_hints_alone_is_noticed(checked_copy, copy, path, module):
    assert checked_copy.returncode == 0
    plant(copy / path, f"\nif TYPE_CHECKING:\n    import {module}\n")

    checked = layers(copy)

    assert checked.returncode == 1
    assert "No cycles are allowed in kombu_pool" in checked.stdout
