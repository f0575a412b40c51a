"""The documentation builds as a site, without a warning."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.support.docs.pages import ROOT
from tests.support.limits import LONG_TEST

pytestmark = [
    pytest.mark.timeout(LONG_TEST),
    pytest.mark.skipif(
        find_spec("sphinx") is None and not os.environ.get("CI"), reason="needs the extra docs: make docs installs it"
    ),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(ROOT / "docs"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_each_page_is_in_the_table_of_contents(site):
    contents = set(
        re.findall(
            r'class="toctree-l1[^"]*"><a class="reference internal" href="([\w/-]+)\.html"',
            (site / "index.html").read_text(),
        )
    )

    pages = {str(page.relative_to(ROOT / "docs").with_suffix("")) for page in (ROOT / "docs").rglob("*.md")}
    assert pages - contents == {"index"}


def test_the_reference_has_the_verbs_the_commands_and_the_options(site):
    reference = {name: (site / "reference" / f"{name}.html").read_text() for name in ("library", "commands", "options")}

    assert 'id="kombu_pool.storage.ClaimController.create"' in reference["library"]
    assert "redrive" in reference["commands"]
    assert "busy_timeout" in reference["options"]


def test_no_link_leads_to_a_page_that_is_not_there(site):
    broken = [
        (page.name, target)
        for page in site.rglob("*.html")
        for target in re.findall(r'href="([^"#:]+\.(?:html|md))"', page.read_text())
        if not (page.parent / target).exists()
    ]

    assert broken == []
