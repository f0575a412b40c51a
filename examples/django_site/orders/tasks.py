"""Tasks of this application, which Celery discovers."""

from celery import shared_task


@shared_task
def total(prices: list[int]) -> int:
    """Return the sum."""
    return sum(prices)
