"""The page on performance says what the benchmarks measured."""

from __future__ import annotations

import re

from tests.support.docs.figures import BENCHMARKS, PAGE, filled
from tests.support.docs.pages import ROOT


def test_each_figure_of_the_page_is_that_of_the_last_benchmark():
    page = PAGE.read_text()

    assert page.count("<!-- figures: ") >= 6
    assert filled(page, BENCHMARKS.read_text()) == page, "python -m tests.support.docs.figures"


def test_the_rates_and_latencies_of_the_readme_are_those_of_the_last_benchmark():
    readme = (ROOT / "README.md").read_text()
    table = readme.partition("## Which store, and when not")[2].partition("\n\n#")[0]

    named = re.findall(r"[\d,]+/s|[\d.]+ ms", table)
    measured = re.findall(r"[\d,]+/s|[\d.]+ ms", BENCHMARKS.read_text())

    assert len(named) >= 9
    assert set(named) - set(measured) == set()
