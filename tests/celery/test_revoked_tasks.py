"""Tasks that are revoked while no worker is up: RabbitMQ's run."""

from __future__ import annotations

import pytest
from celery import chord
from celery.exceptions import ChordError, TaskRevokedError

from tests.support.celery.worker import eventually


def test_a_revoked_task_never_runs_and_its_result_and_chord_end(site):
    result = chord([site.signature("note", "first"), site.signature("note", "second")])(site.signature("total"))
    revoked = [result.parent.results[0], site.send("note", "third"), site.send("note", "later", countdown=3600)]
    site.app.control.revoke([each.id for each in revoked])
    kept = site.send("note", "kept")

    site.lone_worker("--pool=threads", "--concurrency=2")

    for each in revoked:
        with pytest.raises(TaskRevokedError):
            site.answer(each)
        assert each.state == "REVOKED"
    with pytest.raises((ChordError, TaskRevokedError)):
        site.answer(result)
    assert site.answer(kept) == "kept"
    eventually(lambda: site.counts() == (0, 0))
    assert sorted(site.journal.texts()) == ["kept", "second"]
