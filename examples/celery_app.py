"""A Celery application on ``pool://``: two queues, a retry, a countdown, a chain and a chord.

In a project of your own this is two terminals::

    celery -A celery_app worker -Q celery,reports
    python -c "import celery_app; celery_app.charge.delay(42)"

``python examples/celery_app.py`` does both, in a temporary folder.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from celery import Celery, Task, chain, chord
from worker import worker

app = Celery("celery_app", broker=os.environ.get("SHOP_BROKER", "pool:///shop"), backend=os.environ.get("SHOP_RESULTS"))
app.conf.update(
    broker_connection_retry_on_startup=True,
    # Acknowledged after the run: the task of a killed worker runs again.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_routes={"celery_app.report": {"queue": "reports"}},
    worker_hijack_root_logger=False,
)


@app.task(bind=True, max_retries=3)
def charge(self: Task, amount: int) -> int:
    """Charge a card at a bank that refuses the first attempt."""
    if self.request.retries == 0:
        raise self.retry(countdown=0.5)
    return amount


@app.task
def discount(amount: int, percent: int) -> int:
    """Return the amount with a discount."""
    return amount * (100 - percent) // 100


@app.task
def report(amounts: list[int]) -> str:
    """Return a report; the task uses its own queue."""
    return f"{len(amounts)} charges, {sum(amounts)} in all"


def main() -> None:
    """Run a worker and send it a retry, a countdown, a chain and a chord."""
    with tempfile.TemporaryDirectory(prefix="kombu_pool-") as folder:
        broker, results = f"pool+sqlite:///{folder}/shop.db", Path(folder, "results")
        results.mkdir()
        # The worker process reads them from its environment, as in a deployment.
        os.environ |= {"SHOP_BROKER": broker, "SHOP_RESULTS": results.as_uri()}
        app.conf.update(broker_url=broker, result_backend=results.as_uri())
        with worker(app, "celery_app", Path(folder, "worker.log"), "--queues=celery,reports"):
            print("after one retry:", charge.delay(100).get(timeout=30))
            print("in half a second:", discount.apply_async((100, 10), countdown=0.5).get(timeout=30))
            print("one after another:", chain(discount.s(200, 50), discount.s(10))().get(timeout=30))
            print("all, then a report:", chord([discount.s(n, 50) for n in (10, 20, 30)])(report.s()).get(timeout=30))


if __name__ == "__main__":
    main()
