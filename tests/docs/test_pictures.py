"""The pictures that are drawn from text are those of the text."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from tests.support.docs import pictures
from tests.support.docs.pages import PAGES, ROOT


@pytest.mark.parametrize("source", pictures.sources(), ids=lambda source: source.stem)
def test_a_picture_is_drawn_from_the_text_beside_it(source):
    assert pictures.drawn_from(source) == pictures.digest(source), "make pictures"
    assert ET.parse(source.with_suffix(".svg")).getroot().tag.endswith("svg")  # noqa: S314 - it is ours


def test_each_picture_is_on_a_page_and_has_words_for_those_that_do_not_see_it():
    shown = [
        (words, page.parent / target)
        for page in PAGES
        for words, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", page.read_text())
        if "://" not in target
    ]

    assert {source.with_suffix(".svg") for source in pictures.sources()} <= {target for _, target in shown}
    assert [target.relative_to(ROOT) for words, target in shown if not words] == []
