"""Checks the project's language: its sentences by ``prose.txt``, its names by ``words.txt``."""
