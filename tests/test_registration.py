"""``pool://`` is registered with Kombu and Celery, and breaks neither. Most cases run in a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from celery import Celery
from kombu.serialization import dumps, loads
from kombu.transport import TRANSPORT_ALIASES

from _kombu_pool_entry import ALIASES, TRANSPORT, register, serializer
from kombu_pool.errors import ConfigurationError
from tests.support.limits import LIMIT

OURS = "kombu_pool.transport"


def run(script: str, folder: Path, *arguments: str, **environment: str) -> str:
    """Run a script in a fresh interpreter and return its output."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *(arguments or ("-c", dedent(script)))],
        env=os.environ | {"XDG_STATE_HOME": str(folder), "PYTHONPATH": str(folder)} | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_celery_knows_the_url_without_an_import(tmp_path):
    printed = run(
        """
        from celery import Celery
        print(Celery(broker="pool://").connection_for_write().transport_cls)
        """,
        tmp_path,
    )

    assert printed == "pool"


def test_celery_finds_our_class_without_an_import(tmp_path):
    printed = run(
        """
        from celery import Celery
        print(Celery(broker="pool://").connection_for_write().get_transport_cls().__module__)
        """,
        tmp_path,
    )

    assert printed.startswith(OURS)


@pytest.mark.parametrize("first", ["import kombu_pool", "from kombu import Queue"])
def test_plain_kombu_knows_the_url_after_an_import(tmp_path, first):
    printed = run(
        f"""
        {first}
        from kombu import Connection
        print(Connection("pool://").get_transport_cls().__module__)
        """,
        tmp_path,
    )

    assert printed.startswith(OURS)


def test_plain_kombu_takes_the_class_by_its_name(tmp_path):
    printed = run(
        f"""
        from kombu import Connection
        print(Connection("pool://", transport="{TRANSPORT}").get_transport_cls().__module__)
        """,
        tmp_path,
    )

    assert printed.startswith(OURS)


def test_every_alias_leads_to_the_transport(tmp_path):
    printed = run(
        """
        import kombu_pool
        from _kombu_pool_entry import ALIASES
        from kombu.transport import get_transport_cls
        print({get_transport_cls(alias) for alias in ALIASES})
        """,
        tmp_path,
    )

    assert printed.count(OURS) == 1


@pytest.mark.parametrize("scheme", ["pool", *ALIASES[1:]])
def test_a_url_of_every_scheme_is_ours(scheme):
    assert TRANSPORT_ALIASES[scheme] == TRANSPORT


def test_the_command_line_takes_the_url(tmp_path):
    printed = run("", tmp_path, "-m", "celery", "-b", "pool://", "purge", "-f")

    assert "No messages purged" in printed


def test_django_settings_are_enough(tmp_path):
    (tmp_path / "shop_settings.py").write_text('SECRET_KEY = "x"\nCELERY_BROKER_URL = "pool:///django"\n')

    printed = run(
        """
        import os
        os.environ["DJANGO_SETTINGS_MODULE"] = "shop_settings"
        import django
        from celery import Celery
        django.setup()
        app = Celery("shop")
        app.config_from_object("django.conf:settings", namespace="CELERY")
        with app.connection_for_write() as connection:
            print(connection.get_transport_cls().__module__, connection.as_uri())
        """,
        tmp_path,
    )

    assert printed.startswith(OURS)
    assert "django" in printed


@pytest.mark.parametrize(
    "broken",
    ["kombu_pool", "msgspec", "oslo_config", "platformdirs"],
)
def test_a_half_installed_package_does_not_break_kombu(tmp_path, broken):
    printed = run(
        f"""
        import sys
        sys.modules["{broken}"] = None
        from kombu import Queue
        from kombu.serialization import dumps
        print(dumps({{}}, "json")[0])
        """,
        tmp_path,
    )

    assert printed == "application/json"


def test_a_kombu_of_another_layout_is_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "kombu.transport", None)

    assert register() is None


def test_a_name_that_somebody_else_has_stays_theirs(monkeypatch):
    monkeypatch.setitem(TRANSPORT_ALIASES, "pool+theirs", "their:Transport")

    register("pool+theirs", "pool+ours")

    assert TRANSPORT_ALIASES["pool+theirs"] == "their:Transport"
    assert TRANSPORT_ALIASES.pop("pool+ours") == TRANSPORT


def test_the_serializer_keeps_bytes_as_they_are():
    value = {"body": b"\x00\xff", "numbers": [1, 2.5, None], "text": "é"}

    content_type, encoding, record = dumps(value, serializer="pool-msgpack")

    assert (content_type, encoding) == serializer[2:]
    assert loads(record, content_type, encoding, accept=[content_type]) == value


def test_the_serializer_says_what_it_lacks(monkeypatch):
    encode, *_ = serializer
    monkeypatch.setitem(sys.modules, "msgspec", None)

    with pytest.raises(ImportError, match="needs msgspec: pip install msgspec"):
        encode({})


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("pool+redis://:hunter2@h/0", "'redis://:**@h/0'"),
        ("pool+mongodb://h/shop?replicaSet=r", "'mongodb://h/shop?replicaSet=r'"),
        ("pool+redis+sentinel://a,b/main/0", "'sentinel://HOST'"),
        ("pool+sqlite:////x.db", "'db+sqlite:///results.db'"),
        ("pool:///shop", "'db+sqlite:///results.db'"),
    ],
)
def test_a_broker_url_as_the_result_backend_is_told_what_to_write(url, told):
    with pytest.raises(ConfigurationError) as caught:
        assert Celery(broker=url, backend=url, set_as_current=False).backend

    assert f"write result_backend = {told}" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("package", "url", "extra"),
    [
        ("redis", "pool+redis://h/0", "redis"),
        ("hiredis", "pool+redis+cluster://h", "redis"),
        ("pymongo", "pool+mongodb://h/x", "mongodb"),
    ],
)
def test_a_missing_package_is_told_by_the_command_that_installs_it(tmp_path, package, url, extra):
    printed = run(
        f"""
        import sys
        sys.modules["{package}"] = None  # as if it were not installed
        import kombu_pool
        from kombu import Connection
        try:
            Connection("{url}").connect()
        except kombu_pool.errors.ConfigurationError as error:
            print(error)
        """,
        tmp_path,
        PYTHONPATH=str(Path(__file__).parents[1]),
    )

    assert printed.endswith(f"needs the package '{package}', which is not installed: pip install 'kombu-pool[{extra}]'")


def test_a_star_import_needs_no_celery(tmp_path):
    printed = run(
        """
        import sys
        sys.modules["celery"] = None
        from kombu_pool import *
        print(open.__module__, "tasks" in dir(__import__("kombu_pool")))
        """,
        tmp_path,
        PYTHONPATH=str(Path(__file__).parents[1]),
    )

    assert printed == "kombu_pool True"
