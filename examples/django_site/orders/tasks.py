"""Tasks of this application, which Celery finds by itself."""

from celery import shared_task


@shared_task
def total(prices: list[int]) -> int:
    """Sum up."""
    return sum(prices)
