"""The columns, the order and the pages of lists."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from kombu_pool.web.management import name_patterns
from kombu_pool.web.management.errors import ApiError
from kombu_pool.web.management.linear_regex import LinearPattern
from kombu_pool.web.management.listing import Listing

ROWS = [
    {"name": "b", "messages": 3, "stats": {"rate": 0.5}},
    {"name": "a", "messages": 10, "stats": {"rate": 2.0}},
    {"name": "A2", "messages": None},
]


def listed(**query):
    return Listing.of(QueryParams({name: str(value) for name, value in query.items()})).arranged(ROWS)


def names(rows):
    return [row["name"] for row in rows]


def test_columns_are_paths_and_unknown_ones_are_left_out():
    assert listed(columns="name,stats.rate,nosuch")[0] == {"name": "b", "stats": {"rate": 0.5}}
    assert listed(columns="stats,stats.rate")[0] == {"stats": {"rate": 0.5}}


def test_rows_are_sorted_by_number_and_those_without_one_come_first():
    assert names(listed(sort="messages")) == ["A2", "b", "a"]
    assert names(listed(sort="stats.rate", sort_reverse="true")) == ["a", "b", "A2"]
    assert names(listed(sort="nosuch")) == ["b", "a", "A2"]


def test_a_page_has_the_names_that_match_and_says_how_many_there_are():
    page = listed(page=1, page_size=1, name="a", sort="name")

    assert page == {
        "filtered_count": 2,
        "item_count": 1,
        "items": [ROWS[2]],
        "page": 1,
        "page_count": 2,
        "page_size": 1,
        "total_count": 3,
    }
    assert names(listed(page=1, name="^a", use_regex="true", pagination="false")["items"]) == ["a", "A2"]
    assert names(listed(page=1, name=".")["items"]) == []
    assert listed(page=1, name="nosuch")["page_count"] == 0


def test_a_name_without_a_page_selects_nothing():
    assert names(listed(name="a")) == ["b", "a", "A2"]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"page": 0}, "invalid_pagination_parameters"),
        ({"page": -1}, "invalid_pagination_parameters"),
        ({"page": 1, "page_size": 0}, "invalid_pagination_parameters"),
        ({"page": 1, "page_size": 501}, "invalid_pagination_parameters"),
        ({"page": 2, "page_size": 3}, "page_out_of_range"),
        ({"page": "x"}, "bad_request"),
        ({"page": "1" * 5000}, "bad_request"),
        ({"page": 1, "use_regex": "true", "name": "("}, "bad_request"),
        ({"page": 1, "name": "x" * 501}, "bad_request"),
        ({"sort_reverse": "maybe"}, "bad_request"),
    ],
)
def test_an_impossible_page_or_order_is_refused(query, error):
    with pytest.raises(ApiError) as raised:
        listed(**query)

    assert (raised.value.status, raised.value.error) == (400, error)


@pytest.mark.parametrize("pattern", [r"(a*)\1", "(?=a*)b", "(?i)a", "(?<=a)b", "((((a{9}){9}){9}){9}){9}"])
def test_a_pattern_that_no_automaton_searches_is_refused(pattern):
    with pytest.raises(ApiError, match=r"here|may take long"):
        listed(page=1, use_regex="true", name=pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "a*a*a*b", "(a+)+$b", "(?:a|b)*c", "(a{2,9}){5}c", "(a*)?" * 9 + "b", "a?" * 40 + "a" * 400, "(a|a)" * 40 + "b",
        "a*a*a*a*a*a*b", "(a*)*c", "(.*)*(.*)*(.*)*b",
    ],
)  # fmt: skip
def test_no_pattern_holds_up_the_server_over_a_long_name(pattern):
    page = Listing.of(QueryParams({"page": "1", "use_regex": "true", "name": pattern})).page
    begun = time.thread_time()

    assert page.has("a" * 255) is False
    assert time.thread_time() - begun < 0.5


@pytest.mark.parametrize(
    "pattern",
    [
        "^a2?$",
        "b|A2",
        ".*a.*?2.*?",
        r"^(a|b)\d{1,2}$",
        r"[]+*(a]\d+",
        r"x\(\)+|A{1}2",
        "^a{0}a2",
        "(x)?a2",
        "^(a|2)+$",
        r"\ba2\b",
        "(?:A*)*2$",
    ],
)
def test_ordinary_patterns_find_names(pattern):
    assert "A2" in names(listed(page=1, use_regex="true", name=pattern)["items"])


def test_a_pattern_that_takes_long_over_the_names_is_given_up(monkeypatch):
    monkeypatch.setattr(name_patterns, "_MAX_SECONDS", 0.01)
    page = Listing.of(QueryParams({"page": "1", "use_regex": "true", "name": "a*a*a*b"})).page

    with pytest.raises(ApiError, match="takes longer than"):
        any(page.has("a" * 100) for _ in range(100))
    with pytest.raises(ApiError, match="takes longer than"):
        page.has("a" * 1_000_000)


_ATOMS = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", r"\w", "", "^", "$", r"\b", "(a|b)", "(?:ab|)", "A", "{", r"\x61"]
)
_QUANTIFIERS = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,2}", "{,2}", "{1,}", "*?", "+?"])


@given(parts=st.lists(st.tuples(_ATOMS, _QUANTIFIERS), max_size=6), name=st.text("abA1{", max_size=7))
def test_a_pattern_finds_the_names_that_pythons_engine_finds(parts, name):
    pattern = "".join(f"(?:{atom}){quantifier}" for atom, quantifier in parts)

    assert LinearPattern(pattern).search(name, lambda: None) is (re.search(pattern, name, re.IGNORECASE) is not None)
