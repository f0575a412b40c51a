from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from celery import Celery
from celery.bin.celery import celery
from click.testing import CliRunner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def app(tmp_path: Path) -> Celery:
    return Celery("shop", broker=f"pool+sqlite:///{tmp_path}/control.db", set_as_current=False)


@pytest.fixture
def pool(app: Celery) -> Callable[..., tuple[int, list[list[str]]]]:
    """Call ``celery -A app pool ...``; returns the exit status and the lines, each split at its tabs."""

    def call(*arguments: str) -> tuple[int, list[list[str]]]:
        done = CliRunner().invoke(celery, ["pool", *arguments], obj=None, default_map={"app": app})
        return done.exit_code, [line.split("\t") for line in done.output.splitlines()]

    return call
