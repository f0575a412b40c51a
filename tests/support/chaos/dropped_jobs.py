"""Writes down which tasks Celery's prefork pool forgets as its worker stops, though a child of it may run them.

A worker that stops drops each job that no child has confirmed yet, and also one that it has written to a child's pipe
already (`AsynPool.flush`). The child runs that one; nobody acknowledges it, so its message is another worker's later.
That is so with every broker: which runs are Celery's own can be told from ours only by what is written down here.
"""

from __future__ import annotations

import os
from functools import wraps

from celery.concurrency.asynpool import AsynPool

from tests.support.celery.application import journal
from tests.support.chaos.task_outcomes import FORGOTTEN

_flush = AsynPool.flush


@wraps(_flush)
def _flush_and_say(pool: AsynPool) -> None:
    for job in tuple(pool._cache.values()):
        if job._write_to is not None and not job._accepted:
            journal().write(f"{FORGOTTEN} {job.correlation_id} {os.getpid()}")
    _flush(pool)


AsynPool.flush = _flush_and_say
