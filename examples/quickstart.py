"""The first task: a worker on ``pool://``, in a folder of its own, and what it answers.

Run it with ``make quickstart``, or with ``python examples/quickstart.py`` where ``kombu-pool[celery]`` is installed.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from celery import Celery, group
from worker import worker

app = Celery("quickstart", broker="pool://", backend="rpc://")
app.conf.update(broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)


@app.task
def add(x: int, y: int) -> int:
    """Add two numbers, as slowly as real work goes."""
    time.sleep(0.1)
    return x + y


def main() -> None:
    """Start a worker, send it tasks, show their results, stop it."""
    with tempfile.TemporaryDirectory(prefix="kombu_pool-") as folder:
        # Without this line pool:// is a file in your state folder, the same one for all that you run.
        os.environ["XDG_STATE_HOME"] = folder
        print(f"Starting a worker on pool:// in {folder} ...", flush=True)
        began = time.monotonic()
        with worker(app, "quickstart", Path(folder, "worker.log"), "--concurrency=2"):
            print(f"It is ready after {time.monotonic() - began:.1f} s. Sending 20 tasks ...", flush=True)
            began = time.monotonic()
            show(group(add.s(number, number) for number in range(20))())
            print(f"20 of 20 done after {time.monotonic() - began:.1f} s, by two processes. Stopping the worker ...")
    print("That was all: no server was installed, configured or started.")


def show(results: object) -> None:
    """Print each result as it comes in."""
    for done, result in enumerate(results, 1):
        print(f"  [{done:2}/20] {done - 1} + {done - 1} = {result.get(timeout=30)}", flush=True)


if __name__ == "__main__":
    main()
