"""The settings: the broker is a file in a folder of the project."""

import os
from pathlib import Path

FOLDER = Path(os.environ.get("SHOP_FOLDER", Path(__file__).parents[1] / "var"))
FOLDER.mkdir(exist_ok=True)

SECRET_KEY = "an example's"  # noqa: S105 - protects nothing
INSTALLED_APPS = ["orders"]
USE_TZ = True

CELERY_BROKER_URL = f"pool+sqlite:///{FOLDER}/broker.db"
CELERY_RESULT_BACKEND = FOLDER.as_uri()
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
