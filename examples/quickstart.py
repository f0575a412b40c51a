"""The first task: a worker on ``pool://``, in a temporary folder, and its results.

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
    """Return the sum after a tenth of a second."""
    time.sleep(0.1)
    return x + y


def main() -> None:
    """Start a worker, send it tasks, print their results, stop it."""
    with tempfile.TemporaryDirectory(prefix="kombu_pool-") as folder:
        # Without this line, pool:// is a file in the user's state folder, shared by all applications.
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
    """Print the results in order."""
    for done, result in enumerate(results, 1):
        print(f"  [{done:2}/20] {done - 1} + {done - 1} = {result.get(timeout=30)}", flush=True)


if __name__ == "__main__":
    main()
