"""Bad input: the error names the fault and its remedy, and the connection stays usable."""

from __future__ import annotations

import os
import pwd
import sqlite3
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from kombu import Connection

from kombu_pool import errors
from tests.support.transport.traffic import consume, count, declare, publish, take_all


@pytest.fixture
def working(channel):
    """A channel with the queue q; it must still work after the test."""
    declare(channel, "q")
    yield channel
    publish(channel, "q", "still working")
    assert take_all(channel, "q")[-1] == "still working"


@pytest.fixture
def limited_url(url):
    return f"{url}{'&' if '?' in url else '?'}max_message_size=1000"


class Unheard:
    """A value that no store can encode."""


def prepared(channel, body=b"", **message):
    return channel.prepare_message(body, content_type="application/data", content_encoding="binary", **message)


@pytest.mark.parametrize(
    "body",
    [Unheard(), {"a": [Unheard()]}, 10**400],
    ids=["object", "nested", "huge-number"],
)
def test_a_body_that_cannot_be_encoded_is_refused(working, body):
    with pytest.raises(errors.MessageNotEncodable, match="JSON values, bytes"):
        working.basic_publish(prepared(working, body), routing_key="q")

    assert count(working, "q") == 0


@pytest.mark.parametrize("headers", [{"a": Unheard()}, {Unheard(): 1}])
def test_headers_that_cannot_be_encoded_are_refused(working, headers):
    with pytest.raises(errors.MessageNotEncodable):
        working.basic_publish(prepared(working, headers=headers), routing_key="q")


def test_a_message_that_is_too_large_is_refused_with_its_size_and_the_limit(limited_url, opened):
    channel = opened(limited_url).channel()
    declare(channel, "q")

    with pytest.raises(errors.MessageTooLarge, match=r"takes \d{4} bytes, more than max_message_size = 1000") as caught:
        publish(channel, "q", "x" * 2000)

    assert caught.value.limit == 1000
    assert caught.value.size > 2000
    publish(channel, "q", "x" * 500)
    assert count(channel, "q") == 1


def test_a_message_that_is_too_large_takes_nothing_of_its_batch_along(limited_url, opened):
    channel = opened(limited_url).channel()
    declare(channel, "q")
    batch = channel.create_publish_batch(max_size=10)
    batch.publish(prepared(channel, b"small"), routing_key="q")
    batch.publish(prepared(channel, b"x" * 2000), routing_key="q")

    with pytest.raises(Exception, match="max_message_size"):
        batch.flush()

    assert count(channel, "q") == 0


@pytest.mark.parametrize("expiration", ["soon", "-1", [], "1.5"])
def test_an_expiration_that_is_no_number_of_milliseconds_is_refused(working, expiration):
    with pytest.raises(errors.InvalidMessage, match="milliseconds"):
        working.basic_publish(prepared(working, properties={"expiration": expiration}), routing_key="q")


@pytest.mark.parametrize("priority", ["high", [1]])
def test_a_priority_that_is_no_number_is_refused(working, priority):
    with pytest.raises(errors.InvalidMessage, match="from 0 to 255"):
        working.basic_publish(prepared(working, priority=priority), routing_key="q")


def test_an_expiration_beyond_all_time_is_refused(working):
    with pytest.raises(errors.InvalidMessage, match="ttl"):
        working.basic_publish(prepared(working, properties={"expiration": str(10**30)}), routing_key="q")


def test_a_file_that_is_not_a_database_is_named(tmp_path):
    path = tmp_path / "other.db"
    path.write_bytes(b"this is a text, and has been for a long time. " * 100)

    with pytest.raises(errors.IncompatibleStore, match=r"other\.db is not a SQLite database; name another file"):
        Connection(f"pool+sqlite:///{path}").connect()

    assert path.read_bytes().startswith(b"this is a text")


def test_a_database_of_another_application_is_left_alone(tmp_path):
    path = tmp_path / "theirs.db"
    theirs = sqlite3.connect(path)
    theirs.execute("CREATE TABLE people (name)")
    theirs.close()

    with pytest.raises(errors.IncompatibleStore, match=r"theirs\.db is a SQLite database of another application"):
        Connection(f"pool+sqlite:///{path}").connect()


def test_a_store_that_was_written_by_a_newer_version_is_left_alone(tmp_path):
    path = tmp_path / "newer.db"
    with Connection(f"pool+sqlite:///{path}") as connection:
        declare(connection.channel(), "q")
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 9999")
    newer.close()

    with pytest.raises(errors.IncompatibleStore, match=r"newer kombu_pool .* upgrade"):
        Connection(f"pool+sqlite:///{path}").connect()


def test_a_path_that_is_a_folder_is_named(tmp_path):
    with pytest.raises(errors.ConfigurationError, match="is a folder: name a file in it"):
        Connection(f"pool+sqlite:///{tmp_path}").connect()


def test_a_path_below_a_file_is_named(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(errors.ConfigurationError, match="file"):
        Connection(f"pool+sqlite:///{tmp_path}/file/x.db").connect()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which no user can write")
def test_a_folder_that_cannot_be_made_is_named():
    with pytest.raises(errors.ConfigurationError, match="the folder /proc/kombu_pool cannot be made"):
        Connection("pool+sqlite:////proc/kombu_pool/x.db").connect()


#: Opens a store, so that all is loaded, and another one as a user that may not write there.
AS_ANOTHER_USER = """
import os, sys
import kombu_pool
from kombu import Connection
Connection(f"pool+sqlite:///{sys.argv[1]}/mine/x.db").connect()
if os.geteuid() == 0:
    os.setgid(1), os.setuid(1)
try:
    Connection(f"pool+sqlite:///{sys.argv[1]}/theirs/x.db").connect()
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def open_folder():
    """A folder that every user can read, unlike those of pytest."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_a_folder_that_the_user_may_not_write_to_is_named_with_the_user_and_the_remedy(open_folder):
    (open_folder / "theirs").mkdir(0o555)

    command = [sys.executable, "-c", AS_ANOTHER_USER, str(open_folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    said = ended.stdout
    user = pwd.getpwuid(os.geteuid() or 1).pw_name
    assert said.startswith("ConfigurationError"), ended.stderr
    assert f"{open_folder}/theirs is not writable for the user {user};" in said
    assert "Let that user write to the folder, or name a file elsewhere: pool+sqlite:////" in said


def test_a_flavor_that_does_not_exist_is_named(channel):
    with pytest.raises(errors.FlavorDoesNotExist, match="Flavor 'absent' does not exist"):
        declare(channel, "q", arguments={"x-pool-flavor": "absent"})


def test_errors_of_the_store_are_connection_errors_to_kombu(connection):
    assert isinstance(errors.PoolUnavailable("p", "away"), connection.connection_errors)
    assert isinstance(errors.StoreFull("full"), connection.connection_errors)
    assert not isinstance(errors.ConfigurationError("wrong"), connection.connection_errors)
    assert not isinstance(errors.MessageTooLarge(2, 1), connection.connection_errors)


def test_consuming_survives_a_bad_message_of_another_program(working, url, connection):
    inbox = consume(working, "q", ack=True, consumer_tag="tag")

    with pytest.raises(errors.InvalidMessage):
        working.basic_publish(prepared(working, properties={"expiration": "x"}), routing_key="q")
    publish(working, "q", "good")

    assert inbox.wait_for(1)[0].payload == "good"
    working.basic_cancel("tag")
