"""Topic bindings, compared with a plain implementation of AMQP's rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu_pool.transport.declare.exchanges import headers_match, topic_matches

WORDS = st.sampled_from(["", "a", "b", "ab", "A", "1", "ä", "a-b", "\n", "(", "[a]"])
KEYS = st.lists(WORDS, min_size=1, max_size=6).map(".".join)
PATTERNS = st.lists(st.one_of(WORDS, st.sampled_from(["*", "#"])), min_size=1, max_size=6).map(".".join)


def takes(pattern: list[str], words: list[str]) -> bool:
    """Match word by word; try every number of words for each #."""
    if not pattern:
        return not words
    first, *rest = pattern
    if first == "#":
        return any(takes(rest, words[skipped:]) for skipped in range(len(words) + 1))
    return bool(words) and first in ("*", words[0]) and takes(rest, words[1:])


@given(PATTERNS, KEYS)
def test_topics_match_as_the_plain_reading_does(pattern, key):
    assert topic_matches(pattern, key) == takes(pattern.split("."), key.split("."))


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        ("#", ""),
        ("#", "a"),
        ("#", "a.b.c"),
        ("a.#", "a"),
        ("a.#", "a.b.c"),
        ("#.a", "a"),
        ("a.#.b", "a.b"),
        ("a.#.b", "a.x.y.b"),
        ("a.*", "a.b"),
        ("*.*", "a.b"),
        ("#.#", "a"),
        ("*.#", "a"),
        ("a.b", "a.b"),
    ],
)
def test_a_topic_takes(pattern, key):
    assert topic_matches(pattern, key)


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        ("a.*", "a"),
        ("a.*", "a.b.c"),
        ("a.#", "ab"),
        ("#.a", "ba"),
        ("a.b", "a.bb"),
        ("a.b", "axb"),
        ("*.#.*", "a"),
        ("a", "A"),
    ],
)
def test_a_topic_does_not_take(pattern, key):
    assert not topic_matches(pattern, key)


@pytest.mark.parametrize(
    ("wanted", "headers", "taken"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"x-match": "all", "a": 1}, {"a": 2}, False),
        ({"x-match": "any", "a": 1, "b": 2}, {"b": 2}, True),
        ({"x-match": "any", "a": 1}, {"b": 2}, False),
        ({"x-match": "any", "a": None}, {"a": "whatever"}, True),
        ({"a": None}, {}, False),
        ({"x-match": "all", "x-other": 1}, {}, True),
        ({"x-match": "all-with-x", "x-other": 1}, {}, False),
        ({"x-match": "any-with-x", "x-other": 1}, {"x-other": 1}, True),
        ({}, {}, True),
    ],
)
def test_headers_match_all_or_any_of_a_bindings_arguments(wanted, headers, taken):
    assert headers_match(wanted, headers) is taken
