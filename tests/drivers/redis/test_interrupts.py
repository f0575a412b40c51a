"""A signal handler may raise in the middle of a call, as that of Celery's time limit does."""

from __future__ import annotations

import json

import pytest

from tests.support.transport.child_programs import Programs

TIMES = 200


@pytest.fixture
def programs():
    programs = Programs("tests.support.redis.child_programs")
    yield programs
    programs.kill()


@pytest.mark.parametrize("options", ["", "?health_check_interval=0.01"])
def test_no_call_reads_the_answer_of_one_that_was_interrupted(queue, uri, programs, options):
    program = programs.start("be_interrupted", uri=uri + options, times=TIMES)

    wrong = json.loads(program.line())

    program.finish()
    assert wrong == []
    # With all its connections lost, it could not have posted this.
    assert queue.all()[-1] == "at the end"
