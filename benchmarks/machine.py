"""Describes the machine of a run."""

from __future__ import annotations

import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks import servers


def description(folder: str) -> str:
    """Return the number of cores, the relevant versions and the kind of file system."""
    parts = [
        f"{os.cpu_count()} cores",
        f"{platform.python_implementation()} {platform.python_version()}",
        f"SQLite {sqlite3.sqlite_version}",
        *servers.versions(),
        f"Kombu {version('kombu')}",
        f"Celery {version('celery')}",
        f"files on {file_system(folder)}",
    ]
    return ", ".join(parts)


def file_system(folder: str) -> str:
    """Return the kind of the folder's file system."""
    path = Path(folder).resolve()
    mounts = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
    return next((mounts[parent] for parent in [path, *path.parents] if parent in mounts), "an unknown file system")
