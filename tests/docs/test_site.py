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


def test_no_link_leads_to_a_page_or_a_heading_that_is_not_there(site):
    pages = {page: page.read_text() for page in site.rglob("*.html")}
    ids = {page: {*re.findall(r'\bid="([^"]+)"', text)} for page, text in pages.items()}
    links = [
        (page, (page.parent / target).resolve() if target else page, anchor)
        for page, text in pages.items()
        for link in re.findall(r'href="([^"]+)"', _content(text))
        for target, _, anchor in [link.partition("#")]
        if ":" not in target
    ]

    broken = [
        (page.name, target.name, anchor)
        for page, target, anchor in links
        if target not in pages or (anchor and anchor not in ids[target])
    ]

    assert len(links) > 500
    assert broken == []
    assert [target for _, target, _ in links if target.suffix == ".md"] == []


@pytest.mark.parametrize(
    ("page", "target"), [("readme", "tutorial"), ("contributing", "glossary"), ("changelog", "guarantees")]
)
def test_a_page_that_is_outside_the_folder_leads_to_those_in_it(site, page, target):
    assert f'href="../{target}.html' in _content((site / "project" / f"{page}.html").read_text())


def test_each_page_can_be_searched_and_its_blocks_copied(site):
    tutorial = (site / "tutorial.html").read_text()

    assert 'action="search.html"' in tutorial
    assert "copybutton.js" in tutorial
    assert "redrive" in (site / "searchindex.js").read_text()


def _content(page: str) -> str:
    """Return what a page of the site says, without what surrounds each page."""
    return page.partition("<article")[2].partition("</article>")[0]
