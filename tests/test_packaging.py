"""The sdist and the wheel of this tree are complete."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from kombu_pool import conf

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the sdist, and the wheel from the sdist, with the installed hatchling."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def in_wheel(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def in_sdist(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def files(*patterns: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}


def test_the_wheel_has_every_module_statement_and_script(in_wheel):
    patterns = ("kombu_pool/**/*.py", "kombu_pool/**/*.sql", "kombu_pool/**/*.lua", "_kombu_pool_entry.py")
    ours = files(*patterns) | {"kombu_pool/py.typed"}

    assert {".sql", ".lua"} <= {Path(name).suffix for name in ours}
    assert ours <= in_wheel


def test_the_wheel_has_nothing_else(in_wheel):
    tops = {name.partition("/")[0] for name in in_wheel}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"kombu_pool", "_kombu_pool_entry.py"}


def test_the_sdist_is_complete(in_sdist):
    tree = files("*.md", "LICENSE", "Makefile", "pyproject.toml", "docs/*.md", "examples/**/*.py", "tests/**/*.py")

    assert tree <= in_sdist


def test_the_description_has_no_link_that_leads_nowhere_from_a_package_index(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(name).decode().partition("\n\n")[2]

    links = re.findall(r"\]\(([^)]+)\)", text)
    assert text.startswith("# kombu_pool\n")
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert "https://pypi.org/project/kombu-pool/#files" in links


@pytest.mark.parametrize(
    ("group", "name"),
    [("kombu.serializers", "pool-msgpack"), ("celery.commands", "pool"), ("oslo.config.opts", "kombu_pool")],
)
def test_an_entry_point_leads_somewhere(group, name):
    (found,) = (point for point in entry_points(group=group) if point.name == name)

    assert found.load() is not None


def test_a_sample_file_has_every_option(tmp_path):
    sample = tmp_path / "kombu_pool.conf"
    command = [sys.executable, "-m", "oslo_config.generator", "--namespace", "kombu_pool", "--output-file", str(sample)]

    subprocess.run(command, check=True, capture_output=True)

    text = sample.read_text()
    for group, options in conf.list_opts():
        assert f"[{group}]" in text
        for option in options:
            assert f"#{option.dest} =" in text
            assert option.help


@pytest.mark.parametrize(("group", "options"), conf.list_opts())
def test_the_manual_has_every_option(group, options):
    manual = (ROOT / "docs" / "configuration.md").read_text()

    section = manual.partition(f"`[{group}]`")[2].partition("\n## ")[0]

    assert {option.dest for option in options} <= {line.split("`")[1] for line in section.splitlines() if "| `" in line}
