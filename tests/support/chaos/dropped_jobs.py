"""Records the tasks that Celery's prefork pool drops while its worker stops, although a child may run them.

A stopping worker drops each job that no child has confirmed, also one that is already written to a child's pipe
(`AsynPool.flush`). The child runs that job, but its message is not acknowledged, so another worker receives it later.
This happens with every broker; only these records distinguish such a repeated run from a defect of the transport.
"""

from __future__ import annotations

import os
from functools import wraps

from celery.concurrency.asynpool import AsynPool

from tests.support.celery.application import journal
from tests.support.chaos.task_outcomes import DROPPED

_flush = AsynPool.flush


@wraps(_flush)
def _flush_and_record(pool: AsynPool) -> None:
    for job in tuple(pool._cache.values()):
        if job._write_to is not None and not job._accepted:
            journal().write(f"{DROPPED} {job.correlation_id} {os.getpid()}")
    _flush(pool)


AsynPool.flush = _flush_and_record
