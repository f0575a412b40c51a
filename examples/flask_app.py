"""A Flask application with Celery on ``pool://``, in the pattern of Flask's own documentation.

In a project of your own this is two terminals::

    celery -A flask_app worker
    flask --app flask_app run

``python examples/flask_app.py`` does both, with Flask's test client. It needs ``kombu-pool[celery]`` and Flask.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from celery import Celery, Task, shared_task
from celery.result import AsyncResult
from flask import Flask
from worker import worker


def celery_init_app(app: Flask) -> Celery:
    """Return a Celery application whose tasks run in the context of the Flask application."""

    class FlaskTask(Task):
        def __call__(self, *arguments: object, **options: object) -> object:
            with app.app_context():
                return self.run(*arguments, **options)

    celery_app = Celery(app.name, task_cls=FlaskTask)
    celery_app.config_from_object(app.config["CELERY"])
    celery_app.set_default()
    app.extensions["celery"] = celery_app
    return celery_app


@shared_task
def add(x: int, y: int) -> int:
    """Return the sum."""
    return x + y


def create_app() -> Flask:
    """Return the Flask application."""
    app = Flask("flask_app")
    broker, results = os.environ.get("SHOP_BROKER", "pool:///flask"), os.environ.get("SHOP_RESULTS")
    app.config["CELERY"] = {"broker_url": broker, "result_backend": results, "worker_hijack_root_logger": False}
    celery_init_app(app)

    @app.post("/add/<int:x>/<int:y>")
    def begin(x: int, y: int) -> dict[str, str]:
        return {"id": add.delay(x, y).id}

    @app.get("/result/<name>")
    def result(name: str) -> dict[str, Any]:
        return {"value": AsyncResult(name).get(timeout=30)}

    return app


def main() -> None:
    """Run a worker, request a sum, and print its result."""
    with tempfile.TemporaryDirectory(prefix="kombu_pool-") as folder:
        results = Path(folder, "results")
        results.mkdir()
        os.environ |= {"SHOP_BROKER": f"pool+sqlite:///{folder}/shop.db", "SHOP_RESULTS": results.as_uri()}
        web = create_app()
        with worker(web.extensions["celery"], "flask_app:celery", Path(folder, "worker.log"), "--pool=solo"):
            client = web.test_client()
            name = client.post("/add/2/3").json["id"]
            print("2 + 3 =", client.get(f"/result/{name}").json["value"])


def __getattr__(name: str) -> Celery:
    """Return ``celery`` for ``celery -A flask_app``."""
    if name != "celery":
        raise AttributeError(name)
    return create_app().extensions["celery"]


if __name__ == "__main__":
    main()
