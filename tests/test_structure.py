"""One subject has one file name in every driver, and no file outgrows a reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.language.check import texts

ROOT = Path(__file__).parents[1]
DRIVERS = ROOT / "kombu_pool" / "drivers"
OURS = ("memory", "sqlite", "redis", "mongodb")
MOST_LINES = 400

#: Each subject's file, and the drivers that have it.
SUBJECTS = {
    "claiming.py": OURS,
    "claims.py": OURS,
    "messages.py": OURS,
    "message_keys.py": OURS,
    "queues.py": OURS,
    "subscriptions.py": OURS,
    "dead_letters.py": OURS,
    "driver.py": OURS,
    "watch.py": OURS,
    "codec.py": OURS,
    "inspection.py": OURS,
    "deletion.py": ("sqlite", "redis", "mongodb"),
    "posting.py": ("sqlite", "redis", "mongodb"),
    "location.py": ("sqlite", "redis", "mongodb"),
    "collector.py": ("sqlite", "redis", "mongodb"),
    "error_mapping.py": ("sqlite", "redis", "mongodb"),
    "states.py": ("memory", "sqlite", "mongodb"),
    "limits.py": ("sqlite", "mongodb"),
    "schema.py": ("sqlite", "mongodb"),
    "client.py": ("redis", "mongodb"),
    "lua/include/states.lua": ("redis",),
    "lua/include/idempotency.lua": ("redis",),
    "lua/include/wakeup.lua": ("redis",),
    "server_check.py": ("redis",),
    "wakeup.py": ("sqlite",),
    "change_stream.py": ("mongodb",),
    "idempotency.py": ("mongodb",),
    **{
        f"control/{name}.py": OURS
        for name in ("bindings", "catalogue", "consumers", "counters", "driver", "queues", "registry")
    },
}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_subject_has_one_file_name_in_every_driver(subject):
    assert [driver for driver in OURS if (DRIVERS / driver / subject).exists()] == list(SUBJECTS[subject])


def test_no_file_has_more_lines_than_a_reader_keeps_in_mind():
    programs = [path for path in texts(ROOT) if path.suffix in {".py", ".lua", ".sql"}]
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in programs}

    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}
