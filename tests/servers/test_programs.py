"""Finding a server program, and skipping or failing without it."""

from __future__ import annotations

import sys

import pytest

from tests.support.servers.programs import require


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("REDIS_SERVER", raising=False)


def test_at_home_a_test_without_a_program_is_skipped(nothing_installed, monkeypatch):
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="redis-server is not on PATH; apt-get install redis-server"):
        require("redis-server")


def test_a_test_without_a_program_fails_where_nothing_may_be_missing(nothing_installed, monkeypatch):
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="redis-server is not on PATH"):
        require("redis-server")


def test_another_program_may_stand_in(nothing_installed, monkeypatch, tmp_path):
    (tmp_path / "valkey-server").touch(mode=0o755)

    assert require("redis-server") == str(tmp_path / "valkey-server")


def test_the_environment_may_name_the_program(nothing_installed, monkeypatch):
    monkeypatch.setenv("REDIS_SERVER", sys.executable)

    assert require("redis-server") == sys.executable
