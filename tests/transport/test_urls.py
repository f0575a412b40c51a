"""Broker URLs: the store of each, its representation, and the error of a wrong one."""

from __future__ import annotations

import json
import pickle
import traceback
from pathlib import Path

import pytest
from kombu import Connection

from kombu_pool import errors
from tests.support.transport.traffic import declare, publish, take_all


@pytest.fixture
def state(tmp_path, monkeypatch):
    """The user's state folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "kombu_pool"


def files(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".db")


def use(connection):
    """Send a message through a connection."""
    channel = connection.channel()
    declare(channel, "q")
    publish(channel, "q", "a")
    assert take_all(channel, "q") == ["a"]


def test_the_plain_url_is_a_file_in_the_users_state_folder(state, opened):
    use(opened("pool://"))

    assert files(state) == ["default.db"]


def test_the_file_is_the_same_from_every_working_directory(state, opened, monkeypatch, tmp_path):
    declare(opened("pool://").channel(), "q")
    publish(opened("pool://").channel(), "q", "a")

    monkeypatch.chdir(tmp_path)

    assert take_all(opened("pool://", ack_delay=0.003).channel(), "q") == ["a"]


def test_a_name_keeps_two_applications_of_a_user_apart(state, opened):
    use(opened("pool:///shop"))
    use(opened("pool:///mail"))

    assert files(state) == ["mail.db", "shop.db"]


@pytest.mark.parametrize("name", ["../../escaped", "a/b", "%2e%2e%2fx", "ü b"])
def test_no_name_leads_out_of_the_state_folder(state, opened, name):
    use(opened(f"pool:///{name}"))

    assert len(files(state)) == 1


def test_options_may_follow_the_plain_url(state, opened):
    use(opened("pool://?synchronous=NORMAL"))
    use(opened("pool:///shop?synchronous=NORMAL"))

    assert files(state) == ["default.db", "shop.db"]


def test_a_sqlite_url_may_be_absolute(opened, tmp_path):
    use(opened(f"pool+sqlite:///{tmp_path}/x.db"))

    assert files(tmp_path) == ["x.db"]


def test_a_sqlite_url_may_be_relative(opened, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    use(opened("pool+sqlite:///x.db"))

    assert files(tmp_path) == ["x.db"]


def test_a_path_may_hold_what_a_url_must_quote(opened, tmp_path):
    use(opened(f"pool+sqlite:///{tmp_path}/a%20b%3Fc.db"))

    assert files(tmp_path) == ["a b?c.db"]


def test_missing_folders_are_made(opened, tmp_path):
    use(opened(f"pool+sqlite:///{tmp_path}/new/folder/x.db"))

    assert files(tmp_path / "new" / "folder") == ["x.db"]


def test_the_file_of_a_user_is_nobody_elses(state, opened):
    use(opened("pool://"))

    assert state.stat().st_mode & 0o077 == 0


def test_the_uri_shows_the_full_path(state, tmp_path):
    assert Connection("pool://").as_uri() == f"pool+sqlite:///{state}/default.db"
    assert Connection("pool:///shop").as_uri() == f"pool+sqlite:///{state}/shop.db"
    assert Connection(f"pool+sqlite:///{tmp_path}/x.db").as_uri() == f"pool+sqlite:///{tmp_path}/x.db"


def test_the_uri_masks_passwords_unless_it_is_asked_for_them():
    connection = Connection("pool+redis://user:hunter2@host:1/0?password=hunter3")

    assert "hunter" not in connection.as_uri()
    assert "hunter2" in connection.as_uri(include_password=True)
    assert "user" in connection.as_uri()


def test_no_password_is_in_the_representation_of_a_connection():
    connection = Connection("pool+redis://user:hunter2@host:1/0")

    assert "hunter2" not in repr(connection)


@pytest.mark.parametrize("url", ["pool://", "pool:///shop?synchronous=NORMAL", "pool+memory://round-trip"])
def test_a_connection_can_be_cloned_and_pickled(state, url):
    connection = Connection(url, transport_options={"claim_ttl": 30})

    for copy in (connection.clone(), pickle.loads(pickle.dumps(connection))):  # noqa: S301 - our own
        assert copy.as_uri() == connection.as_uri()
        assert copy.transport_options == {"claim_ttl": 30}
        with copy:
            use(copy)


def test_the_info_can_be_written_as_json(state):
    assert json.loads(json.dumps(Connection("pool:///shop").info()))["transport"]


def test_connections_of_one_url_share_kombus_pools(state):
    assert Connection("pool:///shop").__eqhash__() == Connection("pool:///shop").__eqhash__()
    assert Connection("pool:///shop").__eqhash__() != Connection("pool:///mail").__eqhash__()


@pytest.fixture
def down(monkeypatch):
    """Make pool+down:// an unreachable store."""
    import kombu_pool.drivers as found  # noqa: PLC0415 - the module whose registry is changed
    from kombu_pool.drivers import memory  # noqa: PLC0415

    class Down:
        CAPABILITIES = memory.CAPABILITIES

        @staticmethod
        def open_control(uri, **_):
            raise errors.ConnectionError(f"{uri} is down")

        open_data = open_control

    real = found.load
    monkeypatch.setattr(found, "load", lambda scheme: Down if scheme == "down" else real(scheme))


