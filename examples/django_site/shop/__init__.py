"""The project. Celery is made when Django starts, so that shared tasks find it."""

from shop.celery import app as celery_app

__all__ = ["celery_app"]
