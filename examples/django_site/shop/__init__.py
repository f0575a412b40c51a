"""The project. Django imports the Celery application at its start, so that shared tasks use it."""

from shop.celery import app as celery_app

__all__ = ["celery_app"]