@pytest.mark.parametrize(
    "alternate", ["pool+memory://b", "pool+memory://b?max_message_size=1000", "pool://", "pool:///b"]
)
@pytest.mark.usefixtures("down", "state")
def test_failover_goes_to_an_alternate_of_any_form(opened, alternate):
    connection = opened(f"pool+down://a;{alternate}")

    connection.ensure_connection(max_retries=3, interval_start=0)

    use(connection)
    assert connection.as_uri() == Connection(alternate).as_uri()


@pytest.mark.usefixtures("down", "state")
def test_failover_may_start_from_the_plain_url_and_come_back(opened):
    connection = opened("pool:///first;pool+memory://second?max_message_size=5000")
    use(connection)

    connection.maybe_switch_next()
    use(connection)
    second = connection.as_uri()
    connection.maybe_switch_next()
    use(connection)

    assert second == "pool+memory://second?max_message_size=5000"
    assert connection.as_uri() == Connection("pool:///first").as_uri()


def test_failover_takes_a_list_of_urls(tmp_path, opened):
    connection = opened([f"pool+sqlite:///{tmp_path}/a.db", f"pool+sqlite:///{tmp_path}/b.db"])

    use(connection)
    connection.maybe_switch_next()
    use(connection)

    assert files(tmp_path) == ["a.db", "b.db"]


def test_a_configuration_file_names_the_store_and_the_options(tmp_path, opened):
    path = tmp_path / "pool.conf"
    path.write_text(
        f"[drivers:management_store]\nuri = sqlite:///{tmp_path}/from-file.db\n[transport]\nclaim_ttl = 7.5\n"
    )

    connection = opened(f"pool+conf://{path}")
    use(connection)

    assert files(tmp_path) == ["from-file.db"]
    assert connection.connection.options.claim_ttl == 7.5


def test_a_configuration_file_gives_queues_their_flavors(tmp_path, opened):
    path = tmp_path / "pool.conf"
    path.write_text(
        f"[drivers:management_store]\nuri = sqlite:///{tmp_path}/x.db\n"
        "[transport]\nqueue_flavors = metrics.*:quick,payments:sure\n"
    )
    pools = [{"name": name, "uri": f"sqlite:///{tmp_path}/{name}.db", "flavor": name} for name in ("quick", "sure")]

    connection = opened(f"pool+conf://{path}", pools=pools)
    for queue in ("metrics.page", "payments"):
        declare(connection.default_channel, queue)

    catalog = connection.connection.broker.data.catalog
    assert [catalog.pool_of(queue) for queue in ("metrics.page", "payments")] == ["quick", "sure"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[transport]\nclaim_tll = 5\n", r"\[transport\] has no option 'claim_tll'; did you mean 'claim_ttl'"),
        ("[transport]\npools = a\n", r"\[transport\] has no option 'pools'"),
        ("[pooling:catalog]\ncolour = red\n", "'colour'; known: cache_ttl, enable_virtual_pool"),
        ("[transprot]\nclaim_ttl = 5\n", r"unknown group \[transprot\]; did you mean \[transport\]"),
        ("[drivers:message_store:redid]\ndb = 5\n", r"did you mean \[drivers:message_store:redis\]"),
    ],
)
def test_an_unknown_name_in_a_configuration_file_is_refused(tmp_path, opened, text, told):
    path = tmp_path / "pool.conf"
    path.write_text(f"[drivers:management_store]\nuri = memory://conf\n{text}")

    with pytest.raises(errors.ConfigurationError, match=told):
        opened(f"pool+conf://{path}").connect()


