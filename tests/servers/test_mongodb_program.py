"""Finding ``mongod``, and skipping or failing without it."""

from __future__ import annotations

import pytest

from tests.support.servers.mongodb.program import require_mongod


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tests.support.servers.mongodb.program._packaged", lambda: None)


def test_at_home_a_test_without_a_server_is_skipped(nothing_installed, monkeypatch):
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="mongod is neither on PATH nor in the Python package"):
        require_mongod()


def test_a_test_without_a_server_fails_where_nothing_may_be_missing(nothing_installed, monkeypatch):
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="mongod is neither on PATH"):
        require_mongod()


def test_a_program_on_the_path_comes_before_the_package(nothing_installed, tmp_path):
    program = tmp_path / "mongod"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    assert require_mongod() == str(program)


def test_a_program_that_cannot_run_counts_as_missing(nothing_installed, monkeypatch, tmp_path):
    monkeypatch.delenv("CI", raising=False)
    program = tmp_path / "mongod"
    program.write_text("#!/bin/sh\necho libcurl.so.4: no such file >&2\nexit 127\n")
    program.chmod(0o755)

    with pytest.raises(pytest.skip.Exception, match="mongod does not run: libcurl"):
        require_mongod()


def test_a_packaged_program_may_be_started(nothing_installed, monkeypatch, tmp_path):
    program = tmp_path / "packaged"
    program.write_text("#!/bin/sh\n")
    monkeypatch.setattr("tests.support.servers.mongodb.program._packaged", lambda: str(program))

    assert require_mongod() == str(program)
    assert program.stat().st_mode & 0o111
