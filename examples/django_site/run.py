"""A Django project with Celery on ``pool://``.

In a project of your own this is two terminals::

    celery -A shop worker
    python manage.py runserver

``python examples/django_site/run.py`` uses no web server: it runs a worker and a task, and prints the result.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]


def main() -> None:
    """Set Django up as ``manage.py`` does, run a worker, and send it a task."""
    import django  # noqa: PLC0415 - after its settings are in the environment
    from worker import worker  # noqa: PLC0415 - on the path set above

    with tempfile.TemporaryDirectory(prefix="kombu_pool-") as folder:
        os.environ |= {
            "SHOP_FOLDER": folder,
            "DJANGO_SETTINGS_MODULE": "shop.settings",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])),
        }
        django.setup()
        from orders.tasks import total  # noqa: PLC0415 - after the set-up, as in any application
        from shop.celery import app  # noqa: PLC0415 - the same

        with worker(app, "shop", Path(folder, "worker.log"), "--pool=solo"):
            print("12 + 30 =", total.delay([12, 30]).get(timeout=30))


if __name__ == "__main__":
    main()