def test_a_configuration_file_may_serve_other_programs_too(tmp_path, opened):
    path = tmp_path / "pool.conf"
    path.write_text(
        "[DEFAULT]\ndebug = true\n[database]\nconnection = x\n[drivers:message_store:onefile]\nx = 1\n"
        "[drivers:management_store]\nuri = memory://conf\n"
    )

    assert opened(f"pool+conf://{path}").connect()


def test_options_of_the_connection_stand_above_the_configuration_file(tmp_path, opened):
    path = tmp_path / "pool.conf"
    path.write_text(f"[drivers:management_store]\nuri = sqlite:///{tmp_path}/x.db\n[transport]\nclaim_ttl = 7.5\n")

    connection = opened(f"pool+conf://{path}", claim_ttl=9)

    assert connection.connection.options.claim_ttl == 9


def test_a_configuration_file_that_is_not_there_is_named(tmp_path, opened):
    with pytest.raises(errors.ConfigurationError, match=r"absent\.conf"):
        opened(f"pool+conf://{tmp_path}/absent.conf").connect()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"uri = redis://app:s3cret@cache:6379\n", "line 1: Section must be started"),
        (b"[drivers:management_store]\nredis s3cret\n", "line 2: No ':' or '=' found"),
        (b"[drivers:management_store\nuri = redis://app:s3cret@cache\n", "line 1: Invalid section"),
        (b"[drivers:management_store]\nuri = \xff\n", "not encoded as UTF-8"),
    ],
)
def test_a_configuration_file_of_another_form_is_named_and_no_line_of_it_shown(tmp_path, opened, content, reason):
    path = tmp_path / "pool.conf"
    path.write_bytes(content)

    with pytest.raises(errors.ConfigurationError, match=reason) as raised:
        opened(f"pool+conf://{path}").connect()

    assert str(path) in str(raised.value)
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("url", "options", "told"),
    [
        ("pool+memory://x?colour=red", {}, ["colour", "max_message_size"]),
        ("pool+memory://x?max_message_size=huge", {}, ["max_message_size", "huge"]),
        ("pool+memory://x", {"claim_tll": 5}, ["claim_tll", "did you mean 'claim_ttl'", "read_ahead"]),
        ("pool+memory://x", {"Queue-Flavor": {}}, ["Queue-Flavor", "did you mean 'queue_flavors'"]),
        ("pool+memory://x", {"claim_ttl": "soon"}, ["claim_ttl", "soon"]),
        ("pool+memory://x", {"claim_ttl": 0.01}, ["claim_ttl", "0.01"]),
        ("pool+memory://x", {"read_ahead": 0}, ["read_ahead"]),
        ("pool+memory://x", {"queue_flavors": ["a"]}, ["queue_flavors"]),
        ("pool+memory://x", {"pools": 5}, ["pools"]),
        ("pool+memory://x", {"pools": [{"name": "a"}]}, ["uri"]),
        ("pool+memory://x", {"pools": [{"name": "a", "uri": "memory://a", "weight": -1}]}, ["weight", "-1"]),
        ("pool://server/x", {}, ["pool+redis://server"]),
        ("pool+sqlite://host/x.db", {}, ["sqlite", "host"]),
        ("pool+sqlite:///", {}, ["sqlite:////absolute.db"]),
        ("pool+sqlite:///x.db?synchronous=SOMETIMES", {}, ["synchronous", "FULL"]),
    ],
)
def test_what_cannot_work_is_named_at_once_with_what_would_be_right(tmp_path, monkeypatch, url, options, told):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(errors.ConfigurationError) as caught:
        Connection(url, transport_options=options).connect()

    for word in told:
        assert word in str(caught.value)


def test_an_unknown_scheme_is_told_which_there_are():
    with pytest.raises(errors.ConfigurationError, match="did you mean sqlite"):
        Connection(transport="kombu_pool.transport:Transport", hostname="sqlit:///x.db").connect()


def test_a_configuration_error_is_not_tried_again(tmp_path):
    connection = Connection("pool+memory://x?colour=red")

    with pytest.raises(errors.ConfigurationError):
        connection.ensure_connection(max_retries=100, interval_start=60)


def test_no_password_is_in_an_error():
    with pytest.raises(errors.ConfigurationError) as caught:
        Connection("pool+memory://user:hunter2@x?colour=red").connect()

    assert "hunter2" not in str(caught.value)


def test_the_transport_may_be_named_instead_of_the_url(opened, tmp_path):
    with Connection(f"sqlite:///{tmp_path}/x.db", transport="kombu_pool.transport:Transport") as connection:
        use(connection)

    assert files(Path(tmp_path)) == ["x.db"]
