"""Benchmarks: one question a file, each comparing kombu_pool with Kombu's own transports in the same run.

``python -m benchmarks`` runs all of them, prints a table and writes ``docs/benchmarks.md``.
"""
