"""Checks that a release of this tree is ready: ``python -m tests.support.release``."""
