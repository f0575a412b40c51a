"""URIs and their options, and the errors about invalid ones."""

from __future__ import annotations

import pytest

from kombu_pool.drivers import parse
from kombu_pool.drivers.mongodb.location import locate
from kombu_pool.errors import ConfigurationError


def located(text, **options):
    return locate(parse(text), options, None)


@pytest.mark.parametrize(
    ("text", "database"),
    [("mongodb://host", "kombu_pool"), ("mongodb://host/", "kombu_pool"), ("mongodb://host/shop", "shop")],
)
def test_the_path_names_the_database(text, database):
    assert located(text).database == database


def test_the_clients_options_are_passed_on_and_ours_are_not():
    location = located("mongodb://a,b:1/db?replicaSet=rs&collection_prefix=x_&socketTimeoutMS=77")
    options = dict(location.options)

    assert location.collection_prefix == "x_"
    assert (options["replicaset"], options["sockettimeoutms"]) == ("rs", "77")
    assert "collection_prefix" not in options


def test_nothing_waits_for_ever_unless_it_is_told_to():
    options = dict(located("mongodb://host/db").options)

    assert options["serverselectiontimeoutms"] == 3000
    assert options["w"] == "majority"
    assert options["journal"] is True


def test_given_options_stand_above_those_of_the_uri():
    options = dict(located("mongodb://host/db?appName=a", appName="b", w=2).options)

    assert (options["appname"], options["w"]) == ("b", 2)


def test_a_password_is_never_shown():
    location = located("mongodb://user:secret@host/db")

    assert "secret" not in str(location) + repr(location)
    assert "user:secret@host/db" in location.uri


@pytest.mark.parametrize(
    "text",
    [
        "mongodb://user:secret/x@host/db",
        "mongodb://user:secret@host:port/db",
        "mongodb://us er:sec%zzret@host:99999/db",
        "mongodb://user:secret@host/a.b",
    ],
)
def test_an_error_shows_no_password(text):
    with pytest.raises(ConfigurationError) as raised:
        located(text)

    assert "sec" not in str(raised.value)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("colour=red", "colour"),
        ("w=0", "w=0"),
        ("socketTimeoutMS=soon", "socketTimeoutMS"),
        ("max_message_size=99999999", "max_message_size"),
        ("collection_prefix=a.b", "collection_prefix"),
        ("w=1&W=2", "W"),
    ],
)
def test_an_option_that_cannot_work_is_named(query, named):
    with pytest.raises(ConfigurationError, match=named):
        located(f"mongodb://host/db?{query}")
